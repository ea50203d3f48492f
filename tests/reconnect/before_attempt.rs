//! The hook before each attempt: what it learns, what it can change, and what its failures do.

use std::convert::Infallible;
use std::error::Error as _;
use std::future::{pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use sseclient::testing::{Script, Server};
use sseclient::{
    Apply, Client, CloseReason, CredentialsReason, Delivery, ErrorKind, Gap, NextAttempt, ReconnectPolicy, State,
    StreamBuilder,
};
use tokio::time::Instant;

use crate::support::{follow, headers, numbered, serve, short, status, staying, stream, until, within};

type Answer = Result<NextAttempt, Infallible>;

/// Notes of a hook, in order.
type Notes = Arc<Mutex<Vec<String>>>;

/// A response that ends after these events.
fn part(events: impl Into<Bytes>) -> Script {
    Script::open().bytes(events).end()
}

/// Method, path and query of each request.
fn lines(server: &Server) -> Vec<String> {
    server.requests().iter().map(|request| format!("{} {}", request.method(), request.uri())).collect()
}

/// What a hook learns, on one line.
fn facts(attempt: &NextAttempt) -> String {
    let reason = match attempt.reason() {
        CredentialsReason::First => "first".to_owned(),
        CredentialsReason::Reconnect => "reconnect".to_owned(),
        CredentialsReason::Rejected { status, .. } => format!("rejected {}", status.as_u16()),
        other => panic!("{other:?}"),
    };
    let failure = attempt.failure().map(|failure| (failure.kind(), failure.status().map(|status| status.as_u16())));
    format!("{} {reason}, after {:?}, {failure:?}", attempt.number(), attempt.last_event_id())
}

/// A hook that notes what it learns, and changes nothing.
fn noting(notes: &Notes) -> impl Fn(NextAttempt) -> std::future::Ready<Answer> + use<> {
    let notes = Arc::clone(notes);
    move |attempt| {
        notes.lock().unwrap().push(facts(&attempt));
        ready(Ok(attempt))
    }
}

/// A stream without a network: each request is answered with an event, and that is its end.
fn in_memory() -> StreamBuilder {
    let client = Client::builder().transport(|_: Request<Bytes>| async {
        let body = Full::new(Bytes::from("data: x\n\n"));
        Response::builder().header("content-type", "text/event-stream").body(body)
    });
    let stream = client.build().stream("http://host/");
    stream.reconnect_policy(ReconnectPolicy::daemon().jitter(0.0))
}

#[tokio::test]
async fn a_cursor_in_the_query_is_computed_from_the_last_event_id() {
    async fn next_page(attempt: NextAttempt) -> Result<NextAttempt, std::num::ParseIntError> {
        let Some(id) = attempt.last_event_id() else { return Ok(attempt.remove_query("cursor")) };
        let cursor = id.parse::<u64>()? + 1;
        Ok(attempt.query("cursor", cursor.to_string()))
    }
    let server = serve([part(numbered([41])), part(numbered([42])), Script::open()]).await;
    let url = format!("{}?topic=a%20b&cursor=0&c%75rsor=1", server.url());
    let (handle, mut events) = follow(stream(&url).before_attempt(next_page));
    for expected in ["41", "reconnected after Some(\"41\")", "42", "reconnected after Some(\"42\")"] {
        assert_eq!(short(&mut events).await, expected);
    }
    within(handle.shutdown()).await;
    let expected = ["/stream?topic=a%20b", "/stream?topic=a%20b&cursor=42", "/stream?topic=a%20b&cursor=43"];
    assert_eq!(lines(&server), expected.map(|asked| format!("GET {asked}")));
}

#[tokio::test]
async fn a_hook_learns_number_reason_last_event_id_and_the_failure_before() {
    let answers = [status(503), status(500), part(numbered([7])), status(401), part("data: x\n\n"), status(410)];
    let server = serve(answers).await;
    let notes = Notes::default();
    let (handle, _events) = follow(stream(server.url()).before_attempt(noting(&notes)));
    // The 410 is final.
    within(handle.closed()).await;
    assert_eq!(
        *notes.lock().unwrap(),
        [
            "1 first, after None, None",
            "2 reconnect, after None, Some((Status, Some(503)))",
            "3 reconnect, after None, Some((Status, Some(500)))",
            "2 reconnect, after Some(\"7\"), Some((EndOfStream, None))",
            // At once, like a refusal of credentials.
            "2 rejected 401, after Some(\"7\"), Some((Status, Some(401)))",
            "2 reconnect, after Some(\"7\"), Some((EndOfStream, None))",
        ]
    );
}

#[tokio::test]
async fn a_reconnection_that_the_program_asks_for_has_no_failure_before_it() {
    let server = serve([status(503), Script::open().bytes(numbered([7])), Script::open()]).await;
    let notes = Notes::default();
    let (handle, mut events) = follow(stream(server.url()).before_attempt(noting(&notes)));
    assert_eq!(short(&mut events).await, "7");
    handle.reconnect();
    assert_eq!(short(&mut events).await, "reconnected after Some(\"7\")");
    assert_eq!(
        *notes.lock().unwrap(),
        [
            "1 first, after None, None",
            "2 reconnect, after None, Some((Status, Some(503)))",
            "1 reconnect, after Some(\"7\"), None"
        ]
    );
}

#[tokio::test]
async fn changes_of_a_hook_are_for_one_attempt_alone() {
    let server = serve([part("data: x\n\n"), Script::open()]).await;
    let asked = AtomicUsize::new(0);
    let hook = move |attempt: NextAttempt| {
        let is_first = asked.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            assert_eq!((attempt.method().as_str(), attempt.url().path()), ("REPORT", "/stream"));
            assert_eq!((attempt.headers()["x-set"].to_str().unwrap(), &attempt.body()[..]), ("set", &b"set"[..]));
            let changed = |attempt: NextAttempt| {
                attempt.remove_header("x-set").header("x-new", "1").query("q", "1").with_body("changed")
            };
            Ok::<_, Infallible>(if is_first { changed(attempt) } else { attempt })
        }
    };
    let policy = ReconnectPolicy::daemon();
    let builder = stream(server.url()).method("REPORT").header("x-set", "set").body("set").reconnect_policy(policy);
    let (handle, mut events) = follow(builder.before_attempt(hook));
    for expected in ["x", "reconnected after None"] {
        assert_eq!(short(&mut events).await, expected);
    }
    within(handle.shutdown()).await;
    assert_eq!(lines(&server), ["REPORT /stream?q=1", "REPORT /stream"]);
    let bodies: Vec<_> = server.requests().into_iter().map(Request::into_body).collect();
    assert_eq!(bodies, ["changed", "set"]);
    for (name, expected) in [("x-set", [None, Some("set")]), ("x-new", [Some("1"), None])] {
        assert_eq!(headers(&server, name), expected.map(|value| value.map(str::to_owned)));
    }
}

