//! What becomes of a stream's events: how many wait, which are kept for late joiners, which are not delivered again.

use crate::connection::config::{MAX_CAPACITY, MIN_CAPACITY};
use crate::error::{Error, ErrorKind};
use crate::hub::Filter;
use crate::hub::retain::{Keep, Retain};

use super::StreamBuilder;

impl StreamBuilder {
    /// How many events a subscription's queue holds; 256 by default, from 1 to 1,048,576. Up to 64 more may be in the
    /// subscription's hands. An empty queue needs no memory; a full one some 24 bytes for each event besides the
    /// event itself, which subscriptions with the same filter and options share. What happens when a queue is full is
    /// each subscription's choice: see [`Overflow`](crate::Overflow).
    pub fn capacity(self, events: usize) -> Self {
        self.set(|config| config.capacity = events.clamp(MIN_CAPACITY, MAX_CAPACITY))
    }

    /// Keeps the newest `events` that pass `filter` (from 1 to 1,048,576, and at most 16 MiB of text: then fewer), for
    /// subscribers who come late and ask for a [`replay`](crate::SubscribeOptions::replay). Several rules add up. By
    /// default nothing is kept: the memory is the stream's for as long as it lives. A filter with a
    /// [predicate](Filter::and) is an error when the stream is built.
    pub fn retain(self, filter: impl Into<Filter>, events: usize) -> Self {
        self.keep(filter.into(), Keep::Newest(events.clamp(1, MAX_CAPACITY)))
    }

    /// Keeps the newest event that passes `filter`, and everything after it, of any type: a snapshot and its changes,
    /// for subscribers who come late and ask for a [`replay`](crate::SubscribeOptions::replay). The next that passes
    /// takes its place. A filter with a [predicate](Filter::and) is an error when the stream is built.
    ///
    /// At most 65,536 events and 16 MiB of text are kept; when more come, the oldest go, the snapshot first, and a
    /// replay has [`Gap::NotRetained`](crate::Gap::NotRetained) where they were.
    pub fn retain_since(self, filter: impl Into<Filter>) -> Self {
        self.keep(filter.into(), Keep::Since)
    }

    fn keep(self, filter: Filter, keep: Keep) -> Self {
        self.try_set(|config| {
            if filter.predicate().is_some() {
                let message = "what is retained is chosen by event type, not by a predicate";
                return Err(Error::new(ErrorKind::InvalidConfig, message));
            }
            config.retain.push(Retain { filter, keep });
            Ok(())
        })
    }

    /// Drops events whose own ID is among the last `events` that were delivered; off by default (0). For
    /// servers that repeat events after a reconnection, and never give two events one ID: the second would be dropped as
    /// well. What is dropped is counted
    /// ([`Stats::repeats`](crate::Stats::repeats)). Costs some 40 bytes for each. What a program goes back for
    /// ([`Handle::reconnect_from`](crate::Handle::reconnect_from)) is delivered again, and so is what another origin
    /// sends under the same IDs.
    pub fn drop_repeats(self, events: usize) -> Self {
        self.set(|config| config.drop_repeats = events)
    }
}
