//! [`Poison`]: whether a stream breaks off at the same place again and again.

use crate::error::{Error, ErrorKind};

/// Responses in a row that broke off in the same way, and got no further than where they began.
#[derive(Debug, Default)]
pub(super) struct Poison {
    kind: Option<ErrorKind>,
    times: u32,
}

/// How an open response broke off.
pub(super) struct Break<'a> {
    /// Within a block.
    pub(super) cut_off: bool,
    /// Before it had been open for as long as healthy ones are.
    pub(super) short: bool,
    /// The last event ID at its beginning, and at its end.
    pub(super) ids: (&'a str, &'a str),
    pub(super) delivered: bool,
}

/// So many are no coincidence.
const POISONED_AFTER: u32 = 5;

impl Poison {
    /// The cause of a break, or that the stream is poisoned.
    pub(super) fn judge(&mut self, cause: Error, broken: &Break<'_>) -> Error {
        let kind = cause.kind();
        if !broken.is_suspicious(kind) {
            *self = Self::default();
            return cause;
        }
        self.times = if self.kind == Some(kind) { self.times.saturating_add(1) } else { 1 };
        self.kind = Some(kind);
        let times = self.times;
        if times < POISONED_AFTER {
            return cause;
        }
        let message = format!("the stream broke off {times} times in a row after the ID {:?}", broken.ids.1);
        Error::with_source(ErrorKind::Poisoned, message, cause)
    }
}

impl Break<'_> {
    fn is_suspicious(&self, kind: ErrorKind) -> bool {
        let (before, after) = self.ids;
        // Between two blocks a server may end a response whenever it likes, and say nothing for as long as it likes.
        let ordinary = !self.cut_off && matches!(kind, ErrorKind::EndOfStream | ErrorKind::IdleTimeout);
        // Without an ID nothing says how far a response got, if it delivered anything.
        let same_place = before == after && !(before.is_empty() && self.delivered);
        // A proxy that cuts everything after a minute is nothing out of the ordinary.
        self.short && same_place && !ordinary
    }
}
