//! The connection task against a scripted transport, under paused time: what happens when.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind};
use crate::target::Target;
use crate::transport::{BoxFuture, Connect, Io};
use crate::{Client, CloseReason, Filter, Handle, State};

/// What the server does with one connection.
#[derive(Clone)]
enum Script {
    /// Nobody is there.
    Refuse,
    /// The connection never comes about.
    Hang,
    /// A bug in the connector.
    Panic,
    /// Reads the request, sends this, and closes after that much time.
    Answer(&'static str, Duration),
}

/// A transport that follows a script, the last line for ever, and notes when it was asked.
struct Scripted {
    scripts: Vec<Script>,
    asked: watch::Sender<Vec<Instant>>,
}

impl Connect for Scripted {
    fn connect(&self, _: &Target, _: Duration) -> BoxFuture<Result<Box<dyn Io>, Error>> {
        let attempts = self.asked.borrow().len();
        let script = self.scripts[attempts.min(self.scripts.len() - 1)].clone();
        self.asked.send_modify(|asked| asked.push(Instant::now()));
        match script {
            Script::Refuse => Box::pin(async { Err(Error::new(ErrorKind::Connect, "refused")) }),
            Script::Hang => Box::pin(std::future::pending()),
            Script::Panic => panic!("a bug in the connector"),
            Script::Answer(text, open_for) => {
                let (client, server) = tokio::io::duplex(64 * 1024);
                tokio::spawn(answer(server, text, open_for));
                Box::pin(async { Ok(Box::new(client) as Box<dyn Io>) })
            }
        }
    }
}

async fn answer(mut server: DuplexStream, text: &str, open_for: Duration) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = server.read_u8().await else { return };
        head.push(byte);
    }
    let _ = server.write_all(text.as_bytes()).await;
    tokio::time::sleep(open_for).await;
}

const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const EVENT: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: x\n\n";
const RETRY: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nretry: 20000\n";
const LONG_RETRY: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nretry: 999999999999999999999999\n";
const NO_RETRY: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nretry: 0\nretry: +5\nretry:\n";
const STALLED_ERROR: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 100\r\n\r\nwhat there is";
const AT_ONCE: Duration = Duration::ZERO;

fn stream(scripts: Vec<Script>) -> (Arc<Scripted>, Handle) {
    let scripted = Arc::new(Scripted { scripts, asked: watch::Sender::default() });
    let handle = Client::with_connector(scripted.clone()).stream("http://host/").build().unwrap();
    (scripted, handle)
}

/// The seconds between the first attempts.
async fn pauses(scripts: Vec<Script>, attempts: usize) -> Vec<f64> {
    let (scripted, handle) = stream(scripts);
    handle.connect();
    scripted.asked.subscribe().wait_for(|asked| asked.len() >= attempts).await.unwrap();
    let asked = scripted.asked.borrow();
    asked.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect()
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
async fn the_servers_retry_replaces_the_reconnection_time_within_bounds_and_outlives_the_response() {
    let pauses_after = |text| pauses(vec![Script::Answer(text, AT_ONCE), Script::Refuse], 3);
    assert_back_off(&pauses_after(RETRY).await, &[20.0, 40.0]);
    assert_back_off(&pauses_after(LONG_RETRY).await, &[300.0, 300.0]);
    assert_back_off(&pauses_after(NO_RETRY).await, &[0.1, 0.2]);
}

#[tokio::test(start_paused = true)]
async fn connecting_may_take_ten_seconds_and_a_response_head_thirty() {
    for (script, kind, seconds) in [
        (Script::Hang, ErrorKind::ConnectTimeout, 10.0),
        (Script::Answer("", Duration::from_secs(3600)), ErrorKind::ResponseTimeout, 30.0),
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
