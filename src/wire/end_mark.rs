//! [`EndMark`]: the event that ends a stream, such as `[DONE]`.

use std::fmt;
use std::sync::Arc;

use crate::event::Event;

use super::EventFrame;

/// The event that ends a stream. It is no item of the stream itself.
#[derive(Clone)]
pub(crate) enum EndMark {
    /// An event with this data, of any type.
    Data(Arc<str>),
    /// An event for which the caller's code returns true.
    Event(Arc<dyn Fn(&Event) -> bool + Send + Sync>),
}

impl EndMark {
    pub(crate) fn data(data: String) -> Self {
        Self::Data(data.into())
    }

    pub(crate) fn event(is_mark: impl Fn(&Event) -> bool + Send + Sync + 'static) -> Self {
        Self::Event(Arc::new(is_mark))
    }

    /// Returns true if this event is the mark. It may call the caller's code, which can panic.
    pub(crate) fn is(&self, event: EventFrame<'_>) -> bool {
        match self {
            Self::Data(data) => event.data() == &**data,
            Self::Event(is_mark) => is_mark(&event.to_event()),
        }
    }
}

impl fmt::Debug for EndMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndMark")
    }
}
