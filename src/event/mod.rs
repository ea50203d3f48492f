//! [`Event`]: what a block of the event stream becomes, owned and cheap to share.

mod builder;
#[cfg(feature = "json")]
mod decode_cache;
mod delivery;
mod encoder;
#[cfg(feature = "json")]
mod json;
mod values;

use std::fmt;
use std::time::Duration;

use triomphe::{Arc, HeaderSlice};

pub use self::builder::EventBuilder;
pub use self::delivery::{Delivery, Gap};
pub(crate) use self::values::{RetryTime, Span, Values};

/// The event type of a block that names none (HTML standard, section 9.2.6, dispatch).
pub(crate) const DEFAULT_EVENT_TYPE: &str = "message";

/// One event of an event stream.
///
/// An event owns its text in one allocation; a clone costs one reference count, so any number of
/// subscribers can keep the same event. Keeping one never pins a read buffer.
///
/// # Examples
///
/// ```
/// use sseclient::Event;
///
/// let event = Event::builder().event_type("update").data("a\nb").id("7").build()?;
/// assert_eq!(event.encode(), "event: update\nid: 7\ndata: a\ndata: b\n\n");
/// # Ok::<(), sseclient::Error>(())
/// ```
#[derive(Clone)]
pub struct Event {
    inner: Arc<HeaderSlice<Layout, str>>,
}

/// Where the parts of an event stand in its text, and what else is known of it. In words of eight bytes:
/// events are made by the million, and what is stored in small pieces is slow to load in larger ones.
#[derive(Debug)]
struct Layout {
    values: Values,
    /// What an earlier block set. Shared: a long ID on a stream of small events costs its length once.
    inherited: Option<std::sync::Arc<str>>,
    /// Which event of which stream it is; 0 for one that came with none.
    position: u64,
    #[cfg(feature = "json")]
    decode_cache: decode_cache::DecodeCache,
}

impl Event {
    // The values are separate arguments because they travel in registers then, which makes small events a fifth
    // faster.
    #[inline(never)]
    pub(crate) fn from_parts(
        text: &str,
        data: Span,
        event_type: Span,
        id: Span,
        inherited: Option<std::sync::Arc<str>>,
        retry: RetryTime,
        position: u64,
    ) -> Self {
        let layout = Layout {
            values: Values { data, event_type, id, retry },
            inherited: None,
            position,
            #[cfg(feature = "json")]
            decode_cache: decode_cache::DecodeCache::default(),
        };
        let mut inner = Arc::from_header_and_str(layout, text);
        // Only then, and only if there is one: a layout that has nothing to drop need not lie on the stack before.
        if inherited.is_some() {
            if let Some(unique) = Arc::get_mut(&mut inner) {
                unique.header.inherited = inherited;
            }
        }
        Self { inner }
    }

    /// Starts an event, for servers and tests.
    pub fn builder() -> EventBuilder {
        EventBuilder::default()
    }

    /// The event type; `"message"` when the block named none.
    pub fn event_type(&self) -> &str {
        match self.layout().values.event_type {
            span if span.is_empty() => DEFAULT_EVENT_TYPE,
            span => self.text(span),
        }
    }

    /// The data: the block's `data` lines, joined by line feeds.
    pub fn data(&self) -> &str {
        self.text(self.layout().values.data)
    }

    /// The ID that this block itself set; `Some("")` when it cleared the last event ID.
    pub fn id(&self) -> Option<&str> {
        self.layout().values.id.some().map(|id| self.text(id))
    }

    /// The last event ID when this event was dispatched, inherited from earlier blocks when this
    /// one set none; empty if there is none.
    pub fn last_event_id(&self) -> &str {
        self.id().unwrap_or_else(|| self.layout().inherited.as_deref().unwrap_or_default())
    }

    /// The reconnection time that this block set.
    pub fn retry(&self) -> Option<Duration> {
        self.layout().values.retry.get().map(Duration::from_millis)
    }

    /// The event in wire format, blank line included.
    ///
    /// Data with line breaks becomes several `data` lines. Nothing in an event can make it inject
    /// other lines: types and IDs are validated when an event is built. An inherited ID is not written.
    pub fn encode(&self) -> String {
        encoder::encode(self)
    }

    /// Which event of which stream this is: later events of a stream have greater ones, and no two streams of
    /// a process the same. IDs repeat, and are inherited.
    pub(crate) fn position(&self) -> u64 {
        self.layout().position
    }

    /// The same, elsewhere in its stream.
    #[cfg(test)]
    pub(crate) fn at(mut self, position: u64) -> Self {
        Arc::get_mut(&mut self.inner).unwrap().header.position = position;
        self
    }

    /// How many hold it.
    #[cfg(test)]
    pub(crate) fn references(&self) -> usize {
        Arc::count(&self.inner)
    }

    /// How many bytes of text it has: type, data and ID.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.inner.slice.len()
    }

    fn layout(&self) -> &Layout {
        &self.inner.header
    }

    fn text(&self, span: Span) -> &str {
        &self.inner.slice[span.range()]
    }
}

/// By content: type, data, own and inherited ID, retry.
impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.event_type() == other.event_type()
            && self.data() == other.data()
            && self.id() == other.id()
            && self.last_event_id() == other.last_event_id()
            && self.retry() == other.retry()
    }
}

impl Eq for Event {}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("event_type", &self.event_type())
            .field("data", &self.data())
            .field("id", &self.id())
            .field("last_event_id", &self.last_event_id())
            .field("retry", &self.retry())
            .finish()
    }
}
