//! [`LastEventIdBuffer`]: the standard's last event ID buffer, which outlives blocks.

use std::sync::{Arc, OnceLock};

use super::MAX_RETAINED;

/// The last event ID buffer (HTML, section 9.2.6).
///
/// It changes when a block with an ID comes to its blank line, and keeps its value until another
/// does.
#[derive(Debug, Default)]
pub(super) struct LastEventIdBuffer {
    id: String,
    /// A copy that events share which inherit the ID; made for the first of them.
    shared: OnceLock<Arc<str>>,
    /// The last commit changed the ID.
    changed: bool,
}

impl LastEventIdBuffer {
    pub(super) fn as_str(&self) -> &str {
        &self.id
    }

    /// Returns the ID for an event that sets none itself; `None` if it is empty.
    #[inline]
    pub(super) fn inherited(&self) -> Option<Arc<str>> {
        if self.id.is_empty() { None } else { Some(self.share()) }
    }

    #[inline(never)]
    fn share(&self) -> Arc<str> {
        self.shared.get_or_init(|| self.id.as_str().into()).clone()
    }

    /// Returns true if the last call of [`commit`](Self::commit) changed the ID.
    pub(super) fn has_changed(&self) -> bool {
        self.changed
    }

    /// Stores the ID of a block that came to its blank line.
    pub(super) fn commit(&mut self, id: &str) {
        self.changed = self.id != id;
        if !self.changed {
            return;
        }
        self.shared.take();
        if self.id.capacity() > MAX_RETAINED {
            self.id = String::new();
        }
        id.clone_into(&mut self.id);
    }
}
