//! [`Poison`]: whether a stream breaks off at the same place again and again.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::error::{Error, ErrorKind};
use crate::wire::EventFrame;

/// Responses in a row that broke off in the same way, and got no further than the one before.
#[derive(Debug, Default)]
pub(in crate::connection) struct Poison {
    row: Option<Row>,
}

#[derive(Debug)]
struct Row {
    kind: ErrorKind,
    id: String,
    /// The first event after the ID, if a response came that far.
    first: Option<Fingerprint>,
    /// The most events that a response had.
    events: u64,
    times: u32,
}

/// Of an event: two that have the same are taken for one. A server that makes them alike only poisons itself.
pub(in crate::connection) type Fingerprint = u64;

pub(in crate::connection) fn fingerprint(event: EventFrame<'_>) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    (event.event_type(), event.data(), event.id()).hash(&mut hasher);
    hasher.finish()
}

/// How an open response broke off.
pub(in crate::connection) struct Break<'a> {
    /// Within a block.
    pub(in crate::connection) cut_off: bool,
    /// Before it had been open for as long as healthy ones are, the silence aside that ended it.
    pub(in crate::connection) short: bool,
    /// The last event ID at its beginning, and at its end.
    pub(in crate::connection) ids: (&'a str, &'a str),
    /// The first event that was no repeat, and how many there were.
    pub(in crate::connection) first: Option<Fingerprint>,
    pub(in crate::connection) events: u64,
}

/// So many are no coincidence.
const POISONED_AFTER: u32 = 5;

impl Poison {
    /// The next response, or the place where it begins, has nothing to do with those before.
    pub(in crate::connection) fn forget(&mut self) {
        self.row = None;
    }

    /// The cause of a break, or that the stream is poisoned.
    pub(in crate::connection) fn judge(&mut self, cause: Error, broken: &Break<'_>) -> Error {
        let kind = cause.kind();
        if !broken.is_suspicious(kind) {
            self.forget();
            return cause;
        }
        let row = match self.row.take().filter(|row| row.goes_on(kind, broken)) {
            Some(row) => Row {
                first: row.first.or(broken.first),
                events: row.events.max(broken.events),
                times: row.times.saturating_add(1),
                ..row
            },
            None => Row { kind, id: broken.ids.1.to_owned(), first: broken.first, events: broken.events, times: 1 },
        };
        let times = self.row.insert(row).times;
        if times < POISONED_AFTER {
            return cause;
        }
        let message = format!("the stream broke off {times} times in a row after the ID {:?}", broken.ids.1);
        Error::with_source(ErrorKind::Poisoned, message, cause)
    }
}

impl Row {
    /// Whether a response broke off like those before, and no further on.
    fn goes_on(&self, kind: ErrorKind, broken: &Break<'_>) -> bool {
        // Events without an ID come again after a reconnection, unless they are others.
        let other = self.first.zip(broken.first).is_some_and(|(first, other)| first != other);
        let further = broken.events > self.events;
        kind == self.kind && broken.ids.1 == self.id && !other && !further
    }
}

impl Break<'_> {
    fn is_suspicious(&self, kind: ErrorKind) -> bool {
        let (before, after) = self.ids;
        // Without an ID nothing says how far a response got, if it delivered anything.
        let same_place = before == after && !(before.is_empty() && self.events > 0);
        // Between two blocks a server may end a response whenever it likes, and say nothing for as long as it likes.
        let ordinary = matches!(kind, ErrorKind::EndOfStream | ErrorKind::IdleTimeout);
        // And a proxy cuts what it takes for idle: that is nobody's event. A proxy that cuts everything after a
        // minute is nothing out of the ordinary, either.
        self.short && same_place && (self.cut_off || (self.events > 0 && !ordinary))
    }
}
