//! Output for programs: one JSON object per line, in the order of the transcript.

use std::io::{self, Stdout, Write};

use serde_json::{Map, Value};
use sseclient::{CloseReason, Error, Event, Gap, State, TranscriptItem};

use crate::advice;

pub(crate) struct Json {
    out: Stdout,
}

impl Json {
    pub(crate) fn new() -> Self {
        Self { out: io::stdout() }
    }

    pub(crate) fn print(&mut self, item: &TranscriptItem) -> io::Result<()> {
        let Some(object) = object(item) else {
            return Ok(());
        };
        let mut line = Value::Object(object.0).to_string();
        line.push('\n');
        self.out.write_all(line.as_bytes())?;
        self.out.flush()
    }
}

fn object(item: &TranscriptItem) -> Option<Object> {
    match item {
        TranscriptItem::Event(item) => Some(event(item)),
        TranscriptItem::Comment(text) => Some(Object::new("comment").with("text", &**text)),
        TranscriptItem::Gap(item) => gap(item),
        TranscriptItem::State(item) => state(item),
        _ => None,
    }
}

fn event(event: &Event) -> Object {
    let retry = event.retry().map(|retry| milliseconds(retry.as_millis()));
    Object::new("event")
        .with("event", event.event_type())
        .with("data", event.data())
        .with("id", event.last_event_id())
        .with("own_id", event.id())
        .with("retry", retry)
}

fn gap(gap: &Gap) -> Option<Object> {
    let object = Object::new("gap");
    match gap {
        Gap::Lagged { missed, .. } => Some(object.with("gap", "lagged").with("missed", *missed)),
        Gap::Reconnected { sent, .. } => Some(object.with("gap", "reconnected").with("sent", sent.as_deref())),
        Gap::Oversized { event_type, id, events, size, .. } => Some(
            object
                .with("gap", "oversized")
                .with("event", event_type.as_deref())
                .with("id", id.as_deref())
                .with("events", *events)
                .with("size", *size),
        ),
        _ => None,
    }
}

/// Leaves out fields that do not apply, and the state `idle`, which comes before all others.
fn state(state: &State) -> Option<Object> {
    let object = |name: &str| Object::new("state").with("state", name);
    match state {
        State::Connecting { attempt, .. } => Some(object("connecting").with("attempt", *attempt)),
        State::Open { attempt, response, .. } => {
            Some(object("open").with("attempt", *attempt).with("status", response.status().as_u16()))
        }
        State::Waiting { attempt, delay, cause, .. } => Some(
            object("waiting")
                .with("attempt", *attempt)
                .with("delay_ms", milliseconds(delay.as_millis()))
                .with("reason", advice::chain(cause))
                .with_some("status", status(cause)),
        ),
        State::Closed(reason) => {
            Some(object("closed").with("reason", advice::reason(reason)).with_some("status", closing_status(reason)))
        }
        _ => None,
    }
}

fn closing_status(reason: &CloseReason) -> Option<u16> {
    match reason {
        CloseReason::NoContent => Some(204),
        CloseReason::Failed(error) => status(error),
        _ => None,
    }
}

fn status(error: &Error) -> Option<u16> {
    error.status().map(|status| status.as_u16())
}

fn milliseconds(ms: u128) -> u64 {
    u64::try_from(ms).unwrap_or(u64::MAX)
}

/// A JSON object that keeps its fields in the order in which they were added.
struct Object(Map<String, Value>);

impl Object {
    fn new(kind: &str) -> Self {
        Self(Map::new()).with("type", kind)
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    fn with_some(self, name: &str, value: Option<u16>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}
