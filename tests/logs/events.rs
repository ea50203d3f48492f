//! The crate's guide promises the names, levels and fields of log events.

use std::fmt::{Debug, Write as _};
use std::io;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use sseclient::testing::{Script, Server};
use sseclient::{
    Apply, Client, Commit, Filter, Overflow, ReconnectPolicy, RefusedId, ResumeStore, State, SubscribeOptions,
};
use tokio::time::timeout;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Instrument as _, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::support::{always, client, serve, status, staying, until, within};

/// Each log event as a line: level, name, fields, and its span. A new span is a line, too.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

/// ` name=value` for each field.
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != "message" {
            write!(self.0, " {}={value:?}", field.name()).unwrap();
        }
    }
}

/// What the default formatter prints.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl io::Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn note(&self, metadata: &Metadata<'_>, record: impl FnOnce(&mut Fields), span: &str) {
        if metadata.target() == "sseclient" {
            let mut fields = Fields(String::new());
            record(&mut fields);
            let line = format!("{} {}{} in {span}", metadata.level(), metadata.name(), fields.0);
            self.0.lock().unwrap().push(line);
        }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Those that are no span.
    fn warnings(&self) -> Vec<String> {
        let is_warning = |line: &String| line.starts_with("WARN ") && !line.starts_with("WARN sseclient ");
        self.take().into_iter().filter(is_warning).collect()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, span: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let parent = context.span(id).and_then(|span| span.parent()).map_or("-", |parent| parent.name());
        self.note(span.metadata(), |fields| span.record(fields), parent);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let span = context.event_span(event).map_or("-", |span| span.name());
        self.note(event.metadata(), |fields| event.record(fields), span);
    }
}

/// A response that ends after this text.
fn ending(text: impl Into<Bytes>) -> Script {
    Script::open().bytes(text).end()
}

/// A store whose saves fail.
struct Broken;

impl ResumeStore for Broken {
    type Error = io::Error;

    async fn load(&self) -> io::Result<Option<String>> {
        Ok(None)
    }

    async fn save(&self, _: String) -> io::Result<()> {
        Err(io::Error::other("no"))
    }
}

#[tokio::test]
async fn events_of_a_stream_are_logged_under_stable_names() {
    let lines = Lines::default();
    let printed = Printed::default();
    let writer = printed.clone();
    let formatter = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
    let subscriber = tracing_subscriber::registry().with(lines.clone()).with(formatter);
    let _guard = tracing::subscriber::set_default(subscriber);
    // The stream starts inside another span, and outlives it.
    let stories = async {
        a_stream_is_refused_and_one_subscriber_is_slow(&lines).await;
        a_subscriber_acknowledges_nothing(&lines).await;
        a_lone_subscriber_pauses(&lines).await;
        a_policy_panics(&lines).await;
        a_second_response_is_refused(&lines).await;
        a_stream_breaks_off_at_the_same_place(&lines).await;
        a_lazy_stream_has_no_subscriber(&lines).await;
        no_subscriber_acknowledges(&lines).await;
        an_acknowledging_subscriber_loses_events(&lines).await;
        an_id_is_refused(&lines).await;
    };
    stories.instrument(tracing::info_span!("the caller's")).await;
    // An alert on a name works on printed logs, too.
    let printed = String::from_utf8(std::mem::take(&mut *printed.0.lock().unwrap())).unwrap();
    for name in [
        "connecting",
        "open",
        "waiting",
        "closed",
        "left_out",
        "store_failed",
        "stuck",
        "lagged",
        "frozen",
        "unsaved",
        "stalled",
        "not_replaced",
        "missing",
        "poisoned",
        "idle",
        "id_refused",
    ] {
        assert!(printed.contains(&format!(" sseclient: {name}: ")), "no {name} in {printed}");
    }
}

