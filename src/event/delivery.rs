//! [`Delivery`] and [`Gap`]: what a subscription yields.

use std::fmt;

use crate::error::quoted;
use crate::event::Event;

/// An item of a subscription: an event, or a gap where events may be missing.
///
/// This enum will never get a third variant, so a `match` needs no `_` arm that would hide gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "promised: a `_` arm would swallow gaps")]
pub enum Delivery<T = Event> {
    /// An event that matches the filter.
    Event(T),
    /// Events may be missing here.
    Gap(Gap),
}

/// A type that a subscription or an event stream yields in place of each event.
///
/// Public in a private module, so that only this crate implements it.
#[expect(unnameable_types, reason = "this crate alone decides what stands in the place of an event")]
pub trait Item: Sized {
    fn from_event(event: Event) -> Self;
}

impl Item for Event {
    #[inline]
    fn from_event(event: Self) -> Self {
        event
    }
}

impl<T> Delivery<T> {
    /// Converts the event, and keeps a gap as it is.
    ///
    /// # Examples
    ///
    /// ```
    /// use sseclient::{Delivery, Gap};
    ///
    /// assert_eq!(Delivery::Event(7).map(|number| number * 2), Delivery::Event(14));
    /// let gap = Delivery::<u8>::Gap(Gap::lagged(3));
    /// assert_eq!(gap.map(u64::from), Delivery::Gap(Gap::lagged(3)));
    /// ```
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Delivery<U> {
        match self {
            Self::Event(event) => Delivery::Event(map(event)),
            Self::Gap(gap) => Delivery::Gap(gap),
        }
    }

    pub(crate) fn is_event(&self) -> bool {
        matches!(self, Self::Event(_))
    }

    /// Returns the event; `None` for a gap.
    pub fn event(self) -> Option<T> {
        match self {
            Self::Event(event) => Some(event),
            Self::Gap(_) => None,
        }
    }

    /// Returns the gap; `None` for an event.
    pub fn gap(self) -> Option<Gap> {
        match self {
            Self::Event(_) => None,
            Self::Gap(gap) => Some(gap),
        }
    }
}

/// A place in a stream where events may be missing.
///
/// A gap is not an error: the stream goes on. Gaps take no capacity in a queue and are never
/// dropped. Two neighbours of a kind merge into one. The numbers of [`Lagged`] and [`Oversized`]
/// gaps add up. Of two [`Reconnected`] gaps the latest stays; if one of the requests carried no ID,
/// `sent` is `None`, since a later reconnection does not bring back what was lost then.
///
/// [`Lagged`]: Self::Lagged
/// [`Oversized`]: Self::Oversized
/// [`Reconnected`]: Self::Reconnected
#[doc(alias = "lag")]
#[doc(alias = "loss")]
#[doc(alias = "missed")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gap {
    /// The subscriber was too slow, so its oldest events were dropped.
    #[non_exhaustive]
    Lagged {
        /// The number of dropped events, which all matched its filter. In a transcript: of dropped
        /// items.
        missed: u64,
    },
    /// A new response replaced the last one.
    ///
    /// The request asked the server to resume after `sent`. With `None` the server could not know
    /// where to resume, and what it sent in between is lost.
    #[non_exhaustive]
    Reconnected {
        /// The last event ID that the request carried. `None` if it carried none, or if this gap
        /// has merged with one whose request carried none.
        sent: Option<String>,
    },
    /// Events over the size limit were skipped. Their IDs count, so a reconnection resumes after
    /// them.
    #[non_exhaustive]
    Oversized {
        /// The type of the newest one; `None` if it is over 8,000 bytes or over the size limit. In
        /// a [replay](crate::SubscribeOptions::replay) also `None` if events of several types have
        /// merged.
        event_type: Option<String>,
        /// The ID that the newest one set; `None` if it set none, or one over 8,000 bytes.
        id: Option<String>,
        /// The number of skipped events.
        events: u64,
        /// The bytes of data that they had together.
        size: u64,
    },
    /// A [replay](crate::SubscribeOptions::replay) is not complete.
    ///
    /// More events came after a snapshot than the stream
    /// [retains](crate::StreamBuilder::retain_since), or there are more keys than it
    /// [retains](crate::StreamBuilder::retain_latest), and the oldest are missing here. Their types
    /// are not known any more, so every replay has this gap, for any filter. Or the replay was to
    /// begin [after an ID](crate::SubscribeOptions::replay_after) that is not retained.
    #[non_exhaustive]
    NotRetained {
        /// The number of missing events, of any type; 0 if it is not known.
        events: u64,
    },
}