/// Trace Context (W3C), section 3.2: version, trace, span, flags.
#[tokio::test]
async fn each_attempt_can_have_a_traceparent_of_its_own() {
    let server = serve([part("data: x\n\n"), part("data: x\n\n"), Script::open()]).await;
    let spans = AtomicUsize::new(1);
    let hook = move |attempt: NextAttempt| {
        let span = spans.fetch_add(1, Ordering::Relaxed);
        ready(Ok::<_, Infallible>(attempt.header("traceparent", format!("00-{:032x}-{span:016x}-01", 0xabc))))
    };
    let (handle, mut events) = follow(stream(server.url()).before_attempt(hook));
    for expected in ["x", "reconnected after None", "x", "reconnected after None"] {
        assert_eq!(short(&mut events).await, expected);
    }
    within(handle.shutdown()).await;
    let expected = [1, 2, 3].map(|span| Some(format!("00-00000000000000000000000000000abc-{span:016x}-01")));
    assert_eq!(headers(&server, "traceparent"), expected);
}

#[tokio::test]
async fn credentials_are_asked_for_after_the_hook_and_win() {
    let server = serve([status(401), status(204)]).await;
    let notes = Notes::default();
    let (of_hook, of_source) = (Arc::clone(&notes), Arc::clone(&notes));
    let hook = move |attempt: NextAttempt| {
        of_hook.lock().unwrap().push(format!("hook: {:?}", attempt.headers().get(AUTHORIZATION)));
        let attempt = attempt.header(AUTHORIZATION, "of the hook").header("x-hook", "1");
        ready(Ok::<_, Infallible>(attempt))
    };
    let source = move |reason| {
        let why = if let CredentialsReason::Rejected { .. } = reason { "rejected" } else { "first" };
        of_source.lock().unwrap().push(format!("source: {why}"));
        ready(Ok::<_, Infallible>(HeaderMap::from_iter([(AUTHORIZATION, "of the source".parse().unwrap())])))
    };
    // In either order of the calls.
    let (handle, _events) = follow(stream(server.url()).credentials(source).before_attempt(hook));
    assert!(matches!(within(handle.closed()).await, CloseReason::NoContent));
    assert_eq!(*notes.lock().unwrap(), ["hook: None", "source: first", "hook: None", "source: rejected"]);
    assert_eq!(headers(&server, "authorization"), vec![Some("of the source".to_owned()); 2]);
    assert_eq!(headers(&server, "x-hook"), vec![Some("1".to_owned()); 2]);
}