async fn a_stream_is_refused_and_one_subscriber_is_slow(lines: &Lines) {
    let many = "data: x\n\n".repeat(1_000);
    let events = ending(format!("id: a\u{7f}\ndata: x\n\n{many}"));
    let server = serve([status(503), events, status(404)]).await;
    let url = format!("{}?token=secret", server.url().replace("http://", "http://user:secret@"));
    let stream = client().stream(url).name("prices").reconnection_time(Duration::ZERO);
    let handle = stream.resume_store(Broken, Commit::Delivery).build().unwrap();
    let slow = handle.subscribe_with(Filter::all(), SubscribeOptions::default().name("slow").capacity(4));
    let mut slow = slow.into_events();
    let mut held_up = handle.subscribe(Filter::all());
    handle.connect();
    while within(held_up.recv()).await.is_some() {}
    within(handle.closed()).await;
    while within(slow.recv()).await.is_some() {}
    within(handle.shutdown()).await;
    let mut lines = lines.take();
    let failed = "WARN store_failed error=the last event ID could not be saved in the resume store in sseclient";
    assert!(lines.iter().any(|line| line == failed));
    // The number and the time of the retries belong to the store. On a busy machine patience runs
    // slowly, and is over only after the wait has been called long.
    lines.retain(|line| line != failed && !line.starts_with("WARN stalled "));
    assert_eq!(lines, story(server.url()));
}

fn story(url: &str) -> [String; 11] {
    let gone = "the server answered 404 Not Found";
    [
        format!("WARN sseclient stream=\"prices\" url={url}?… in -"),
        "DEBUG connecting attempt=1 in sseclient".to_owned(),
        "INFO waiting attempt=2 delay_ms=0 kind=\"status\" error=the server answered 503 Service Unavailable \
         in sseclient"
            .to_owned(),
        "DEBUG connecting attempt=2 in sseclient".to_owned(),
        "INFO open attempt=2 status=200 version=HTTP/1.1 in sseclient".to_owned(),
        "WARN stuck subscriptions=1 names=\"slow\" in sseclient".to_owned(),
        "INFO waiting attempt=2 delay_ms=0 kind=\"end_of_stream\" error=the server ended the stream in \
         sseclient"
            .to_owned(),
        "WARN left_out what=\"the last event ID\" error=HTTP cannot carry the last event ID in sseclient".to_owned(),
        "DEBUG connecting attempt=2 in sseclient".to_owned(),
        format!("WARN closed reason={gone} kind=\"status\" attempts=2 error={gone} in sseclient"),
        "WARN lagged stream=\"prices\" subscription=\"slow\" missed=997 in the caller's".to_owned(),
    ]
}

async fn a_subscriber_acknowledges_nothing(lines: &Lines) {
    /// More events than acknowledgements are tracked for.
    const MANY: usize = 65_536 + 10;
    let server = serve(ending("data: x\n\n".repeat(MANY))).await;
    let stream = client().stream(server.url()).name("orders").reconnect_policy(ReconnectPolicy::never());
    let handle = stream.capacity(MANY).resume_store(Broken, Commit::Acknowledgement).build().unwrap();
    let options = SubscribeOptions::default().name("hoarder").acknowledging();
    let mut hoarder = handle.subscribe_with(Filter::all(), options);
    assert_eq!((handle.name(), handle.monitor().name(), hoarder.name()), ("orders", "orders", "hoarder"));
    handle.connect();
    while within(hoarder.recv()).await.is_some() {}
    within(handle.shutdown()).await;
    let lines = lines.warnings();
    let once = "WARN frozen subscription=\"hoarder\" store=\"logs::events::Broken\" in sseclient";
    assert_eq!(lines, [once]);
}

async fn an_acknowledging_subscriber_loses_events(lines: &Lines) {
    let server = serve(ending("data: x\n\n".repeat(20))).await;
    let stream = client().stream(server.url()).reconnect_policy(ReconnectPolicy::never());
    let handle = stream.resume_store(Broken, Commit::Acknowledgement).build().unwrap();
    let lossy = SubscribeOptions::default().name("lossy").acknowledging().overflow(Overflow::DropOldest).capacity(4);
    let mut lossy = handle.subscribe_with(Filter::all(), lossy);
    handle.connect();
    within(handle.closed()).await;
    while let Some(delivery) = within(lossy.recv()).await {
        delivery.event().map(|event| lossy.acknowledge(&event));
    }
    within(handle.shutdown()).await;
    let mut lines = lines.warnings();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "WARN frozen subscription=\"lossy\" store=\"logs::events::Broken\" in sseclient",
            "WARN lagged stream=\"\" subscription=\"lossy\" missed=16 in the caller's",
        ]
    );
}

