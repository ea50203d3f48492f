//! [`ConnectionGuard`] and [`SubscriberGuard`]: what keeps the connection task alive.

use std::sync::Arc;

use super::Connection;
use super::mailbox::Stop;

/// Keeps the connection task alive. Held by handles, subscriptions and transcripts, and by nothing
/// else.
///
/// # Drop behavior
///
/// The task ends with [`CloseReason::Abandoned`](crate::CloseReason::Abandoned).
pub(crate) struct ConnectionGuard {
    pub(crate) connection: Arc<Connection>,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.connection.stop(Stop::Abandoned);
    }
}

/// Keeps the connection alive for one subscription or transcript.
///
/// # Drop behavior
///
/// The hub forgets channels without readers, and a lazy stream looks for the subscribers that are
/// left.
pub(crate) struct SubscriberGuard {
    pub(crate) guard: Arc<ConnectionGuard>,
}

impl SubscriberGuard {
    pub(crate) fn connection(&self) -> &Connection {
        &self.guard.connection
    }
}

impl Drop for SubscriberGuard {
    fn drop(&mut self) {
        // First: the task looks whether there are channels when it is woken.
        self.connection().hub.prune();
        self.connection().demand_changed();
    }
}
