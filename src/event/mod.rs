//! [`Event`]: what a block of the event stream becomes, owned and cheap to share.

#[cfg(feature = "json")]
mod decode_cache;
mod delivery;
mod encoder;
#[cfg(feature = "json")]
mod json;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use triomphe::{Arc, HeaderSlice};

use crate::error::{Error, ErrorKind};

pub use self::delivery::{Delivery, Gap};

/// The event type of a block that names none (HTML standard, section 9.2.6, dispatch).
pub(crate) const DEFAULT_EVENT_TYPE: &str = "message";

/// How large an event may be unless something else is asked for: as other clients have settled on.
/// Enough for any event that is meant, little enough that one bad server cannot take the process down.
pub(crate) const MAX_EVENT_SIZE: usize = 16 * 1024 * 1024;

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
    data: Span,
    /// Empty for the default type.
    event_type: Span,
    /// The ID that the block itself set, or [`Span::NONE`].
    id: Span,
    /// What an earlier block set. Shared: a long ID on a stream of small events costs its length once.
    inherited: Option<std::sync::Arc<str>>,
    retry: RetryTime,
    /// Which event of which stream it is; 0 for one that came with none.
    position: u64,
    #[cfg(feature = "json")]
    decode_cache: decode_cache::DecodeCache,
}

/// Milliseconds, if there are any: in eight bytes, since each event has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetryTime(u64);

impl RetryTime {
    /// Not the greatest, which stands for all that is greater still. Half a billion years, and one ms more
    /// for who asks for just this.
    pub(crate) const NONE: Self = Self(u64::MAX - 1);

    #[inline]
    pub(crate) fn new(milliseconds: Option<u64>) -> Self {
        match milliseconds {
            None => Self::NONE,
            Some(milliseconds) if Self(milliseconds) == Self::NONE => Self(u64::MAX),
            Some(milliseconds) => Self(milliseconds),
        }
    }

    pub(crate) fn get(self) -> Option<u64> {
        (self != Self::NONE).then_some(self.0)
    }
}

/// A range of an event's text, in one word: the start above, the end below. Four bytes each way: no event is
/// larger than 4 GiB ([`MAX_TEXT`] sees to that).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(u64);

/// The most text that one event can hold, so that a [`Span`] always fits.
pub(crate) const MAX_TEXT: usize = u32::MAX as usize;

impl Span {
    pub(crate) const EMPTY: Self = Self(0);

    /// No range: it ends before it starts.
    pub(crate) const NONE: Self = Self(1 << 32);

    #[inline]
    pub(crate) fn new(range: Range<usize>) -> Self {
        // Saturates rather than wraps; the decoder's limit is clamped to MAX_TEXT, so neither happens.
        let narrow = |at: usize| at.min(MAX_TEXT) as u64;
        Self(narrow(range.start) << 32 | narrow(range.end))
    }

    #[inline]
    pub(crate) fn range(self) -> Range<usize> {
        (self.0 >> 32) as usize..self.0 as u32 as usize
    }

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        let range = self.range();
        range.start == range.end
    }

    /// The same range, `by` bytes nearer to the beginning.
    #[inline]
    pub(crate) fn nearer(self, by: usize) -> Self {
        let range = self.range();
        Self::new(range.start - by..range.end - by)
    }

    #[inline]
    pub(crate) fn some(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }
}

impl Event {
    // The arguments travel in registers, and become the layout where it stays.
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
            data,
            event_type,
            id,
            inherited: None,
            retry,
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
        match self.layout().event_type {
            span if span.is_empty() => DEFAULT_EVENT_TYPE,
            span => self.text(span),
        }
    }

    /// The data: the block's `data` lines, joined by line feeds.
    pub fn data(&self) -> &str {
        self.text(self.layout().data)
    }

    /// The ID that this block itself set; `Some("")` when it cleared the last event ID.
    pub fn id(&self) -> Option<&str> {
        self.layout().id.some().map(|id| self.text(id))
    }

    /// The last event ID when this event was dispatched, inherited from earlier blocks when this
    /// one set none; empty if there is none.
    pub fn last_event_id(&self) -> &str {
        self.id().unwrap_or_else(|| self.layout().inherited.as_deref().unwrap_or_default())
    }

    /// The reconnection time that this block set.
    pub fn retry(&self) -> Option<Duration> {
        self.layout().retry.get().map(Duration::from_millis)
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

/// Builds an [`Event`]; everything is optional, [`build`](Self::build) validates once.
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct EventBuilder {
    event_type: String,
    data: String,
    id: Option<String>,
    retry: Option<Duration>,
}

impl EventBuilder {
    /// Sets the event type; `""` and `"message"` are the default type.
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.event_type = event_type.into();
        self
    }

    /// Sets the data. CR LF and CR become line feeds, as they would on the wire.
    pub fn data(mut self, data: impl Into<String>) -> Self {
        self.data = data.into();
        self
    }

    /// Sets the ID; `""` clears the client's last event ID.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the reconnection time, in whole milliseconds (what is finer is cut off).
    pub fn retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Validates and builds the event.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidEvent`]: a CR or LF in type or ID, a NUL in the ID (the standard makes
    /// clients ignore such an ID), more than 4 GiB of text.
    pub fn build(self) -> Result<Event, Error> {
        let invalid = |what: &str| Err(Error::new(ErrorKind::InvalidEvent, what.to_owned()));
        if self.event_type.contains(['\r', '\n']) {
            return invalid("an event type cannot hold a line break");
        }
        if self.id.as_deref().is_some_and(|id| id.contains(['\r', '\n', '\0'])) {
            return invalid("an event ID cannot hold a line break or NUL");
        }
        let mut text = match self.data.contains('\r') {
            true => self.data.replace("\r\n", "\n").replace('\r', "\n"),
            false => self.data,
        };
        let data = 0..text.len();
        if self.event_type != DEFAULT_EVENT_TYPE {
            text.push_str(&self.event_type);
        }
        let event_type = data.end..text.len();
        text.push_str(self.id.as_deref().unwrap_or_default());
        let id = event_type.end..text.len();
        if text.len() > MAX_TEXT {
            return invalid("an event cannot hold more than 4 GiB");
        }
        let id = if self.id.is_some() { Span::new(id) } else { Span::NONE };
        let retry = RetryTime::new(self.retry.map(|retry| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX)));
        Ok(Event::from_parts(&text, Span::new(data), Span::new(event_type), id, None, retry, 0))
    }
}
