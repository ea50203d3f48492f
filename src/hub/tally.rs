//! [`Tally`]: what subscriptions take of a hub that closes, and what they leave.

use std::sync::Arc;

use tokio::time::Instant;

use super::reader::Cursor;
use super::relief::Relief;

/// Counts from when it was made.
pub(crate) struct Tally {
    starts: Vec<Start>,
    relief: Arc<Relief>,
}

/// Where a reader was when the tally began.
struct Start {
    cursor: Arc<Cursor>,
    position: u64,
    missed: u64,
}

impl Tally {
    pub(super) fn new(cursors: impl Iterator<Item = Arc<Cursor>>, relief: Arc<Relief>) -> Self {
        let start = |cursor: Arc<Cursor>| Start { position: cursor.position(), missed: cursor.missed(), cursor };
        Self { starts: cursors.map(start).collect(), relief }
    }

    /// Waits until everything has been taken or dropped, at most until `deadline`; then readers are cut
    /// off. How many items were taken, and how many were not. The hub has to be closed by somebody.
    pub(crate) async fn settle(self, deadline: Instant) -> (u64, u64) {
        let settled = self.relief.drained(|| self.starts.iter().all(Start::is_settled));
        if tokio::time::timeout_at(deadline, settled).await.is_err() {
            self.relief.cut_off();
        }
        (self.starts.iter().map(Start::taken).sum(), self.starts.iter().map(Start::left).sum())
    }
}

impl Start {
    fn is_settled(&self) -> bool {
        self.cursor.is_gone() || self.cursor.left() == Some(0)
    }

    fn taken(&self) -> u64 {
        let missed = self.cursor.missed() - self.missed;
        (self.cursor.position() - self.position).saturating_sub(missed)
    }

    fn left(&self) -> u64 {
        self.cursor.left().unwrap_or(0)
    }
}