async fn no_subscriber_acknowledges(lines: &Lines) {
    let server = serve(ending("id: 1\ndata: x\n\n")).await;
    let stream = client().stream(server.url()).reconnect_policy(ReconnectPolicy::never());
    let handle = stream.resume_store(Broken, Commit::Acknowledgement).build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    while within(events.recv()).await.is_some() {}
    within(handle.shutdown()).await;
    assert_eq!(lines.take().last().map(String::as_str), Some(UNSAVED));
}

const UNSAVED: &str = "WARN unsaved store=\"logs::events::Broken\" in sseclient";

async fn a_lone_subscriber_pauses(lines: &Lines) {
    let server = staying("data: x\n\n".repeat(20)).await;
    let handle = client().stream(server.url()).capacity(4).build().unwrap();
    let paused = handle.subscribe_with(Filter::all(), SubscribeOptions::default().name("paused"));
    handle.connect();
    let mut stalled = String::new();
    until("the stream says for whom it waits", || {
        stalled = lines.take().into_iter().find(|line| line.contains("stalled")).unwrap_or_default();
        !stalled.is_empty()
    })
    .await;
    assert!(stalled.starts_with("WARN stalled subscriptions=1 names=\"paused\" stalled_ms=1"), "{stalled}");
    assert!(stalled.ends_with(" in sseclient"), "{stalled}");
    drop(paused);
    within(handle.shutdown()).await;
    lines.take();
}

async fn a_policy_panics(lines: &Lines) {
    let server = serve(ending("")).await;
    let policy = ReconnectPolicy::daemon().decide_with(|_| panic!("at a loss"));
    let handle = client().stream(server.url()).reconnect_policy(policy).build().unwrap();
    handle.connect();
    within(handle.closed()).await;
    let failed = "the connection task panicked: at a loss";
    let closed = format!("WARN closed reason={failed} kind=\"task_failed\" error={failed} in sseclient");
    assert_eq!(lines.take().last(), Some(&closed));
}

async fn a_second_response_is_refused(lines: &Lines) {
    let server = serve([Script::open(), status(403)]).await;
    let handle = client().stream(server.url()).build().unwrap();
    handle.connect();
    within(handle.opened()).await.unwrap();
    within(handle.update(|request| request.bearer_auth("old"), Apply::MakeBeforeBreak)).await.unwrap_err();
    let line = "WARN not_replaced kind=\"status\" error=the server answered 403 Forbidden in sseclient";
    assert_eq!(lines.take().last().map(String::as_str), Some(line));
    within(handle.shutdown()).await;
}

async fn a_stream_breaks_off_at_the_same_place(lines: &Lines) {
    let server = always(|| ending("data: x")).await;
    let policy = ReconnectPolicy::daemon().reconnection_time(Duration::ZERO).stop_on_poison();
    let handle = client().stream(server.url()).name("prices").reconnect_policy(policy).build().unwrap();
    let named = SubscribeOptions::default().name("each");
    let mut events = handle.subscribe_with(Filter::all(), named).into_events();
    handle.connect();
    while within(events.recv()).await.is_some() {}
    let lines = lines.take();
    let missing = "WARN missing stream=\"prices\" subscription=\"each\" gap=reconnected without an ID: what came in \
                   between is lost in the caller's";
    assert!(lines.iter().any(|line| line == missing), "{lines:?}");
    let poisoned = "WARN poisoned error=the stream broke off 5 times in a row after the ID \"\"; to skip that place, \
                    reconnect from a later ID in sseclient";
    assert!(lines.iter().any(|line| line == poisoned), "{lines:?}");
}

async fn a_lazy_stream_has_no_subscriber(lines: &Lines) {
    let server = staying("").await;
    let handle = client().stream(server.url()).lazy(Duration::ZERO).build().unwrap();
    handle.connect();
    let subscription = handle.subscribe(Filter::all());
    within(handle.opened()).await.unwrap();
    lines.take();
    drop(subscription);
    until("the stream is idle", || matches!(handle.state(), State::Idle)).await;
    assert_eq!(lines.take(), ["INFO idle in sseclient"]);
    within(handle.shutdown()).await;
}

