//! [`Row`]: one stream from its first attempt to its end: its requests, states and deliveries, each
//! with its time. Rows have no jitter, which only lengthens waits.

use super::*;
use crate::{StreamBuilder, TranscriptItem};

/// The head of an open stream, and what it says.
macro_rules! opened {
    ($body:literal) => {
        concat!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", $body)
    };
}
pub(super) use opened;

/// The server's way to end a row.
pub(super) const STOP: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// One line of a table.
pub(super) struct Row<'a> {
    pub(super) what: &'a str,
    pub(super) stream: fn(StreamBuilder) -> StreamBuilder,
    pub(super) answers: Vec<Script>,
    /// The time, and the headers that not every request has.
    pub(super) requests: &'a [&'a str],
    pub(super) states: &'a [&'a str],
    pub(super) deliveries: &'a [&'a str],
}

pub(super) fn plain(stream: StreamBuilder) -> StreamBuilder {
    stream
}

/// Texts after each of which the server closes.
pub(super) fn at_once(texts: &[&'static str]) -> Vec<Script> {
    texts.iter().map(|text| Script::Answer(text, AT_ONCE)).collect()
}

/// In seconds, to the tenth.
pub(super) fn tenths(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}

/// Answers as they are, and the requests are noted.
pub(super) fn overheard(answers: Vec<Script>, heard: &Heard) -> Vec<Script> {
    let note = |lines| Script::Note(Arc::clone(heard), lines);
    let overhear = |answer| match answer {
        Script::Answer(text, open_for) => note(vec![(AT_ONCE, text), (open_for, "")]),
        Script::Talk(lines) => note(lines),
        other => other,
    };
    answers.into_iter().map(overhear).collect()
}

/// The headers of a request, without those that each has.
pub(super) fn short_request(head: &str) -> String {
    let mut lines: Vec<&str> = head.trim_end().split("\r\n").collect();
    let agent = concat!("user-agent: sseclient/", env!("CARGO_PKG_VERSION"));
    for always in ["GET / HTTP/1.1", "accept: text/event-stream", "cache-control: no-cache", "host: host", agent] {
        let place = lines.iter().position(|line| *line == always).unwrap_or_else(|| panic!("no {always} in {head}"));
        lines.remove(place);
    }
    // Depends on the build.
    lines.retain(|line| !line.starts_with("accept-encoding: "));
    lines.join(", ")
}

fn short_error(error: &Error) -> String {
    let status = error.status().map(|status| format!(" {}", status.as_u16())).unwrap_or_default();
    format!("{:?}{status}", error.kind())
}

/// A state, with its times since the beginning.
pub(super) fn short_state(state: &State, begun: Instant) -> String {
    let at = |instant: &Instant| tenths(instant.duration_since(begun));
    match state {
        State::Connecting { attempt } => format!("connecting {attempt}"),
        State::Open { since, attempt, .. } => format!("open {attempt} since {}", at(since)),
        State::Waiting { attempt, delay, until, cause } => {
            format!("waiting {} until {} for {attempt}: {}", tenths(*delay), at(until), short_error(cause))
        }
        State::Closed(CloseReason::NoContent) => "stopped".to_owned(),
        State::Closed(CloseReason::Failed(error)) => format!("failed: {}", short_error(error)),
        other => other.to_string(),
    }
}

/// Follows the row to its end.
pub(super) async fn check(row: Row<'_>) {
    let heard = Heard::default();
    let scripted = Scripted { scripts: overheard(row.answers, &heard), asked: watch::Sender::default() };
    let client = Client::with_connector(Arc::new(scripted));
    let stream = client.stream("http://host/").reconnect_policy(ReconnectPolicy::daemon().jitter(0.0));
    let handle = (row.stream)(stream).build().unwrap();
    let (mut transcript, mut events) = (handle.transcript(), handle.subscribe(Filter::all()));
    let begun = Instant::now();
    handle.connect();
    let mut states = Vec::new();
    // A day is longer than any row.
    let day = Duration::from_secs(24 * 3600);
    while let Some(item) = tokio::time::timeout(day, transcript.recv()).await.unwrap() {
        if let TranscriptItem::State(state) = item {
            states.push(format!("{} {}", tenths(begun.elapsed()), short_state(&state, begun)));
        }
        if states.len() > row.states.len() {
            handle.shutdown().await;
            break;
        }
    }
    let mut deliveries = Vec::new();
    while let Some(delivery) = events.recv().await {
        deliveries.push(match delivery {
            Delivery::Event(event) => format!("{}#{}", event.data(), event.last_event_id()),
            Delivery::Gap(gap) => gap.to_string(),
        });
    }
    let heard = heard.lock().unwrap();
    let request =
        |(when, head): &(Instant, String)| format!("{} {}", tenths(when.duration_since(begun)), short_request(head));
    let requests: Vec<_> = heard.iter().map(|heard| request(heard).trim_end().to_owned()).collect();
    assert_eq!(requests, row.requests, "requests, {}", row.what);
    assert_eq!(states, row.states, "states, {}", row.what);
    assert_eq!(deliveries, row.deliveries, "deliveries, {}", row.what);
}