#[tokio::test]
async fn a_hook_that_fails_is_asked_again_later() {
    let server = serve(Script::open().bytes("data: 1\n\n")).await;
    let notes = Notes::default();
    let noted = Arc::clone(&notes);
    let hook = move |attempt: NextAttempt| {
        let mut notes = noted.lock().unwrap();
        notes.push(facts(&attempt));
        ready(if notes.len() < 3 { Err("the clock is not set") } else { Ok(attempt) })
    };
    let (handle, mut events) = follow(stream(server.url()).before_attempt(hook));
    assert_eq!(short(&mut events).await, "1");
    assert_eq!(handle.stats().failures[&ErrorKind::BeforeAttempt], 2);
    let failure = "Some((BeforeAttempt, None))";
    assert_eq!(
        notes.lock().unwrap()[..3],
        [
            "1 first, after None, None".to_owned(),
            format!("2 reconnect, after None, {failure}"),
            format!("3 reconnect, after None, {failure}")
        ]
    );
    // `open` returns the failure of the first attempt, with what the hook says.
    let error = stream(server.url()).before_attempt(|_| ready(Err("no clock"))).open("message").await.unwrap_err();
    assert_eq!((error.kind(), error.is_final()), (ErrorKind::BeforeAttempt, false));
    assert_eq!(error.source().unwrap().to_string(), "no clock");
}