async fn an_id_is_refused(lines: &Lines) {
    let server = serve([ending("data: x\n\n"), status(410), status(404)]).await;
    let stream = client().stream(server.url()).last_event_id("7\" x").reconnection_time(Duration::ZERO);
    let handle = stream.if_id_is_refused(RefusedId::StartFresh).build().unwrap();
    handle.connect();
    within(handle.closed()).await;
    let lines = lines.take();
    let opened = "INFO open attempt=1 status=200 version=HTTP/1.1 resumed_after=\"7\\\" x\" in sseclient";
    assert!(lines.iter().any(|line| line == opened), "{lines:?}");
    let refused = "WARN id_refused error=the server answered 410 Gone";
    assert!(lines.iter().any(|line| line.starts_with(refused)), "{lines:?}");
}

#[tokio::test]
async fn where_only_warnings_are_logged_each_still_names_its_stream() {
    let printed = Printed::default();
    let writer = printed.clone();
    let formatter = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
    let subscriber = tracing_subscriber::registry().with(formatter.with_filter(LevelFilter::WARN));
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = serve(status(404)).await;
    let handle = client().stream(server.url()).name("prices").build().unwrap();
    handle.connect();
    within(handle.closed()).await;
    let printed = String::from_utf8(std::mem::take(&mut *printed.0.lock().unwrap())).unwrap();
    let lines: Vec<_> = printed.lines().collect();
    assert!(matches!(lines[..], [closed] if closed.contains("WARN sseclient{stream=\"prices\" url=")), "{printed}");
}

/// Several callers wait, some of them in turns. The warning comes once.
#[tokio::test(start_paused = true)]
async fn a_stream_that_nothing_connects_is_warned_of_once_after_five_seconds() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines.clone()));
    for caller in 0..4 {
        let handle = client().stream("http://127.0.0.1/").name("prices").build().unwrap();
        let (mut events, mut transcript) = (handle.subscribe(Filter::all()), handle.transcript());
        let mut waiting = Box::pin(async {
            match caller {
                // Each of its waits is short, and together they are long enough.
                0 => while timeout(Duration::from_secs(2), events.recv()).await.is_err() {},
                1 => drop(transcript.recv().await),
                2 => handle.opened().await.unwrap(),
                _ => handle.first_attempt().await.unwrap(),
            }
        });
        timeout(Duration::from_millis(4_900), &mut waiting).await.unwrap_err();
        assert_eq!(lines.take(), [""; 0], "{caller}");
        timeout(Duration::from_millis(200), &mut waiting).await.unwrap_err();
        assert_eq!(lines.take(), ["WARN never_connected stream=\"prices\" in -"], "{caller}");
        let others = async { tokio::join!(waiting, handle.opened()) };
        timeout(Duration::from_secs(60), others).await.unwrap_err();
        assert_eq!(lines.take(), [""; 0], "{caller}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_connected_in_time_is_not_warned_of() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines.clone()));
    let hanging = |_: http::Uri| std::future::pending::<io::Result<tokio::io::DuplexStream>>();
    let client = Client::builder().connector(hanging).build();
    let handle = client.stream("http://127.0.0.1/").build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    for seconds in [4, 60] {
        timeout(Duration::from_secs(seconds), async { tokio::join!(events.recv(), handle.opened()) })
            .await
            .unwrap_err();
        handle.connect();
    }
    assert!(lines.take().iter().all(|line| !line.contains("never_connected")));
}

/// A server that sends this text each second. Time is paused.
fn each_second(seconds: u32, text: impl Fn(u32) -> String) -> Server {
    let send = |script: Script, second| script.bytes(text(second)).stall(Duration::from_secs(1));
    Server::in_memory((0..seconds).fold(Script::open(), send).hang_up())
}

#[tokio::test(start_paused = true)]
async fn a_store_that_waits_for_a_subscription_which_acknowledges_is_warned_of() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines.clone()));
    for (acknowledging_from, warnings) in [(Some(0), 0), (Some(4), 0), (Some(7), 1), (None, 1)] {
        let server = each_second(20, |second| format!("id: {second}\ndata: x\n\n"));
        let stream = server.client().stream(server.url()).reconnect_policy(ReconnectPolicy::never());
        let handle = stream.resume_store(Broken, Commit::Acknowledgement).build().unwrap();
        let mut events = handle.subscribe(Filter::all());
        handle.connect();
        let mut acknowledging = Vec::new();
        for second in 0..20 {
            let warned = lines.take().iter().filter(|line| *line == UNSAVED).count();
            assert_eq!(warned, if second == 6 { warnings } else { 0 }, "{acknowledging_from:?}, {second}");
            if acknowledging_from == Some(second) {
                let options = SubscribeOptions::default().acknowledging();
                acknowledging.push(handle.subscribe_with(Filter::all(), options));
            }
            assert!(events.recv().await.unwrap().event().is_some());
        }
        handle.shutdown().await;
        assert!(!lines.take().contains(&UNSAVED.to_owned()), "{acknowledging_from:?}, at the end");
        server.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn losses_are_logged_once_a_minute_with_their_sum_and_the_rest_at_the_end() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines.clone()));
    for is_dropped in [false, true] {
        let server = each_second(130, |_| "data: x\n\n".repeat(10));
        let stream = server.client().stream(server.url()).reconnect_policy(ReconnectPolicy::never());
        let handle = stream.build().unwrap();
        let options = SubscribeOptions::default().name("slow").capacity(4).overflow(Overflow::DropOldest);
        let mut slow = handle.subscribe_with(Filter::all(), options);
        handle.connect();
        let mut logged = Vec::new();
        let mut note = |second: u32| {
            let lagged = "WARN lagged stream=\"\" subscription=\"slow\" missed=";
            let missed = |line: String| line.strip_prefix(lagged).map(|line| line.trim_end_matches(" in -").to_owned());
            logged.extend(lines.take().into_iter().filter_map(missed).map(|missed| (second, missed)));
        };
        for second in 0..130 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            while slow.try_recv().is_ok() {}
            note(second);
        }
        if !is_dropped {
            assert_eq!(slow.recv().await, None);
            note(200);
        }
        drop(slow);
        note(300);
        let end = if is_dropped { 300 } else { 200 };
        let expected = [(0, "6"), (60, "360"), (120, "360"), (end, "54")].map(|(at, sum)| (at, sum.to_owned()));
        assert_eq!(logged, expected, "{is_dropped}");
        server.finish().await;
    }
}

