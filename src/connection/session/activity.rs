//! [`Activity`]: what the session takes the connection task to be doing; and [`Demand`]: whether a
//! lazy stream has subscribers.

use super::health::Health;

/// The task's phase, as far as decisions depend on it.
#[derive(Debug)]
pub(super) enum Activity {
    /// Nothing: `connect` has not been called, or a lazy stream has no subscriber.
    Idle,
    /// The resume store loads the last event ID.
    Loading,
    Connecting,
    Open(Health),
    /// A second attempt is under way while the first response is read, or after that has ended
    /// (`None`).
    HandingOver(Option<Health>),
    Waiting,
}

impl Activity {
    /// Takes what is known of the open response. The caller has to set another activity.
    pub(super) fn take_health(&mut self) -> Option<Health> {
        match std::mem::replace(self, Self::Idle) {
            Self::Open(health) => Some(health),
            Self::HandingOver(health) => health,
            other => {
                *self = other;
                None
            }
        }
    }
}

/// The demand for a lazy stream, which is open only while there are subscribers. Other streams
/// count as in demand always.
///
/// ```text
/// Absent ---> Present ---> Lingering ---> Absent
///                ^-------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    Absent,
    Present,
    /// The last subscriber has gone, but another may come in time.
    Lingering,
}
