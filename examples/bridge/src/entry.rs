//! [`Entry`]: what the bridge appends, and which fields a consumer finds in it.

use std::borrow::Cow;

use sseclient::{Delivery, Event, Gap};

/// The largest ID that a request can carry.
const MAX_ID: usize = 8_000;

/// The cause of the gap that a bridge writes when it cannot resume exactly.
pub const RESTARTED: &str = "restarted";

/// The cause of the gap in place of an event that is too large.
const OVERSIZED: &str = "oversized";

/// Where a source resumes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResumePoint {
    /// The last event ID; empty if there is none.
    pub id: String,
    /// True if the ID belongs to the last entry itself. Otherwise a server that is asked to resume
    /// after it may repeat entries, or skip events.
    pub is_exact: bool,
}

impl ResumePoint {
    /// Returns the resume point after an entry with this last event ID. It is the entry's `own`,
    /// or inherited.
    pub fn new(id: &str, own: bool) -> Self {
        // Other IDs cannot be sent to the server.
        let is_sendable = !id.trim().is_empty() && id.len() <= MAX_ID && !id.chars().any(char::is_control);
        Self { id: if is_sendable { id } else { "" }.to_owned(), is_exact: own && is_sendable }
    }
}

/// An event or a loss of one source, and where the source resumes after it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The index of the source in the configuration.
    pub source: usize,
    pub resume: ResumePoint,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Event(Event),
    Loss { cause: &'static str, events: Option<u64>, text: String },
}

/// The name of a field: in Redis, and as a header of NATS.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    pub redis: &'static str,
    pub nats: &'static str,
}

/// The event type.
pub const TYPE: Name = Name { redis: "type", nats: "Sse-Type" };
/// The ID that the event itself set.
pub const ID: Name = Name { redis: "id", nats: "Sse-Id" };
/// The ID that the event inherited from an earlier one.
pub const LAST_ID: Name = Name { redis: "last_id", nats: "Sse-Last-Id" };
/// The cause of a loss. An event has none.
pub const GAP: Name = Name { redis: "gap", nats: "Sse-Gap" };
/// How many events were lost, if that is known.
pub const EVENTS: Name = Name { redis: "events", nats: "Sse-Events" };
/// The event's data, or a sentence on the loss. The payload in NATS.
pub const DATA: &str = "data";

impl Entry {
    /// Returns the entry for a delivery after an entry with the resume point `last`. A gap that is
    /// no loss has none.
    pub fn new(source: usize, delivery: Delivery, last: &ResumePoint) -> Option<Self> {
        let (resume, content) = match delivery {
            Delivery::Event(event) => {
                (ResumePoint::new(event.last_event_id(), event.id().is_some()), Content::Event(event))
            }
            Delivery::Gap(gap) if gap.is_loss() => {
                let resume = match &gap {
                    Gap::Oversized { id: Some(id), .. } => ResumePoint::new(id, true),
                    _ => ResumePoint { id: last.id.clone(), is_exact: false },
                };
                let (cause, events) = describe(&gap);
                (resume, Content::Loss { cause, events, text: gap.to_string() })
            }
            Delivery::Gap(_) => return None,
        };
        Some(Self { source, resume, content })
    }

    /// Returns the entry that says that the bridge has restarted and could not resume exactly.
    pub fn restarted(source: usize, last: &ResumePoint) -> Self {
        let text = "the bridge has restarted: events may be missing or repeated here".to_owned();
        let resume = ResumePoint { is_exact: true, ..last.clone() };
        Self { source, resume, content: Content::Loss { cause: RESTARTED, events: None, text } }
    }

    /// Makes an event that the engine cannot store a loss. A loss stays as it is.
    pub fn skip(&mut self) {
        if let Content::Event(_) = self.content {
            let text = "1 event was skipped: the engine cannot store it".to_owned();
            self.content = Content::Loss { cause: OVERSIZED, events: Some(1), text };
        }
    }

    /// Returns all fields but the data.
    pub fn fields(&self) -> impl Iterator<Item = (Name, Cow<'_, str>)> {
        let (event, loss) = match &self.content {
            Content::Event(event) => (Some(event), None),
            Content::Loss { cause, events, .. } => (None, Some((*cause, *events))),
        };
        let own_id = match event {
            Some(event) => event.id(),
            None => Some(self.resume.id.as_str()).filter(|_| self.resume.is_exact && !self.is_restart()),
        };
        let inherited = Some(self.resume.id.as_str()).filter(|id| own_id.is_none() && !id.is_empty());
        let events = loss.and_then(|(_, events)| events);
        [
            event.map(|event| (TYPE, event.event_type().into())),
            own_id.map(|id| (ID, id.into())),
            inherited.map(|id| (LAST_ID, id.into())),
            loss.map(|(cause, _)| (GAP, cause.into())),
            events.map(|events| (EVENTS, events.to_string().into())),
        ]
        .into_iter()
        .flatten()
    }

    pub fn data(&self) -> &str {
        match &self.content {
            Content::Event(event) => event.data(),
            Content::Loss { text, .. } => text,
        }
    }

    /// Returns true for a loss.
    pub fn is_gap(&self) -> bool {
        matches!(self.content, Content::Loss { .. })
    }

    fn is_restart(&self) -> bool {
        matches!(self.content, Content::Loss { cause: RESTARTED, .. })
    }
}

/// Returns the cause of a loss, and how many events it cost.
fn describe(gap: &Gap) -> (&'static str, Option<u64>) {
    match gap {
        Gap::Lagged { missed, .. } => ("lagged", Some(*missed)),
        Gap::Reconnected { .. } => ("reconnected", None),
        Gap::Oversized { events, .. } => (OVERSIZED, Some(*events)),
        _ => ("other", None),
    }
}
