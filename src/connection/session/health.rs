//! [`Health`]: how the open response does; and [`Poison`]: whether responses break off at the same
//! place each time.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, ErrorKind, quoted};

use super::step::{Fingerprint, TurnReport};

/// The session's knowledge of the open response.
#[derive(Debug)]
pub(super) struct Health {
    since: Instant,
    /// It has delivered an event: the server is well.
    pub(super) has_delivered: bool,
    /// It has set the reconnection time, as a server does that wants to be polled.
    has_set_retry: bool,
    /// When its last event came.
    last_event_at: Option<Instant>,
    /// The last event ID when it was opened.
    id_before: String,
    /// Its first event that was no repeat.
    first: Option<Fingerprint>,
    /// Its events that were no repeats.
    new_events: u64,
}

impl Health {
    pub(super) fn new(since: Instant, id_before: String) -> Self {
        Self {
            since,
            has_delivered: false,
            has_set_retry: false,
            last_event_at: None,
            id_before,
            first: None,
            new_events: 0,
        }
    }

    /// Notes what one turn brought.
    pub(super) fn note(&mut self, report: &TurnReport, now: Instant) {
        if report.counts.events > 0 {
            self.has_delivered = true;
            self.last_event_at = Some(now);
        }
        self.has_set_retry |= report.retry.is_some();
        self.first = self.first.or(report.first);
        self.new_events += report.counts.new_events();
    }

    pub(super) fn open_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Returns true if the server is well, although the response has ended in this way.
    pub(super) fn is_well(&self, end: ErrorKind) -> bool {
        self.has_delivered || self.has_set_retry && end == ErrorKind::EndOfStream
    }

    /// Returns true if an event came so recently that it may have to do with an end now.
    pub(super) fn has_just_delivered(&self, now: Instant) -> bool {
        self.last_event_at.is_some_and(|at| now.saturating_duration_since(at) <= MAX_AFTER_EVENT)
    }
}

/// How soon after an event a response must break off for the event to be suspected. A server that
/// cannot send the next event fails at once; what cuts a silent response later is a proxy's
/// timeout.
const MAX_AFTER_EVENT: Duration = Duration::from_secs(1);

/// The way in which a response broke off.
pub(super) struct Breakage<'a> {
    pub(super) health: &'a Health,
    /// The last event ID at its end.
    pub(super) last_event_id: &'a str,
    /// It ended within a block.
    pub(super) cut_off: bool,
    /// Its last event came right before.
    pub(super) after_event: bool,
    /// It was not open for as long as a healthy one, apart from the silence that ended it.
    pub(super) is_short: bool,
}

impl Breakage<'_> {
    /// Returns true if the same event may break the next response, too.
    fn is_suspicious(&self, kind: ErrorKind) -> bool {
        let before = &self.health.id_before;
        let has_events = self.health.new_events > 0;
        // Without an ID nothing says how far a response got, if it delivered anything.
        let at_same_place = before == self.last_event_id && !(before.is_empty() && has_events);
        // A server may end a response between two blocks at any time, and be silent for any time; a
        // proxy may cut what it takes for idle. No event is to blame for that.
        let is_ordinary = matches!(kind, ErrorKind::EndOfStream | ErrorKind::Incomplete | ErrorKind::IdleTimeout);
        let is_right_after = has_events && self.after_event && !is_ordinary;
        self.is_short && at_same_place && (self.cut_off || is_right_after)
    }
}

/// Consecutive identical breaks after which a stream counts as poisoned.
const MAX_SAME_BREAKS: u32 = 5;

/// The responses in a row that broke off in the same way, and got no further than the one before.
#[derive(Debug, Default)]
pub(super) struct Poison {
    breaks: Option<SameBreaks>,
}

/// What the breaks in a row have in common.
#[derive(Debug)]
struct SameBreaks {
    kind: ErrorKind,
    last_event_id: String,
    /// The first event after the ID, if a response came that far.
    first: Option<Fingerprint>,
    /// The most events that one of them had.
    most_events: u64,
    count: u32,
}

impl Poison {
    /// Begins the count anew: the next response has no relation to those before.
    pub(super) fn forget(&mut self) {
        self.breaks = None;
    }

    /// Returns the cause of a break, or that the stream is poisoned.
    pub(super) fn judge(&mut self, cause: Error, breakage: &Breakage<'_>) -> Error {
        let kind = cause.kind();
        if !breakage.is_suspicious(kind) {
            self.forget();
            return cause;
        }
        let Health { first, new_events, .. } = *breakage.health;
        let mut breaks = match self.breaks.take() {
            Some(breaks) if breaks.go_on(kind, breakage) => breaks,
            _ => SameBreaks { kind, last_event_id: breakage.last_event_id.to_owned(), first, most_events: 0, count: 0 },
        };
        breaks.first = breaks.first.or(first);
        breaks.most_events = breaks.most_events.max(new_events);
        breaks.count = breaks.count.saturating_add(1);
        let count = breaks.count;
        self.breaks = Some(breaks);
        if count < MAX_SAME_BREAKS {
            return cause;
        }
        let message = format!(
            "the stream broke off {count} times in a row after the ID {}; to skip that place, \
             reconnect from a later ID",
            quoted(breakage.last_event_id)
        );
        Error::with_source(ErrorKind::Poisoned, message, cause)
    }
}

impl SameBreaks {
    /// Returns true if a response broke off like those before, and no further on.
    fn go_on(&self, kind: ErrorKind, breakage: &Breakage<'_>) -> bool {
        // Events without an ID come again after a reconnection, unless they are others.
        let begins_otherwise = self.first.zip(breakage.health.first).is_some_and(|(one, other)| one != other);
        // More events than ever before are progress, though none of them has an ID to show it.
        let got_further = breakage.health.new_events > self.most_events;
        kind == self.kind && breakage.last_event_id == self.last_event_id && !begins_otherwise && !got_further
    }
}
