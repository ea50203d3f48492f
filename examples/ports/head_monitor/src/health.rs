//! [`Health`]: whether to ask a node.

use std::fmt;

use sseclient::State;

use crate::head::Head;

/// A head is everywhere within seconds. So a node may be one slot behind for a moment.
const TOLERANCE: u64 = 1;

/// A node, and what is known about it.
#[derive(Debug, Clone)]
pub struct NodeHealth {
    pub url: String,
    pub health: Health,
    /// Its last head.
    pub head: Option<Head>,
    /// Why its REST API had no answer, the last time that it was asked for its head.
    pub unanswered: Option<String>,
}

/// Whether a node can be asked.
#[derive(Debug, Clone)]
pub enum Health {
    Synced,
    /// It has not verified its head.
    Optimistic,
    /// This many slots behind the newest head.
    Behind(u64),
    /// It is connected, and has told no head yet.
    Unknown,
    /// There is no stream. The state has the cause, and when the next attempt is.
    Offline(State),
}

impl Health {
    pub(crate) fn new(state: State, head: Option<&Head>, newest_slot: u64) -> Self {
        match head {
            _ if !state.is_open() => Self::Offline(state),
            None => Self::Unknown,
            // Also if it is behind: it cannot be asked.
            Some(head) if head.execution_optimistic => Self::Optimistic,
            Some(head) => match newest_slot.saturating_sub(head.slot) {
                behind if behind > TOLERANCE => Self::Behind(behind),
                _ => Self::Synced,
            },
        }
    }

    /// Returns how far from the best it is; `None` if it cannot be asked.
    pub(crate) fn rank(&self) -> Option<u64> {
        match self {
            Self::Synced => Some(0),
            Self::Behind(slots) => Some(*slots),
            Self::Optimistic | Self::Unknown | Self::Offline(_) => None,
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Synced => f.write_str("synced"),
            Self::Optimistic => f.write_str("optimistic"),
            Self::Behind(slots) => write!(f, "{slots} slots behind"),
            Self::Unknown => f.write_str("connected, no head yet"),
            Self::Offline(state) => write!(f, "offline: {state}"),
        }
    }
}
