//! [`Opened`]: what the session knows of the response that is open.

use std::time::Duration;

use tokio::time::Instant;

use super::poison::{Break, Fingerprint};

pub(in crate::connection) struct Opened {
    since: Instant,
    delivered: bool,
    /// The last event ID at the beginning.
    after: String,
    /// The first event that was no repeat, and how many there were.
    first: Option<Fingerprint>,
    events: u64,
}

impl Opened {
    pub(in crate::connection) fn new(since: Instant, after: String) -> Self {
        Self { since, delivered: false, after, first: None, events: 0 }
    }

    /// It has delivered an event: the server is well.
    pub(in crate::connection) fn deliver(&mut self) {
        self.delivered = true;
    }

    pub(in crate::connection) fn has_delivered(&self) -> bool {
        self.delivered
    }

    /// It brought so many `events` that are no repeats; `first`: the first of all, if it is among them.
    pub(in crate::connection) fn brought(&mut self, first: Option<Fingerprint>, events: u64) {
        self.first = self.first.or(first);
        self.events += events;
    }

    pub(in crate::connection) fn open_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// How it broke off.
    pub(in crate::connection) fn broken<'a>(&'a self, cut_off: bool, short: bool, last_event_id: &'a str) -> Break<'a> {
        Break { cut_off, short, ids: (&self.after, last_event_id), first: self.first, events: self.events }
    }
}