#[tokio::test]
async fn what_cannot_be_sent_fails_the_attempt_and_says_why() {
    type Mistake = fn(NextAttempt) -> NextAttempt;
    let mistakes: [(Mistake, ErrorKind); 7] = [
        // Of two mistakes the first one counts.
        (|attempt| attempt.header("a b", "1").query("long", "x".repeat(70_000)), ErrorKind::InvalidHeader),
        (|attempt| attempt.header("a b", "1"), ErrorKind::InvalidHeader),
        (|attempt| attempt.header("x-new", "1\n2").header("x-new", "1"), ErrorKind::InvalidHeader),
        (|attempt| attempt.header("Last-Event-ID", "8"), ErrorKind::InvalidHeader),
        (|attempt| attempt.remove_header("last-event-id"), ErrorKind::InvalidHeader),
        (|attempt| attempt.query("long", "x".repeat(70_000)), ErrorKind::InvalidUrl),
        (
            |attempt| (0..2000).fold(attempt, |attempt, number| attempt.header(format!("x-{number}"), "1")),
            ErrorKind::InvalidHeader,
        ),
    ];
    let server = staying("").await;
    for (mistake, kind) in mistakes {
        let builder = stream(server.url()).before_attempt(move |attempt| ready(Ok::<_, Infallible>(mistake(attempt))));
        let error = within(builder.open("message")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BeforeAttempt);
        let source = error.source().and_then(|source| source.downcast_ref::<sseclient::Error>()).unwrap();
        assert_eq!(source.kind(), kind, "{source}");
    }
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn a_hook_that_panics_ends_the_stream() {
    type Hook = fn(NextAttempt) -> std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;
    let hooks: [Hook; 2] = [|_| panic!("no clock"), |_| Box::pin(async { panic!("no clock") })];
    for hook in hooks {
        let (handle, mut events) = follow(in_memory().before_attempt(hook));
        let reason = within(handle.closed()).await;
        let error = reason.error().unwrap();
        assert_eq!(error.kind(), ErrorKind::TaskFailed);
        assert!(error.to_string().contains("no clock"), "{error}");
        assert!(within(events.recv()).await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_has_thirty_seconds() {
    let asked = AtomicUsize::new(0);
    let hook = move |attempt: NextAttempt| {
        let hangs = asked.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if hangs {
                pending::<()>().await;
            }
            Ok::<_, Infallible>(attempt)
        }
    };
    let handle = in_memory().before_attempt(hook).build().unwrap();
    let (mut events, mut states, begun) = (handle.subscribe("message"), handle.state_changes(), Instant::now());
    handle.connect();
    let cause = loop {
        if let Some(State::Waiting { cause, .. }) = states.recv().await {
            break cause;
        }
    };
    assert_eq!((cause.kind(), begun.elapsed().as_secs()), (ErrorKind::BeforeAttemptTimeout, 30));
    assert!(matches!(events.recv().await, Some(Delivery::Event(_))));
    assert_eq!(begun.elapsed().as_secs(), 33, "after the reconnection time");
}

/// An answer that came while the program was stopped is there when the limit is already over.
#[tokio::test(start_paused = true)]
async fn a_program_that_was_stopped_reads_the_answer_of_its_hook() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let receiver = Mutex::new(Some(receiver));
    let hook = move |attempt: NextAttempt| {
        let receiver = receiver.lock().unwrap().take();
        async move {
            if let Some(receiver) = receiver {
                receiver.await.unwrap();
            }
            Ok::<_, Infallible>(attempt)
        }
    };
    let (handle, mut events) = follow(in_memory().before_attempt(hook));
    let yield_often = || async {
        for _turn in 0..10 {
            tokio::task::yield_now().await;
        }
    };
    yield_often().await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    yield_often().await;
    sender.send(()).unwrap();
    assert!(matches!(events.recv().await, Some(Delivery::Event(_))));
    assert!(!handle.stats().failures.contains_key(&ErrorKind::BeforeAttemptTimeout));
}

#[tokio::test]
async fn a_hook_that_hangs_does_not_hold_up_a_shutdown_or_a_change() {
    let alive = Arc::new(());
    let kept = Arc::clone(&alive);
    let hook = move |attempt: NextAttempt| {
        let kept = Arc::clone(&kept);
        async move {
            let _kept = kept;
            if attempt.headers().contains_key("x-hangs") {
                pending::<()>().await;
            }
            Ok::<_, Infallible>(attempt)
        }
    };
    let server = staying("data: x\n\n").await;
    let (handle, mut events) = follow(stream(server.url()).header("x-hangs", "1").before_attempt(hook));
    until("the hook is asked", || Arc::strong_count(&alive) == 3).await;
    within(handle.update(|request| request.remove_header("x-hangs"), Apply::Reconnect)).await.unwrap();
    assert_eq!(short(&mut events).await, "x");
    assert_eq!(Arc::strong_count(&alive), 2, "both futures are gone");
    let hanging = handle.update(|request| request.header("x-hangs", "1"), Apply::Reconnect);
    until("the hook is asked again", || Arc::strong_count(&alive) == 3).await;
    within(handle.shutdown()).await;
    assert!(within(hanging).await.is_err());
    until("its future is dropped", || Arc::strong_count(&alive) < 3).await;
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_hook_is_not_asked_about_redirects() {
    let found = || status(307).header("location", "/moved");
    let server = serve([found(), part("data: x\n\n"), found(), Script::open()]).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let hook = move |attempt: NextAttempt| {
        counted.fetch_add(1, Ordering::Relaxed);
        ready(Ok::<_, Infallible>(attempt.header("x-hook", "1").query("hook", "1")))
    };
    let mut events = stream(server.url()).before_attempt(hook).open("message").await.unwrap();
    assert_eq!(short(&mut events).await, "x");
    assert_eq!(short(&mut events).await, "reconnected after None");
    within(events.handle().shutdown()).await;
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    // Each attempt begins at the stream's own URL, and headers go along within the origin.
    let (first, moved) = ("GET /stream?hook=1", "GET /moved");
    assert_eq!(lines(&server), [first, moved, first, moved]);
    assert_eq!(headers(&server, "x-hook"), vec![Some("1".to_owned()); 4]);
}

#[tokio::test]
async fn another_origin_gets_only_headers_of_a_hook_that_hold_no_secrets() {
    let other = staying("data: x\n\n").await;
    let server = serve(status(307).header("location", other.url())).await;
    let hook = |attempt: NextAttempt| {
        let attempt = attempt.header(AUTHORIZATION, "Bearer t").header("x-signature", "s").header("accept", "a/b");
        ready(Ok::<_, Infallible>(attempt.query("token", "t")))
    };
    let mut events = within(stream(server.url()).before_attempt(hook).open("message")).await.unwrap();
    assert_eq!(short(&mut events).await, "x");
    for (name, value, is_safe) in
        [("authorization", "Bearer t", false), ("x-signature", "s", false), ("accept", "a/b", true)]
    {
        let value = Some(value.to_owned());
        assert_eq!(headers(&server, name), std::slice::from_ref(&value), "{name}");
        assert_eq!(headers(&other, name), [value.filter(|_| is_safe)], "{name}");
    }
    assert_eq!((lines(&server), lines(&other)), (vec!["GET /stream?token=t".into()], vec!["GET /stream".into()]));
}

#[tokio::test]
async fn a_header_of_a_hook_replaces_the_one_that_was_set() {
    let server = staying("").await;
    let replacing = |attempt: NextAttempt| ready(Ok::<_, Infallible>(attempt.header("X-Set", "of the hook")));
    let _ = within(stream(server.url()).header("x-set", "1").before_attempt(replacing).open("message")).await.unwrap();
    assert_eq!(headers(&server, "x-set"), [Some("of the hook".to_owned())]);
    assert_eq!(server.requests()[0].headers().get_all("x-set").iter().count(), 1);
}

#[tokio::test]
async fn a_default_is_sent_again_where_a_hook_removes_its_replacement() {
    let server = staying("").await;
    let builder = || stream(server.url()).header("user-agent", "relay/2").header("accept", "a/b").header("x-set", "1");
    let removing = |attempt: NextAttempt| {
        let names = ["User-Agent", "accept", "x-set"];
        ready(Ok::<_, Infallible>(names.into_iter().fold(attempt, NextAttempt::remove_header)))
    };
    let _ = within(builder().open("message")).await.unwrap();
    let _ = within(builder().before_attempt(removing).open("message")).await.unwrap();
    let own_agent = format!("sseclient/{}", env!("CARGO_PKG_VERSION"));
    for (name, set, default) in [
        ("user-agent", "relay/2", Some(&*own_agent)),
        ("accept", "a/b", Some("text/event-stream")),
        ("x-set", "1", None),
    ] {
        assert_eq!(headers(&server, name), [Some(set), default].map(|value| value.map(str::to_owned)), "{name}");
    }
}

#[tokio::test]
async fn a_hook_is_asked_before_a_handover_and_can_keep_the_open_response() {
    let server = staying(numbered([7])).await;
    let notes = Notes::default();
    let noted = Arc::clone(&notes);
    let hook = move |attempt: NextAttempt| {
        noted.lock().unwrap().push(facts(&attempt));
        ready(if attempt.headers().contains_key("x-bad") {
            Err("a bad header")
        } else {
            Ok(attempt.header("x-hook", "1"))
        })
    };
    let (handle, mut events) = follow(stream(server.url()).before_attempt(hook));
    assert_eq!(short(&mut events).await, "7");
    let failed = within(handle.update(|request| request.header("x-bad", "1"), Apply::MakeBeforeBreak)).await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::BeforeAttempt);
    assert!(handle.state().is_open());
    within(handle.update(|request| request.remove_header("x-bad"), Apply::MakeBeforeBreak)).await.unwrap();
    assert_eq!(
        *notes.lock().unwrap(),
        [
            "1 first, after None, None",
            "1 reconnect, after Some(\"7\"), None",
            "1 reconnect, after Some(\"7\"), Some((BeforeAttempt, None))"
        ]
    );
    assert_eq!(headers(&server, "x-hook"), vec![Some("1".to_owned()); 2]);
    assert!(!server.requests()[1].headers().contains_key("x-bad"));
}

/// The first attempt may take 2 s, the second 4 s, and the third as long as ever.
#[tokio::test(start_paused = true)]
async fn a_deadline_cuts_the_stages_of_an_attempt_short() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&sent);
    let client = Client::builder().transport(move |request: Request<Bytes>| {
        let deadline = request.headers().get("x-deadline-ms").map(|value| value.to_str().unwrap().to_owned());
        noted.lock().unwrap().push(deadline);
        async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let body = Full::new(Bytes::from("data: x\n\n"));
            Response::builder().header("content-type", "text/event-stream").body(body)
        }
    });
    let hook = |attempt: NextAttempt| {
        let deadline = Duration::from_secs(2 * u64::from(attempt.number()));
        let attempt = if attempt.number() < 3 {
            attempt.deadline(deadline).header("x-deadline-ms", deadline.as_millis().to_string())
        } else {
            attempt
        };
        ready(Ok::<_, Infallible>(attempt))
    };
    let policy = ReconnectPolicy::standard().reconnection_time(Duration::from_secs(1));
    let stream = client.build().stream("http://host/").reconnect_policy(policy).before_attempt(hook);
    let handle = stream.build().unwrap();
    let (mut events, mut states, begun) = (handle.subscribe("message"), handle.state_changes(), Instant::now());
    handle.connect();
    for seconds in [2, 2 + 1 + 4] {
        let cause = crate::support::setback(&mut states).await;
        assert_eq!((cause.kind(), begun.elapsed().as_secs()), (ErrorKind::ResponseTimeout, seconds));
        assert!(cause.to_string().ends_with("; the deadline of the attempt has passed"), "{cause}");
    }
    // The server may have taken the first request, and sent something.
    assert!(matches!(events.recv().await, Some(Delivery::Gap(Gap::Reconnected { sent: None, .. }))));
    assert_eq!(begun.elapsed().as_secs(), 2 + 1 + 4 + 1 + 5);
    assert!(matches!(events.recv().await, Some(Delivery::Event(_))));
    within(handle.shutdown()).await;
    let expected = [Some("2000".to_owned()), Some("4000".to_owned()), None];
    assert_eq!(sent.lock().unwrap()[..3], expected);
}

