//! [`QueueLimits`]: how much a queue holds, and what happens then; [`Weigh`]: how much an item counts.

use std::time::Duration;

use crate::event::Event;
use crate::hub::{Overflow, TranscriptItem};

/// What one channel's queues hold, and what happens when one is full. One event always fits: what takes a queue over
/// its bytes is let in, and it is full then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueLimits {
    pub(crate) capacity: usize,
    pub(crate) bytes: u64,
    pub(crate) overflow: Overflow,
}

impl QueueLimits {
    /// For tests: so many items, and as many bytes as they have.
    #[cfg(test)]
    pub(crate) fn of(capacity: usize, overflow: Overflow) -> Self {
        Self { capacity, bytes: u64::MAX, overflow }
    }

    /// Whether the task waits for a queue that is full.
    pub(super) fn waits(&self) -> bool {
        matches!(self.overflow, Overflow::Wait { .. } | Overflow::Block)
    }

    /// Whether only the newest of each key is kept.
    pub(super) fn conflates(&self) -> bool {
        matches!(self.overflow, Overflow::Conflate | Overflow::ConflateBy(_))
    }

    /// How long it waits for one of which nothing is taken; for ever, if there is no end to it.
    pub(super) fn patience(&self) -> Option<Duration> {
        match self.overflow {
            Overflow::Wait { patience } => Some(patience),
            _ => None,
        }
    }

    /// After so many items it is time to see whether somebody is about to be overrun.
    pub(super) fn quarter(&self) -> usize {
        (self.capacity / 4).max(1)
    }

    pub(super) fn are_reached(&self, held: Held) -> bool {
        held.items >= self.capacity as u64 || held.bytes >= self.bytes
    }

    pub(super) fn are_half_reached(&self, held: Held) -> bool {
        held.items > self.capacity as u64 / 2 || held.bytes > self.bytes / 2
    }
}

/// What a queue holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) items: u64,
    pub(super) bytes: u64,
}

/// How many bytes an item counts for.
pub(crate) trait Weigh {
    fn weight(&self) -> u64;
}

impl Weigh for Event {
    fn weight(&self) -> u64 {
        self.size() as u64
    }
}

impl Weigh for TranscriptItem {
    fn weight(&self) -> u64 {
        match self {
            Self::Event(event) => event.weight(),
            Self::Comment(comment) => comment.len() as u64,
            Self::Gap(_) | Self::State(_) => 0,
        }
    }
}