impl Gap {
    /// Creates a [`Lagged`](Self::Lagged) gap, for tests of programs that handle gaps.
    pub fn lagged(missed: u64) -> Self {
        Self::Lagged { missed }
    }

    /// Creates a [`Reconnected`](Self::Reconnected) gap, for tests of programs that handle gaps.
    pub fn reconnected(sent: Option<String>) -> Self {
        Self::Reconnected { sent }
    }

    /// Creates an [`Oversized`](Self::Oversized) gap of one event, for tests of programs that
    /// handle gaps.
    pub fn oversized(event_type: Option<String>, id: Option<String>, size: u64) -> Self {
        Self::Oversized { event_type, id, events: 1, size }
    }

    /// Creates a [`NotRetained`](Self::NotRetained) gap, for tests of programs that handle gaps.
    pub fn not_retained(events: u64) -> Self {
        Self::NotRetained { events }
    }

    /// Returns true if events must be considered lost.
    ///
    /// True for `Lagged`, `Oversized`, `NotRetained` and `Reconnected { sent: None }`. False for a
    /// reconnection whose request carried an ID: the server can send what is missing.
    pub fn is_loss(&self) -> bool {
        match self {
            Self::Lagged { .. } | Self::Oversized { .. } | Self::NotRetained { .. } => true,
            Self::Reconnected { sent } => sent.is_none(),
        }
    }

    /// Returns the size of its text in bytes: type and ID.
    pub(crate) fn size(&self) -> usize {
        let texts = match self {
            Self::Oversized { event_type, id, .. } => [event_type, id],
            Self::Reconnected { sent } => [sent, &None],
            Self::Lagged { .. } | Self::NotRetained { .. } => [&None; 2],
        };
        texts.into_iter().flatten().map(String::len).sum()
    }

    /// Returns true if two gaps are of the same kind, so that they merge as neighbours.
    pub(crate) fn is_same_kind(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Merges with an `older` neighbour; this gap stands for both then.
    ///
    /// Returns false and changes nothing if the two are of different kinds. `NotRetained` gaps do
    /// not merge either: each retention rule reports its own.
    pub(crate) fn merge(&mut self, older: &Self) -> bool {
        match (self, older) {
            (Self::Lagged { missed }, Self::Lagged { missed: more }) => *missed = missed.saturating_add(*more),
            (Self::Oversized { events, size, .. }, Self::Oversized { events: more, size: larger, .. }) => {
                *events = events.saturating_add(*more);
                *size = size.saturating_add(*larger);
            }
            // What was lost before a reconnection without an ID does not come back with a later
            // one.
            (Self::Reconnected { sent }, Self::Reconnected { sent: older }) => {
                if older.is_none() {
                    *sent = None;
                }
            }
            _ => return false,
        }
        true
    }
}

/// Returns a number of events as the subject of a sentence: "1 event was", "2 events were".
fn were(events: u64) -> String {
    if events == 1 { "1 event was".to_owned() } else { format!("{events} events were") }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lagged { missed } => write!(f, "{} dropped: this subscriber was too slow", were(*missed)),
            Self::Reconnected { sent: Some(id) } => write!(f, "reconnected, resuming after ID {}", quoted(id)),
            Self::Reconnected { sent: None } => f.write_str("reconnected without an ID: what came in between is lost"),
            Self::Oversized { events, size, .. } => {
                write!(f, "{} skipped: over the size limit, {size} bytes", were(*events))
            }
            Self::NotRetained { events: 0 } => {
                f.write_str("the event to begin after was not retained for late subscribers")
            }
            Self::NotRetained { events } => {
                write!(f, "{} not retained for late subscribers", were(*events))
            }
        }
    }
}
