//! [`Published`]: the copies of the session's facts that handles, monitors and the committer read.
//!
//! The connection task is the only writer. A watch skips values, so what must not be missed is
//! counted in [`Status`].

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::error::Error;
use crate::hub::LockedHub;
use crate::state::{CloseReason, State};

/// How the connection stands, and its last event ID.
#[derive(Debug)]
pub(crate) struct Published {
    status: watch::Sender<Status>,
    last_event_id: Mutex<String>,
}

/// The values that monitors watch, together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    pub(crate) state: State,
    /// Responses accepted so far.
    pub(crate) accepted: u64,
    /// The number of the last change that an accepted response's request carried.
    pub(crate) applied: u64,
    pub(crate) failed_handover: Option<FailedHandover>,
    /// How the first attempt ended; `None` while it has not.
    pub(crate) first_attempt: Option<Result<(), Error>>,
}

/// The last handover that failed: its attempt found no response to take over.
#[derive(Debug, Clone)]
pub(crate) struct FailedHandover {
    /// The number of the last change that its request carried.
    pub(crate) change: u64,
    pub(crate) cause: Error,
}

impl Published {
    /// Begins with the state of an idle stream, and the configured last event ID.
    pub(super) fn new(last_event_id: String) -> Self {
        Self { status: watch::Sender::default(), last_event_id: Mutex::new(last_event_id) }
    }

    /// Returns the state of the connection.
    pub(crate) fn state(&self) -> State {
        self.status.borrow().state.clone()
    }

    /// Returns why the connection closed, if it has.
    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        self.status.borrow().state.close_reason().cloned()
    }

    /// Returns a receiver of all later values.
    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Publishes a state, and counts it if a response has been accepted.
    pub(super) fn set_state(&self, state: State) {
        // A swap: the old state may hold an error of the caller's, which must not be dropped under
        // the lock of the watch.
        let mut replaced = state;
        self.status.send_modify(|status| {
            status.accepted += u64::from(replaced.is_open());
            if status.first_attempt.is_none() {
                status.first_attempt = match &replaced {
                    State::Open { .. } => Some(Ok(())),
                    State::Waiting { cause, .. } => Some(Err(cause.clone())),
                    // The reason of a close is in the state, which stays.
                    _ => None,
                };
            }
            std::mem::swap(&mut status.state, &mut replaced);
        });
    }

    /// Publishes that the accepted response's request carried all changes up to `change`.
    pub(super) fn set_applied(&self, change: u64) {
        // A `send_modify` would wake each waiter of this watch for a number that has not changed.
        self.status.send_if_modified(|status| std::mem::replace(&mut status.applied, change) != change);
    }

    /// Publishes that the open response stays.
    pub(super) fn set_failed_handover(&self, failed: FailedHandover) {
        // A swap, as for the state.
        let mut replaced = Some(failed);
        self.status.send_modify(|status| std::mem::swap(&mut status.failed_handover, &mut replaced));
    }

    /// Publishes the last event ID, and returns true if it has changed. Nothing else writes it.
    ///
    /// The publisher shows that the hub is locked: events and their ID become visible together.
    pub(super) fn set_last_event_id(&self, _hub: &LockedHub<'_>, id: &str) -> bool {
        let mut last = self.last_event_id();
        let changes = *last != id;
        if changes {
            // Reuses the memory: a stream with IDs comes here in each turn.
            id.clone_into(&mut last);
        }
        changes
    }

    /// Locks the last event ID, for the connection task.
    pub(super) fn last_event_id(&self) -> MutexGuard<'_, String> {
        // No code that can panic runs under this lock.
        self.last_event_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
