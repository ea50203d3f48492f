//! Gaps as events: how a client learns that it has missed some.

use sseclient::{Delivery, Event, Gap};

/// The type of the events that stand where others are missing.
pub(crate) const EVENT_TYPE: &str = "relay-gap";

/// Why events are missing, and how many. `None`: it is not known.
pub(crate) fn cause(gap: &Gap) -> (&'static str, Option<u64>) {
    match gap {
        Gap::Lagged { missed, .. } => ("lagged", Some(*missed)),
        Gap::Oversized { events, .. } => ("oversized", Some(*events)),
        Gap::NotRetained { events, .. } => ("not_retained", Some(*events).filter(|events| *events > 0)),
        Gap::Reconnected { .. } => ("reconnected", None),
        _ => ("other", None),
    }
}

/// Returns the event that stands for a gap. It has no ID, so that a client resumes after the last
/// event that it got.
pub(crate) fn event(cause: &str, events: Option<u64>, text: &str) -> Event {
    let data = serde_json::json!({ "cause": cause, "events": events, "text": text }).to_string();
    let event = Event::builder().event_type(EVENT_TYPE).data(data).build();
    event.expect("JSON has no line break that a data field could not carry")
}

/// Appends a delivery as clients get it and as the journal keeps it. A gap in which nothing is lost
/// is nothing to them.
pub(crate) fn write(text: &mut String, delivery: &Delivery) {
    match delivery {
        Delivery::Event(event) => text.push_str(&event.encode()),
        Delivery::Gap(gap) if gap.is_loss() => {
            let (cause, events) = cause(gap);
            text.push_str(&event(cause, events, &gap.to_string()).encode());
        }
        Delivery::Gap(_) => {}
    }
}
