//! [`SubscriberGuard`]: what a subscription or a transcript holds of its stream.

use std::fmt;
use std::sync::Arc;

use super::ConnectionGuard;

/// A place at the hub: keeps the connection alive, and tells the hub when it is given up.
pub(crate) struct SubscriberGuard {
    pub(crate) link: Arc<ConnectionGuard>,
}

impl SubscriberGuard {
    pub(crate) fn new(link: Arc<ConnectionGuard>) -> Self {
        Self { link }
    }
}

impl Drop for SubscriberGuard {
    fn drop(&mut self) {
        self.link.shared().hub.prune();
        self.link.shared().demand_changed();
    }
}

impl fmt::Debug for SubscriberGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.link.fmt(f)
    }
}
