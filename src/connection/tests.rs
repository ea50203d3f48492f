//! The connection task against a scripted transport, under paused time: what happens when.

mod budget;
mod choices;
mod clocks;
mod defaults;
#[cfg(feature = "gzip")]
mod encoded;
mod lazy;
mod overflow;
mod poison;
mod row;
mod stores;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::event::Delivery;
use crate::transport::target::Target;
use crate::transport::{BoxFuture, Connect, HttpConnection};
use crate::{Client, CloseReason, Filter, Handle, ReconnectPolicy, State};

/// The server's behaviour on one connection.
#[derive(Clone)]
enum Script {
    /// Refuses the connection.
    Refuse,
    /// The connection never comes about.
    Hang,
    /// A bug in the connector.
    Panic,
    /// Reads the request, sends this, and closes after that much time.
    Answer(&'static str, Duration),
    /// Reads the request, and says one after the other, each after that much time.
    Talk(Vec<(Duration, &'static str)>),
    /// Like `Talk`, and notes the request.
    Note(Heard, Vec<(Duration, &'static str)>),
}

/// Requests, and when they came.
type Heard = Arc<Mutex<Vec<(Instant, String)>>>;

/// A transport that follows a script, the last line for ever, and notes when it was asked.
struct Scripted {
    scripts: Vec<Script>,
    asked: watch::Sender<Vec<Instant>>,
}

impl Connect for Scripted {
    fn connect(&self, _: &Target, _: Duration) -> BoxFuture<Result<HttpConnection, Error>> {
        let attempts = self.asked.borrow().len();
        let script = self.scripts[attempts.min(self.scripts.len() - 1)].clone();
        self.asked.send_modify(|asked| asked.push(Instant::now()));
        match script {
            Script::Refuse => Box::pin(async { Err(Error::new(ErrorKind::Connect, "refused")) }),
            Script::Hang => Box::pin(std::future::pending()),
            Script::Panic => panic!("a bug in the connector"),
            Script::Answer(text, open_for) => served(Heard::default(), vec![(Duration::ZERO, text), (open_for, "")]),
            Script::Talk(lines) => served(Heard::default(), lines),
            Script::Note(heard, lines) => served(heard, lines),
        }
    }
}

fn served(heard: Heard, lines: Vec<(Duration, &'static str)>) -> BoxFuture<Result<HttpConnection, Error>> {
    let (client, server) = tokio::io::duplex(64 * 1024);
    tokio::spawn(talk(server, heard, lines));
    Box::pin(async { Ok(HttpConnection::Http1(Box::new(client))) })
}

async fn talk(mut server: DuplexStream, heard: Heard, lines: Vec<(Duration, &str)>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = server.read_u8().await else { return };
        head.push(byte);
    }
    heard.lock().unwrap().push((Instant::now(), String::from_utf8(head).unwrap()));
    for (pause, text) in lines {
        tokio::time::sleep(pause).await;
        let _ = server.write_all(text.as_bytes()).await;
    }
}

const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const EVENT: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: x\n\n";
const RETRY: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nretry: 20000\n";
const LONG_RETRY: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nretry: 999999999999999999999999\n";
const NO_RETRY: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nretry: 0\nretry: +5\nretry:\n";
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
const MAINTENANCE: &str = "HTTP/1.1 503 Unavailable\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n";
const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\ndata: x\n\n";
const WITH_ID: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nid: 7\ndata: x\n\n";
const STALLED_ERROR: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 100\r\n\r\nwhat there is";
const AT_ONCE: Duration = Duration::ZERO;

fn stream(scripts: Vec<Script>) -> (Arc<Scripted>, Handle) {
    stream_with(ReconnectPolicy::daemon(), scripts)
}

fn stream_with(policy: ReconnectPolicy, scripts: Vec<Script>) -> (Arc<Scripted>, Handle) {
    let scripted = Arc::new(Scripted { scripts, asked: watch::Sender::default() });
    let client = Client::with_connector(scripted.clone());
    let handle = client.stream("http://host/").reconnect_policy(policy).build().unwrap();
    (scripted, handle)
}

/// The seconds between the first attempts.
async fn pauses(scripts: Vec<Script>, attempts: usize) -> Vec<f64> {
    pauses_with(ReconnectPolicy::daemon(), scripts, attempts).await
}

async fn pauses_with(policy: ReconnectPolicy, scripts: Vec<Script>, attempts: usize) -> Vec<f64> {
    let (scripted, handle) = stream_with(policy, scripts);
    handle.connect();
    scripted.asked.subscribe().wait_for(|asked| asked.len() >= attempts).await.unwrap();
    let asked = scripted.asked.borrow();
    asked.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect()
}

fn seconds(pauses: &[f64]) -> Vec<u64> {
    pauses.iter().map(|pause| *pause as u64).collect()
}

#[track_caller]
fn assert_back_off(pauses: &[f64], expected: &[f64]) {
    assert_eq!(pauses.len(), expected.len());
    for (pause, base) in pauses.iter().zip(expected) {
        // A tick of the timer, and the server's own time, on top of the jitter.
        assert!((*base..=base * 1.5 + 0.1).contains(pause), "{pauses:?} are not {expected:?} and up to half more");
    }
}

#[tokio::test(start_paused = true)]
async fn failed_attempts_are_further_and_further_apart_up_to_a_minute() {
    assert_back_off(&pauses(vec![Script::Refuse], 8).await, &[3.0, 6.0, 12.0, 24.0, 48.0, 60.0, 60.0]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_and_closes_is_no_hot_loop() {
    assert_back_off(&pauses(vec![Script::Answer(EMPTY, AT_ONCE)], 5).await, &[3.0, 6.0, 12.0, 24.0]);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_delivered_or_stayed_open_starts_the_back_off_anew() {
    let seconds = Duration::from_secs;
    let scripts = vec![
        Script::Refuse,
        Script::Refuse,
        Script::Answer(EVENT, AT_ONCE),
        Script::Refuse,
        Script::Answer(EMPTY, seconds(10)),
        Script::Refuse,
    ];
    let pauses = pauses(scripts, 7).await;
    assert_back_off(&[&pauses[..4], &[pauses[4] - 10.0], &pauses[5..]].concat(), &[3.0, 6.0, 3.0, 6.0, 3.0, 6.0]);
}

#[tokio::test(start_paused = true)]
async fn the_servers_retry_is_clamped_and_outlives_the_response() {
    let pauses_after = |text| pauses(vec![Script::Answer(text, AT_ONCE), Script::Refuse], 3);
    assert_back_off(&pauses_after(RETRY).await, &[20.0, 40.0]);
    assert_back_off(&pauses_after(LONG_RETRY).await, &[300.0, 300.0]);
    assert_back_off(&pauses_after(NO_RETRY).await, &[0.1, 0.2]);
}

#[tokio::test(start_paused = true)]
async fn each_policy_waits_its_own_way() {
    let refused = || vec![Script::Refuse];
    let no_such_page = || vec![Script::Answer(NOT_FOUND, AT_ONCE)];
    let standard = ReconnectPolicy::standard;
    assert_eq!(seconds(&pauses_with(standard(), refused(), 5).await), [3, 3, 3, 3]);
    assert_back_off(&pauses_with(ReconnectPolicy::persistent(), no_such_page(), 4).await, &[60.0, 60.0, 60.0]);
    let own = standard().reconnection_time(Duration::from_secs(1)).factor(10.0).ceiling(Duration::from_secs(50));
    assert_eq!(seconds(&pauses_with(own, refused(), 5).await), [1, 10, 50, 50]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_holds_back_one_wait_and_spreads_as_others_do() {
    let scripts = vec![Script::Answer(MAINTENANCE, AT_ONCE), Script::Refuse];
    let pauses = pauses(scripts, 3).await;
    assert!((120.0..121.6).contains(&pauses[0]), "120 s, and up to half of 3 s: {pauses:?}");
    assert_back_off(&pauses[1..], &[6.0]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_given_up_after_the_policys_retries_or_time() {
    let event = Script::Answer(EVENT, AT_ONCE);
    let scripts = || vec![Script::Refuse, Script::Refuse, event.clone(), Script::Refuse];
    let elapsed = ReconnectPolicy::standard().max_elapsed(Duration::from_secs(10));
    // Two in a row before the event; after it the end of the response and refusals, 3 s apart.
    for (policy, attempts) in [(ReconnectPolicy::daemon().max_retries(2), 5), (elapsed, 6)] {
        let (scripted, handle) = stream_with(policy, scripts());
        handle.connect();
        let reason = handle.closed().await;
        assert_eq!(reason.error().unwrap().kind(), ErrorKind::Connect);
        assert_eq!(scripted.asked.borrow().len(), attempts);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_one_response_ends_well_when_the_response_does() {
    for (script, ends_well) in [(EVENT, true), (CUT, false), (NOT_FOUND, false)] {
        let (scripted, handle) = stream_with(ReconnectPolicy::never(), vec![Script::Answer(script, AT_ONCE)]);
        handle.connect();
        assert_eq!(handle.closed().await.into_result().is_ok(), ends_well, "{script}");
        assert_eq!(scripted.asked.borrow().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_waits() {
    let waits = |seed| pauses_with(ReconnectPolicy::daemon().seed(seed), vec![Script::Refuse], 6);
    let first = waits(7).await;
    assert_eq!(first, waits(7).await);
    assert_ne!(first, waits(8).await);
}

#[tokio::test(start_paused = true)]
async fn connecting_may_take_ten_seconds_and_a_response_head_five_minutes() {
    for (script, kind, seconds) in [
        (Script::Hang, ErrorKind::ConnectTimeout, 10.0),
        (Script::Answer("", Duration::from_secs(3600)), ErrorKind::ResponseTimeout, 300.0),
    ] {
        let (scripted, handle) = stream(vec![script]);
        let mut states = handle.state_changes();
        handle.connect();
        let cause = loop {
            if let Some(State::Waiting { cause, .. }) = states.recv().await {
                break cause;
            }
        };
        let took = scripted.asked.borrow()[0].elapsed().as_secs_f64();
        assert_eq!(cause.kind(), kind);
        assert!((seconds..seconds + 0.1).contains(&took), "{kind:?} after {took} s");
    }
}

#[tokio::test(start_paused = true)]
async fn the_body_of_an_error_is_waited_for_two_seconds() {
    let (scripted, handle) = stream(vec![Script::Answer(STALLED_ERROR, Duration::from_secs(3600))]);
    handle.connect();
    let reason = handle.closed().await;
    assert_eq!(&reason.error().unwrap().body().unwrap()[..], b"what there is");
    assert!(scripted.asked.borrow()[0].elapsed() < Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn any_byte_puts_off_the_idle_timeout_and_silence_is_a_failure_of_its_own() {
    let heartbeats = || {
        let beat = (Duration::from_secs(9), ":\n");
        vec![(AT_ONCE, EMPTY), beat, beat, beat, (Duration::from_secs(3600), "")]
    };
    let scripted =
        Arc::new(Scripted { scripts: vec![Script::Talk(heartbeats()), Script::Hang], asked: watch::Sender::default() });
    let client = Client::with_connector(scripted.clone());
    let handle = client.stream("http://host/").idle_timeout(Duration::from_secs(10)).build().unwrap();
    let mut states = handle.state_changes();
    handle.connect();
    let cause = loop {
        if let Some(State::Waiting { cause, .. }) = states.recv().await {
            break cause;
        }
    };
    assert_eq!(cause.kind(), ErrorKind::IdleTimeout);
    assert_eq!(scripted.asked.borrow()[0].elapsed().as_secs(), 37, "three heartbeats 9 s apart, and 10 s of silence");
    handle.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_may_be_silent_for_a_month() {
    let month = Duration::from_secs(30 * 24 * 3600);
    let (scripted, handle) = stream(vec![Script::Answer(EVENT, month)]);
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    assert!(matches!(events.recv().await, Some(Delivery::Event(_))));
    tokio::time::sleep(month - Duration::from_secs(1)).await;
    assert!(handle.state().is_open());
    assert_eq!(scripted.asked.borrow().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_task_ends_subscriptions_and_has_a_reason() {
    let (_, handle) = stream(vec![Script::Panic]);
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    assert!(events.recv().await.is_none());
    let Some(CloseReason::Failed(error)) = events.close_reason() else { panic!("a failure") };
    assert_eq!(error.kind(), ErrorKind::TaskFailed);
    assert!(handle.opened().await.is_err());
    assert!(matches!(handle.shutdown().await, CloseReason::Failed(_)));
}

#[tokio::test(start_paused = true)]
async fn any_reconnection_time_is_taken_zero_and_for_ever() {
    for (time, attempts) in [(Duration::ZERO, 50), (Duration::MAX, 1)] {
        let scripted = Arc::new(Scripted { scripts: vec![Script::Refuse], asked: watch::Sender::default() });
        let client = Client::with_connector(scripted.clone());
        let handle = client.stream("http://host/").reconnection_time(time).build().unwrap();
        handle.connect();
        scripted.asked.subscribe().wait_for(|asked| asked.len() >= attempts).await.unwrap();
        assert!(matches!(handle.shutdown().await, CloseReason::Shutdown));
    }
}
