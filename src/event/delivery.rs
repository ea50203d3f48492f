//! [`Delivery`] and [`Gap`]: what a subscription yields.

use std::fmt;

use crate::event::Event;

/// What a subscription yields: an event, or notice of a hole at the place of the hole.
///
/// Exhaustive for good, so that nobody needs a `_` arm that swallows gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "promised: a `_` arm would swallow gaps")]
pub enum Delivery<T = Event> {
    /// An event that matched the filter.
    Event(T),
    /// Events may be missing here.
    Gap(Gap),
}

impl<T> Delivery<T> {
    /// The same of something else.
    pub(crate) fn map<U>(self, map: impl FnOnce(T) -> U) -> Delivery<U> {
        match self {
            Self::Event(event) => Delivery::Event(map(event)),
            Self::Gap(gap) => Delivery::Gap(gap),
        }
    }

    pub(crate) fn is_event(&self) -> bool {
        matches!(self, Self::Event(_))
    }

    /// The event, if it is one.
    pub fn event(self) -> Option<T> {
        match self {
            Self::Event(event) => Some(event),
            Self::Gap(_) => None,
        }
    }
}

/// A place where events may be missing. Never an error: the stream goes on.
///
/// Gaps take no room in a queue and are never dropped. Neighbours of a kind merge: [`Lagged`] and
/// [`Oversized`] add up, [`Reconnected`] keeps the latest, or that a request carried no ID if one of them
/// did not: what was lost then does not come back.
///
/// [`Lagged`]: Self::Lagged
/// [`Oversized`]: Self::Oversized
/// [`Reconnected`]: Self::Reconnected
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gap {
    /// This subscriber was too slow: its oldest events were dropped.
    #[non_exhaustive]
    Lagged {
        /// How many events that matched its filter. In a transcript: how many items.
        missed: u64,
    },
    /// A new response took over. The server was asked to go on after `sent`; with `None` it could
    /// not know where, and whatever it sent in between is lost.
    #[non_exhaustive]
    Reconnected {
        /// The last event ID that the request carried; `None` if it, or one before it that merged with it,
        /// carried none.
        sent: Option<String>,
    },
    /// Events over the size limit were skipped. Their IDs count: a reconnection resumes after them.
    #[non_exhaustive]
    Oversized {
        /// The type of the newest; none if it was itself too long to be kept, or over 8,000 bytes. In a
        /// [replay](crate::SubscribeOptions::replay) also none if events of several types have merged.
        event_type: Option<String>,
        /// The ID that the newest set; none if that is over 8,000 bytes.
        id: Option<String>,
        /// How many.
        events: u64,
        /// How many bytes of data they had together.
        size: u64,
    },
    /// In a [replay](crate::SubscribeOptions::replay) of a snapshot and what came after it: there was more than is
    /// [retained](crate::StreamBuilder::retain_since), and the oldest of it is missing before here. Of which types
    /// those events were is not known any more, so whoever asks for a replay is told, whatever the filter.
    #[non_exhaustive]
    NotRetained {
        /// How many events, of any type.
        events: u64,
    },
}

impl Gap {
    /// For tests of programs that handle gaps.
    pub fn lagged(missed: u64) -> Self {
        Self::Lagged { missed }
    }

    /// For tests of programs that handle gaps.
    pub fn reconnected(sent: Option<String>) -> Self {
        Self::Reconnected { sent }
    }

    /// For tests of programs that handle gaps: one event.
    pub fn oversized(event_type: Option<String>, id: Option<String>, size: u64) -> Self {
        Self::Oversized { event_type, id, events: 1, size }
    }

    /// For tests of programs that handle gaps.
    pub fn not_retained(events: u64) -> Self {
        Self::NotRetained { events }
    }

    /// Whether events are certainly missing, or nothing says that they are not: true for `Lagged`,
    /// `Oversized`, `NotRetained` and `Reconnected { sent: None }`.
    pub fn is_loss(&self) -> bool {
        match self {
            Self::Lagged { .. } | Self::Oversized { .. } | Self::NotRetained { .. } => true,
            Self::Reconnected { sent } => sent.is_none(),
        }
    }

    /// Whether two gaps are of the same kind, so that they merge as neighbours.
    pub(crate) fn is_same_kind(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Merges with an `older` neighbour: afterwards this gap stands for both. False, with nothing
    /// changed, if the two are of different kinds, or say that events were not retained: each retention
    /// rule speaks for itself.
    pub(crate) fn merge(&mut self, older: &Self) -> bool {
        match (self, older) {
            (Self::Lagged { missed }, Self::Lagged { missed: more }) => *missed = missed.saturating_add(*more),
            (Self::Oversized { events, size, .. }, Self::Oversized { events: more, size: larger, .. }) => {
                *events = events.saturating_add(*more);
                *size = size.saturating_add(*larger);
            }
            // What was lost before a reconnection without an ID does not come back with a later one.
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

/// So many events were.
struct Were(u64);

impl fmt::Display for Were {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 event was"),
            events => write!(f, "{events} events were"),
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lagged { missed } => write!(f, "{} dropped: this subscriber was too slow", Were(*missed)),
            Self::Reconnected { sent: Some(id) } => write!(f, "reconnected, resuming after ID {id:?}"),
            Self::Reconnected { sent: None } => f.write_str("reconnected without an ID: what came in between is lost"),
            Self::Oversized { events, size, .. } => {
                write!(f, "{} skipped: over the size limit, {size} bytes", Were(*events))
            }
            Self::NotRetained { events } => {
                write!(f, "{} not retained for late subscribers", Were(*events))
            }
        }
    }
}