/// The kind of the first failure, with the seconds until then. The deadline is 5 s.
async fn failure_by_deadline(client: Client, set: fn(StreamBuilder) -> StreamBuilder) -> (ErrorKind, u64) {
    let hook = |attempt: NextAttempt| ready(Ok::<_, Infallible>(attempt.deadline(Duration::from_secs(5))));
    let handle = set(client.stream("http://host/").before_attempt(hook)).build().unwrap();
    let (mut states, begun) = (handle.state_changes(), Instant::now());
    handle.connect();
    let cause = crate::support::setback(&mut states).await;
    assert!(cause.to_string().ends_with("; the deadline of the attempt has passed"), "{cause}");
    (cause.kind(), begun.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_deadline_cuts_connecting_short() {
    let connector = |_: http::Uri| pending::<std::io::Result<tokio::io::DuplexStream>>();
    let client = Client::builder().connector(connector).build();
    assert_eq!(failure_by_deadline(client, |stream| stream).await, (ErrorKind::ConnectTimeout, 5));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_after_the_timeouts_changes_nothing() {
    let connector = |_: http::Uri| pending::<std::io::Result<tokio::io::DuplexStream>>();
    let transport = |_: Request<Bytes>| pending::<Result<Response<Full<Bytes>>, Infallible>>();
    let clients = [
        (Client::builder().connector(connector), ErrorKind::ConnectTimeout, 3),
        (Client::builder().transport(transport), ErrorKind::ResponseTimeout, 3 + 20),
    ];
    for (client, kind, seconds) in clients {
        let hook = |attempt: NextAttempt| ready(Ok::<_, Infallible>(attempt.deadline(Duration::from_secs(3600))));
        let stream = client.build().stream("http://host/").before_attempt(hook);
        let stream = stream.connect_timeout(Duration::from_secs(3)).response_timeout(Duration::from_secs(20));
        let begun = Instant::now();
        let error = stream.open("message").await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (kind, seconds));
        assert!(!error.to_string().contains("deadline"), "{error}");
    }
}

/// Each request, and the source of credentials, takes 3 s.
#[tokio::test(start_paused = true)]
async fn redirects_and_credentials_use_up_the_deadline() {
    async fn take_three_seconds() {
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    fn with_credentials(stream: StreamBuilder) -> StreamBuilder {
        stream.credentials(|_| async {
            take_three_seconds().await;
            Ok::<_, Infallible>(HeaderMap::new())
        })
    }
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let transport = move |_: Request<Bytes>| {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            take_three_seconds().await;
            let response = Response::builder().status(307).header("location", format!("/{number}"));
            response.body(Full::new(Bytes::new()))
        }
    };
    let client = Client::builder().transport(transport).build();
    for (set, requests) in [((|stream| stream) as fn(StreamBuilder) -> StreamBuilder, 2), (with_credentials, 1)] {
        sent.store(0, Ordering::Relaxed);
        assert_eq!(failure_by_deadline(client.clone(), set).await, (ErrorKind::ResponseTimeout, 5));
        assert_eq!(sent.load(Ordering::Relaxed), requests);
    }
}
