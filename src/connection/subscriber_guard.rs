//! [`ConnectionGuard`] and [`SubscriberGuard`]: what keeps the connection task alive.

use std::fmt;
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
    connection: Arc<Connection>,
}

impl ConnectionGuard {
    pub(crate) fn new(connection: Arc<Connection>) -> Arc<Self> {
        Arc::new(Self { connection })
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.connection.stop(Stop::Abandoned);
    }
}

impl fmt::Debug for ConnectionGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection.fmt(f)
    }
}

/// Keeps the connection alive for one subscription or transcript.
///
/// # Drop behavior
///
/// The hub forgets channels without readers, and a lazy stream looks for the subscribers that are
/// left.
pub(crate) struct SubscriberGuard {
    guard: Arc<ConnectionGuard>,
}

impl SubscriberGuard {
    pub(crate) fn new(guard: Arc<ConnectionGuard>) -> Self {
        Self { guard }
    }

    pub(crate) fn connection(&self) -> &Connection {
        self.guard.connection()
    }

    pub(crate) fn connection_guard(&self) -> &Arc<ConnectionGuard> {
        &self.guard
    }
}

impl Drop for SubscriberGuard {
    fn drop(&mut self) {
        // First: the task looks whether there are channels when it is woken.
        self.connection().hub.prune();
        self.connection().demand_changed();
    }
}

impl fmt::Debug for SubscriberGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.guard.fmt(f)
    }
}
