//! [`Mailbox`]: what handles ask of the connection task.
//!
//! A call is synchronous and does not fail because the task is busy, so this is no queue of commands but the
//! sum of what is asked: changes of the same header replace each other, reconnections coalesce. It is
//! bounded by the number of distinct headers and parameters, which is limited.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::change::{Apply, Change, Resume};
use crate::error::Error;

/// Shared by handles, which write, and the task, which empties it.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    asked: Mutex<Asked>,
    /// One permit: the task looks once after any number of calls.
    pub(crate) signal: Arc<Notify>,
}

/// Everything asked since the task last looked.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) stop: Option<Stop>,
    /// Boxed: streams are many, changes rare.
    pub(crate) change: Option<Box<Change>>,
    /// How many changes there have been in all, up to this one.
    pub(crate) changes: u64,
    pub(crate) resume: Option<Resume>,
    pub(crate) reconnect: bool,
    /// A new response, while the open one is still read.
    pub(crate) replace: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Somebody called `shutdown`.
    Shutdown,
    /// Somebody called `shutdown_with`: subscribers may take their time until then.
    Drain(Instant),
    /// Nobody is left who could listen or ask.
    Abandoned,
}

impl Stop {
    /// Until when subscribers may acknowledge what they have; at once, if nobody said.
    pub(crate) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Drain(deadline) => Some(deadline),
            Self::Shutdown | Self::Abandoned => None,
        }
    }
}

impl Mailbox {
    /// The first reason to stop is the one that counts.
    pub(crate) fn stop(&self, stop: Stop) {
        self.asked().stop.get_or_insert(stop);
        self.signal.notify_one();
    }

    /// The number of this change.
    ///
    /// # Errors
    ///
    /// When too many changes wait for the task; nothing is asked then.
    pub(crate) fn change(&self, change: Change, apply: Apply) -> Result<u64, Error> {
        let mut asked = self.asked();
        asked.change.get_or_insert_default().merge(change)?;
        asked.changes += 1;
        asked.reconnect |= apply == Apply::Reconnect;
        asked.replace |= apply == Apply::MakeBeforeBreak;
        let changes = asked.changes;
        drop(asked);
        self.signal.notify_one();
        Ok(changes)
    }

    pub(crate) fn resume(&self, resume: Resume) {
        self.asked().resume = Some(resume);
        self.signal.notify_one();
    }

    pub(crate) fn reconnect(&self) {
        self.asked().reconnect = true;
        self.signal.notify_one();
    }

    /// What was asked; nothing is, afterwards.
    pub(crate) fn take(&self) -> Asked {
        let mut asked = self.asked();
        let changes = asked.changes;
        std::mem::replace(&mut *asked, Asked { changes, ..Asked::default() })
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        // Nothing panics while it is held; if something did, what was asked still stands.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
