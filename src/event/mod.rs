//! [`Event`]: a dispatched event, which owns its memory and is cheap to share.
//!
//! [`Delivery`] and [`Gap`] are what subscriptions yield. Events come from [`wire`](crate::wire) or
//! from an [`EventBuilder`]; [`Event::encode`] writes them back. Nothing here knows of connections.

mod builder;
#[cfg(feature = "json")]
mod decoded;
mod delivery;
mod into_last_event_id;
#[cfg(feature = "json")]
mod json;
mod values;

use std::fmt::{self, Write as _};
use std::time::Duration;

use triomphe::{Arc, HeaderSlice};

pub use self::builder::EventBuilder;
#[cfg(feature = "json")]
pub use self::decoded::Decoded;
pub(crate) use self::delivery::Item;
pub use self::delivery::{Delivery, Gap};
pub(crate) use self::into_last_event_id::IntoLastEventId;
pub(crate) use self::values::{RetryTime, Span, Values};

/// The event type of a block that names none (HTML standard, section 9.2.6, dispatch).
pub(crate) const DEFAULT_EVENT_TYPE: &str = "message";

/// Room for the field names and line ends of an encoded block with one line of data.
const FIELD_NAMES: usize = 40;

/// One event of an event stream.
///
/// An event owns its text, in one allocation. One of more than 16 KiB whose data came in pieces, or
/// in several lines, takes over the buffer in which it was collected; that takes two more small
/// allocations. A clone costs one reference count, so any number of subscribers can keep the same
/// event. Keeping an event never keeps a read buffer in memory.
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
#[doc(alias = "MessageEvent")]
#[doc(alias = "message")]
#[derive(Clone)]
pub struct Event {
    inner: Arc<HeaderSlice<Layout, str>>,
}

/// The header in front of the text of an event.
struct Layout {
    values: Values,
    /// The last event ID, if an earlier block set it. Shared, so that a long ID on a stream of
    /// small events costs its length once.
    inherited: Option<std::sync::Arc<str>>,
    /// See [`Event::position`]; 0 if the event does not come from a connection.
    position: u64,
    /// The text, if it was collected in memory of its own. Nothing is behind the header then.
    large: Option<Arc<String>>,
    #[cfg(feature = "json")]
    decode_cache: json::DecodeCache,
}

impl Event {
    // The values are separate arguments, not one struct, so that they travel in registers: 20 % on
    // the `ticks` corpus of the decoder bench.
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
            large: None,
            #[cfg(feature = "json")]
            decode_cache: json::DecodeCache::default(),
        };
        let mut inner = Arc::from_header_and_str(layout, text);
        // Set afterwards, and only if there is one, so that the layout above has nothing to drop
        // and needs no stack.
        if inherited.is_some() {
            if let Some(unique) = Arc::get_mut(&mut inner) {
                unique.header.inherited = inherited;
            }
        }
        Self { inner }
    }

    /// Creates an event that shares the memory of a large text.
    pub(crate) fn sharing(
        text: Arc<String>,
        values: Values,
        inherited: Option<std::sync::Arc<str>>,
        position: u64,
    ) -> Self {
        let Values { data, event_type, id, retry } = values;
        let mut event = Self::from_parts("", data, event_type, id, inherited, retry, position);
        if let Some(unique) = Arc::get_mut(&mut event.inner) {
            unique.header.large = Some(text);
        }
        event
    }

    /// Starts to build an event, for servers and tests.
    pub fn builder() -> EventBuilder {
        EventBuilder::default()
    }

    /// Returns the event type; `"message"` if the block named none.
    pub fn event_type(&self) -> &str {
        match self.layout().values.event_type {
            span if span.is_empty() => DEFAULT_EVENT_TYPE,
            span => self.text(span),
        }
    }

    /// Returns the data: the `data` lines of the block, joined by line feeds.
    pub fn data(&self) -> &str {
        self.text(self.layout().values.data)
    }

    /// Returns the ID that the block itself set; `Some("")` if it cleared the last event ID.
    pub fn id(&self) -> Option<&str> {
        self.layout().values.id.some().map(|id| self.text(id))
    }

    /// Returns the last event ID when this event was dispatched; empty if there is none.
    ///
    /// An event without an ID of its own inherits it from the blocks before.
    pub fn last_event_id(&self) -> &str {
        self.id().unwrap_or_else(|| self.layout().inherited.as_deref().unwrap_or_default())
    }

    /// Returns the last event ID, in memory that events which inherit it share.
    pub(crate) fn shared_last_event_id(&self) -> std::sync::Arc<str> {
        match &self.layout().inherited {
            Some(inherited) => inherited.clone(),
            None => self.last_event_id().into(),
        }
    }

    /// Returns the reconnection time that the block set.
    pub fn retry(&self) -> Option<Duration> {
        self.layout().values.retry.get().map(Duration::from_millis)
    }

    /// Returns the event in wire format, with its blank line.
    ///
    /// Data with line breaks becomes several `data` lines. An inherited ID is not written. No event
    /// can inject other lines, since types and IDs are validated when an event is built.
    pub fn encode(&self) -> String {
        let size = self.event_type().len() + self.id().map_or(0, str::len) + self.data().len();
        let mut block = String::with_capacity(size + FIELD_NAMES);
        // A block without a type is a `message` (HTML, section 9.2.6).
        if self.event_type() != DEFAULT_EVENT_TYPE {
            line(&mut block, "event", self.event_type());
        }
        if let Some(id) = self.id() {
            line(&mut block, "id", id);
        }
        if let Some(retry) = self.retry() {
            // Writing to a String cannot fail.
            let _ = writeln!(block, "retry: {}", retry.as_millis());
        }
        // A line of data is a field of its own. A decoder joins them with LF (HTML, section 9.2.6).
        for data in self.data().split('\n') {
            line(&mut block, "data", data);
        }
        // An empty line dispatches the event: without it a decoder would wait for more fields.
        block.push('\n');
        block
    }

    /// Returns the position of the event in its stream.
    ///
    /// Later events of a stream have greater positions, and two streams of a process never share
    /// one. An ID does not identify an event: IDs repeat, and are inherited.
    pub(crate) fn position(&self) -> u64 {
        self.layout().position
    }

    /// Moves the event to another position.
    #[cfg(test)]
    pub(crate) fn at(mut self, position: u64) -> Self {
        Arc::get_mut(&mut self.inner).unwrap().header.position = position;
        self
    }

    /// Returns the number of clones.
    #[cfg(test)]
    pub(crate) fn references(&self) -> usize {
        Arc::count(&self.inner)
    }

    /// Returns the size of its text in bytes: data, type and last event ID.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        // An inherited ID counts for each event, though they share it: one of them is enough to
        // keep it in memory, and the server may send a new one before each event.
        self.all_text().len() + self.layout().inherited.as_deref().map_or(0, str::len)
    }

    fn layout(&self) -> &Layout {
        &self.inner.header
    }

    fn text(&self, span: Span) -> &str {
        &self.all_text()[span.range()]
    }

    #[inline]
    fn all_text(&self) -> &str {
        self.layout().large.as_deref().map_or(&self.inner.slice, String::as_str)
    }
}

/// Appends a line. The space after the colon keeps a leading space of the value.
fn line(block: &mut String, name: &str, value: &str) {
    block.extend([name, ": ", value, "\n"]);
}

/// Compares type, data, own ID, last event ID and retry.
impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        // Position and decoded values are left out: they tell when an event came and how it was
        // used.
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
