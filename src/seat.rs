//! [`Seat`]: what a subscription or a transcript holds of its stream.

use std::fmt;
use std::sync::Arc;

use crate::connection::Link;

/// A place at the hub: keeps the connection alive, and tells the hub when it is given up.
pub(crate) struct Seat {
    pub(crate) link: Arc<Link>,
}

impl Seat {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.link.shared().hub.prune();
        self.link.shared().audience_changed();
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.link.fmt(f)
    }
}