/// Counts the panics that say that a runtime has no timers.
fn counted_panics() -> Arc<AtomicUsize> {
    let (count, before) = (Arc::<AtomicUsize>::default(), panic::take_hook());
    let counted = Arc::clone(&count);
    panic::set_hook(Box::new(move |info| {
        if info.to_string().contains("timers are disabled") {
            counted.fetch_add(1, Ordering::Relaxed);
        } else {
            before(info);
        }
    }));
    count
}

/// tokio says by a panic that a runtime has no timers. It is caught, and there is no warning.
#[test]
fn readers_without_a_runtime_or_its_timers_wait_as_before() {
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(Lines::default()));
    let panics = counted_panics();
    let timeless = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let complete = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (what, runtime, is_connected, seen) in [
        ("no runtime", None, false, 0),
        ("no timers", Some(&timeless), false, 1),
        ("no timers, but a connection elsewhere", Some(&timeless), true, 0),
    ] {
        panics.store(0, Ordering::Relaxed);
        let handle = client().stream("http://127.0.0.1/").build().unwrap();
        if is_connected {
            let _entered = complete.enter();
            handle.connect();
        }
        let _entered = runtime.map(|runtime| runtime.enter());
        for _reader in 0..3 {
            let (mut events, mut transcript) = (handle.subscribe(Filter::all()), handle.transcript());
            for _poll in 0..3 {
                assert!(tokio_test::task::spawn(events.recv()).poll().is_pending());
                assert!(tokio_test::task::spawn(transcript.recv()).poll().is_pending());
                assert!(tokio_test::task::spawn(handle.opened()).poll().is_pending());
            }
        }
        assert_eq!(panics.load(Ordering::Relaxed), seen, "{what}");
    }
}
