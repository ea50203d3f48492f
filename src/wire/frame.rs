//! What the decoder lends: frames that borrow its memory until the next call.

use std::fmt;
use std::time::Duration;

use crate::event::{DEFAULT_EVENT_TYPE, Event, Span, Values};

use super::last_event_id::LastEventIdBuffer;

/// Something that the event stream said. Lent from the decoder's memory.
#[derive(Debug)]
#[non_exhaustive]
pub enum Frame<'a> {
    /// A block with data came to its blank line.
    Event(EventFrame<'a>),
    /// A comment: the text after the colon, untouched. Only when the decoder was asked for them.
    Comment(&'a str),
    /// A valid `retry` line: milliseconds, as soon as the line ends. Saturated, unclamped.
    Retry(u64),
    /// A block without data set the last event ID, to this; empty clears it.
    Id(&'a str),
    /// A block over the limit was skipped. Its ID counts all the same.
    Oversized(OversizedFrame<'a>),
}

/// An event before anybody has paid for its memory.
// Pointers only: frames pass through memory, and what is stored in small pieces is slow to load in larger ones.
#[derive(Clone, Copy)]
pub struct EventFrame<'a> {
    pub(super) text: &'a str,
    /// Where in the text its values stand; `None` if all of it is data, and there is nothing else.
    pub(super) values: Option<&'a Values>,
    pub(super) last_event_id: &'a LastEventIdBuffer,
}

impl<'a> EventFrame<'a> {
    /// The event type; `"message"` when the block named none.
    pub fn event_type(&self) -> &'a str {
        match self.values {
            Some(values) if !values.event_type.is_empty() => &self.text[values.event_type.range()],
            _ => DEFAULT_EVENT_TYPE,
        }
    }

    /// The data: the block's `data` lines, joined by line feeds.
    pub fn data(&self) -> &'a str {
        self.values.map_or(self.text, |values| &self.text[values.data.range()])
    }

    /// The ID that this block itself set.
    pub fn id(&self) -> Option<&'a str> {
        self.values?.id.some().map(|id| &self.text[id.range()])
    }

    /// Whether the block sets an ID, and another than the one before.
    pub(crate) fn sets_new_id(&self) -> bool {
        self.id().is_some() && self.last_event_id.has_changed()
    }

    /// The last event ID, with this block's counted in.
    pub fn last_event_id(&self) -> &'a str {
        self.last_event_id.as_str()
    }

    /// The reconnection time that this block set.
    pub fn retry(&self) -> Option<Duration> {
        self.values?.retry.get().map(Duration::from_millis)
    }

    /// The event, owned: one allocation, of its own text's size.
    #[inline]
    pub fn to_event(&self) -> Event {
        self.event_at(0)
    }

    /// The same, as the one at this position of a stream.
    #[inline]
    pub(crate) fn event_at(&self, position: u64) -> Event {
        let data_only = Values::data_only(self.text.len());
        let Values { data, event_type, id, retry } = *self.values.unwrap_or(&data_only);
        let inherited = if id == Span::NONE { self.last_event_id.inherited() } else { None };
        Event::from_parts(self.text, data, event_type, id, inherited, retry, position)
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

/// What is known of a block that was over the limit.
#[derive(Debug, Clone, Copy)]
pub struct OversizedFrame<'a> {
    pub(super) event_type: Option<&'a str>,
    pub(super) id: Option<&'a str>,
    /// It has one, and another than the block before.
    pub(super) is_new_id: bool,
    pub(super) size: u64,
}

impl<'a> OversizedFrame<'a> {
    /// The event type; none if it was itself too long to be kept.
    pub fn event_type(&self) -> Option<&'a str> {
        self.event_type
    }

    /// The ID that the block set; it is the last event ID now.
    pub fn id(&self) -> Option<&'a str> {
        self.id
    }

    pub(crate) fn sets_new_id(&self) -> bool {
        self.is_new_id
    }

    /// How many bytes of data the block had.
    pub fn size(&self) -> u64 {
        self.size
    }
}
