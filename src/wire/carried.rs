//! [`Carried`]: what goes from block to block, the last event ID.

use std::sync::{Arc, OnceLock};

use super::buffer::RETAINED;

#[derive(Debug, Default)]
pub(super) struct Carried {
    last_event_id: String,
    /// The same, for the events that inherit it: made when the first one does.
    shared: OnceLock<Arc<str>>,
    /// The last block with an ID set another than there was.
    changed: bool,
    /// The `retry` of the block that is lent.
    pub(super) retry: Option<u64>,
}

impl Carried {
    pub(super) fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// For an event that sets none itself.
    #[inline]
    pub(super) fn inherited(&self) -> Option<Arc<str>> {
        (!self.last_event_id.is_empty()).then(|| self.shared())
    }

    #[inline(never)]
    fn shared(&self) -> Arc<str> {
        self.shared.get_or_init(|| self.last_event_id.as_str().into()).clone()
    }

    /// Whether the last block that set an ID changed it.
    pub(super) fn has_changed(&self) -> bool {
        self.changed
    }

    /// A block with an ID came to its blank line.
    pub(super) fn commit(&mut self, id: &str) {
        self.changed = self.last_event_id != id;
        if !self.changed {
            return;
        }
        self.shared.take();
        if self.last_event_id.capacity() > RETAINED {
            self.last_event_id = String::new();
        }
        id.clone_into(&mut self.last_event_id);
    }
}
