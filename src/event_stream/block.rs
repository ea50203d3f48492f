//! [`Block`]: what stands in the response, as it stands there.

use std::time::Duration;

use crate::event::{Delivery, Event, Gap};
use crate::wire::{Frame, OversizedFrame};

/// A block of an event stream, or what stands between two: see
/// [`EventStream::recv_block`](crate::EventStream::recv_block).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Block {
    /// A block with data, which may be empty: an event.
    Event(Event),
    /// A block without data. It is no event, but has an ID, a reconnection time or a type.
    #[non_exhaustive]
    WithoutData {
        /// The type; `"message"` if the block named none.
        event_type: String,
        /// The ID that the block set; `Some("")` if it cleared the last event ID.
        id: Option<String>,
        /// The reconnection time that the block set. Not clamped.
        retry: Option<Duration>,
    },
    /// A comment: the text after the colon, with its leading space. Only with
    /// [`comments`](crate::EventStream::comments).
    Comment(String),
    /// A block over the size limit was skipped ([`Gap::Oversized`]).
    Gap(Gap),
}

impl Block {
    /// Returns what a frame says; `None` for a `retry`, which comes again with its block.
    pub(super) fn from_frame(frame: Frame<'_>) -> Option<Self> {
        Some(match frame {
            Frame::Event(event) => Self::Event(event.to_event()),
            Frame::EmptyBlock(block) => Self::WithoutData {
                event_type: block.event_type().to_owned(),
                id: block.id().map(ToOwned::to_owned),
                retry: block.retry(),
            },
            Frame::Comment(text) => Self::Comment(text.to_owned()),
            Frame::Oversized(event) => Self::Gap(oversized(event)),
            Frame::Retry(_) | Frame::Id(_) => return None,
        })
    }
}

/// Returns an event, or a gap in place of an oversized one.
pub(super) fn delivery(frame: Frame<'_>) -> Option<Delivery> {
    match frame {
        Frame::Event(event) => Some(Delivery::Event(event.to_event())),
        Frame::Oversized(event) => Some(Delivery::Gap(oversized(event))),
        Frame::Comment(_) | Frame::Retry(_) | Frame::Id(_) | Frame::EmptyBlock(_) => None,
    }
}

fn oversized(event: OversizedFrame<'_>) -> Gap {
    let own = |text: &str| text.to_owned();
    Gap::oversized(event.event_type().map(own), event.id().map(own), event.size())
}
