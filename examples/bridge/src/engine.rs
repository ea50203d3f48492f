//! [`Engine`]: what the bridge needs of the system that stores its entries.

use std::error::Error;
use std::fmt;

use crate::entry::{Entry, ResumePoint};

/// An engine in which one bridge of a group leads, and only that one can append.
///
/// The engine holds all state: who leads, how many entries there are, and where each source
/// resumes. After any failure [`lead`](Self::lead) reads it back, so that nothing is repeated
/// blindly.
#[expect(async_fn_in_trait, reason = "a bridge runs in one task")]
pub trait Engine {
    /// Tries to lead: from now on, what any other bridge of the group appends is refused.
    ///
    /// If this bridge leads already, its term continues.
    async fn lead(&mut self) -> Result<Lead, EngineError>;

    /// Appends entries in order after a position, each with its resume point, and renews the lease.
    /// Without entries it only renews the lease.
    ///
    /// Nothing is appended if the stream does not end at this position, and no entry unless the one
    /// before it was, or is lost. So after an error it is a first part of them that was appended,
    /// and the position that [`lead`](Self::lead) returns next tells how many.
    ///
    /// Returns the indexes of entries that are lost, in order, after it has logged them. The engine
    /// counted them in the position, and could not store them: Redis undoes nothing of a
    /// transaction. If that answer is lost, too, no log tells of them.
    async fn append(&mut self, position: u64, entries: &[Entry]) -> Result<Vec<usize>, EngineError>;

    /// Gives up the lease, so that another bridge need not wait for its end.
    async fn release(&mut self) -> Result<(), EngineError>;

    /// Returns the size in bytes of the largest event that the engine takes. Larger ones become
    /// gaps.
    fn max_event_size(&self) -> usize;

    /// Returns true if the engine can store this entry. An event that it cannot store would stop
    /// all sources, so a gap takes its place.
    fn can_store(&self, entry: &Entry) -> bool;
}

/// The answer to a bridge that wants to lead.
#[derive(Debug)]
pub enum Lead {
    Granted(Term),
    /// Another bridge of the group leads.
    Held {
        by: String,
    },
}

/// What a bridge finds when it begins to lead.
#[derive(Debug)]
pub struct Term {
    /// True if this bridge led before, and no other writer has written since.
    pub continues: bool,
    /// The position of the last entry: it grows by one with each.
    pub position: u64,
    /// Where each source resumes, in the order of the configuration; `None` if it has no entries.
    pub resume: Vec<Option<ResumePoint>>,
}

#[derive(Debug)]
pub enum EngineError {
    /// Another bridge has begun a term, or another program has written.
    Fenced,
    /// The engine cannot be reached, or refuses: it may be full, or still starting.
    Unavailable(Box<dyn Error + Send + Sync>),
}

impl EngineError {
    pub fn unavailable(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(error.into())
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fenced => f.write_str("another writer has written"),
            Self::Unavailable(error) => error.fmt(f),
        }
    }
}

impl Error for EngineError {}
