//! [`Retain`]: a rule for what is kept for subscribers who come late.

use crate::hub::Filter;

/// How many events a snapshot and what came after it may be: enough for minutes of a busy stream, little enough to be
/// handed to a subscriber at once.
pub(crate) const MOST_EVENTS: usize = 65_536;

/// How much text one rule keeps: as much as a queue may hold.
pub(crate) const MOST_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Debug, Clone)]
pub(crate) struct Retain {
    pub(crate) filter: Filter,
    pub(crate) keep: Keep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// So many of the newest that match.
    Newest(usize),
    /// The newest that matches, and everything after it.
    Since,
}
