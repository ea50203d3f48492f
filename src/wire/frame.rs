//! [`Frame`]: something that the stream said, borrowed from the decoder until the next call.

use std::fmt;
use std::time::Duration;

use triomphe::Arc;

use crate::event::{DEFAULT_EVENT_TYPE, Event, Span, Values};

use super::last_event_id::LastEventIdBuffer;

/// Something that the event stream said, borrowed from the decoder's memory.
#[derive(Debug)]
#[non_exhaustive]
pub enum Frame<'a> {
    /// An event: a block with data came to its blank line.
    Event(EventFrame<'a>),
    /// A comment: the text after the colon, with its leading space. Only if the decoder was set to
    /// make [frames of comments](super::Decoder::comments).
    Comment(&'a str),
    /// A valid `retry` field, in milliseconds, as soon as its line ends. Not clamped.
    Retry(u64),
    /// A block without data set the last event ID to this. An empty one clears it.
    Id(&'a str),
    /// A block without data came to its blank line, and it has an ID, a `retry` or a type. Only if
    /// the decoder was set to make [frames of empty blocks](super::Decoder::empty_blocks), and in
    /// place of an [`Id`](Self::Id) then.
    EmptyBlock(EventFrame<'a>),
    /// An event over the size limit was skipped. Its ID still counts.
    Oversized(OversizedFrame<'a>),
}

/// What an event frame has besides its text and the last event ID.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Where the values stand in the text.
    pub(super) values: Values,
    /// The text again, if it is large: its event shares this memory.
    pub(super) large: Option<Arc<String>>,
}

/// An event that is borrowed: no memory has been allocated for it yet.
// Pointers only: frames pass through memory, and memory that is written in small pieces is slow to
// read in larger ones.
#[derive(Clone, Copy)]
pub struct EventFrame<'a> {
    pub(super) text: &'a str,
    /// `None` if the text is data and nothing else.
    pub(super) parts: Option<&'a Parts>,
    pub(super) last_event_id: &'a LastEventIdBuffer,
}

impl<'a> EventFrame<'a> {
    /// Returns the event type; `"message"` if the block named none.
    pub fn event_type(&self) -> &'a str {
        match self.parts {
            Some(Parts { values, .. }) if !values.event_type.is_empty() => &self.text[values.event_type.range()],
            _ => DEFAULT_EVENT_TYPE,
        }
    }

    /// Returns the data: the `data` lines of the block, joined by line feeds.
    pub fn data(&self) -> &'a str {
        self.parts.map_or(self.text, |parts| &self.text[parts.values.data.range()])
    }

    /// Returns the ID that the block itself set.
    pub fn id(&self) -> Option<&'a str> {
        self.parts?.values.id.some().map(|id| &self.text[id.range()])
    }

    /// Returns true if the block sets an ID that differs from the last event ID before it.
    pub(crate) fn sets_new_id(&self) -> bool {
        self.id().is_some() && self.last_event_id.has_changed()
    }

    /// Returns the last event ID after this block.
    pub fn last_event_id(&self) -> &'a str {
        self.last_event_id.as_str()
    }

    /// Returns the reconnection time that the block set.
    pub fn retry(&self) -> Option<Duration> {
        self.parts?.values.retry.get().map(Duration::from_millis)
    }

    /// Returns the size of its text in bytes: data, type and ID.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.text.len()
    }

    /// Returns the event with memory of its own: one allocation of the size of its text. A large
    /// event whose data came in pieces, or in several lines, takes over the memory in which it was
    /// collected.
    #[inline]
    pub fn to_event(&self) -> Event {
        self.event_at(0)
    }

    /// Returns the event with memory of its own, for this position of a stream.
    #[inline]
    pub(crate) fn event_at(&self, position: u64) -> Event {
        let data_only = Values::data_only(self.text.len());
        let Values { data, event_type, id, retry } = self.parts.map_or(data_only, |parts| parts.values);
        let inherited = if id == Span::NONE { self.last_event_id.inherited() } else { None };
        match self.parts {
            Some(Parts { large: Some(text), values }) => Event::sharing(text.clone(), *values, inherited, position),
            _ => Event::from_parts(self.text, data, event_type, id, inherited, retry, position),
        }
    }
}

impl fmt::Debug for EventFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventFrame")
            .field("event_type", &self.event_type())
            .field("data", &self.data())
            .field("id", &self.id())
            .field("last_event_id", &self.last_event_id())
            .field("retry", &self.retry())
            .finish()
    }
}

/// An event over the size limit, without its data.
#[derive(Debug, Clone, Copy)]
pub struct OversizedFrame<'a> {
    /// The rest of the event.
    pub(super) event: EventFrame<'a>,
    /// The type itself did not fit.
    pub(super) is_type_cut: bool,
    pub(super) size: u64,
}

impl<'a> OversizedFrame<'a> {
    /// Returns the event type; `None` if it was itself too long to be kept.
    pub fn event_type(&self) -> Option<&'a str> {
        if self.is_type_cut { None } else { Some(self.event.event_type()) }
    }

    /// Returns the ID that the block set; it is the last event ID now.
    pub fn id(&self) -> Option<&'a str> {
        self.event.id()
    }

    /// Returns true if the block sets an ID that differs from the last event ID before it.
    pub(crate) fn sets_new_id(&self) -> bool {
        self.event.sets_new_id()
    }

    /// Returns how many bytes of data the event had.
    pub fn size(&self) -> u64 {
        self.size
    }
}
