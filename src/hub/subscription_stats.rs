//! [`SubscriptionStats`]: one subscription in numbers.

use std::time::Duration;

#[cfg(feature = "serde")]
use crate::state::milliseconds;

use super::ack::AckTracker;
use super::readers::Cursor;

/// One subscription of a stream in numbers: see
/// [`Handle::subscriptions`](crate::Handle::subscriptions).
///
/// With feature `serde` it serializes as a map of its fields, with `since_taken_ms` in whole
/// milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SubscriptionStats {
    /// The name from its [options](crate::SubscribeOptions::name); empty without one.
    pub name: String,
    /// How many events it has to take: in its queue, in its hands, and those of a replay.
    pub queued: u64,
    /// How many events it has lost because it was slow, also those of gaps that it has not taken
    /// yet.
    pub missed: u64,
    /// How long ago it took an event.
    ///
    /// `None` if it has taken none since the first call of `subscriptions` in which it appeared:
    /// the clock is not read for each event before the program asks for this.
    #[cfg_attr(feature = "serde", serde(rename = "since_taken_ms", serialize_with = "milliseconds::maybe"))]
    pub since_taken: Option<Duration>,
    /// How many events it has not acknowledged: queued, in its hands, or one that it never can
    /// acknowledge. Always 0 without [`acknowledging`](crate::SubscribeOptions::acknowledging).
    pub unacknowledged: u64,
}

impl SubscriptionStats {
    /// `unknown`: how many events it has lost without knowing it. `ack`: its number in the tracker.
    pub(super) fn new(cursor: &Cursor, queued: u64, unknown: u64, ack: Option<(u64, &AckTracker)>) -> Self {
        Self {
            name: cursor.name.to_string(),
            queued: queued + cursor.replay_left(),
            missed: cursor.missed() + unknown,
            since_taken: cursor.since_taken(),
            unacknowledged: ack.map_or(0, |(number, tracker)| tracker.unacknowledged_by(number)),
        }
    }
}
