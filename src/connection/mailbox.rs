//! [`Mailbox`]: what handles ask of the connection task.
//!
//! A call is synchronous and does not fail because the task is busy, so this is no queue of commands but the
//! sum of what is asked, in the order of the calls: the request as the changes so far have made it, where to
//! begin, whether to reconnect. It is no larger than one request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::connection::request::Request;
use crate::connection::{Apply, Change, Resume};
use crate::error::Error;
use crate::state::CloseReason;

/// Shared by handles, which write, and the task, which empties it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    asked: Mutex<Asked>,
    /// One permit: the task looks once after any number of calls.
    pub(crate) signal: Arc<Notify>,
}

/// Everything asked since the task last looked.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) stop: Option<Stop>,
    /// With all changes in it.
    pub(crate) request: Arc<Request>,
    /// How many changes there have been in all.
    pub(crate) changes: u64,
    pub(crate) resume: Option<Resume>,
    /// Whether the last event ID stays behind, `resume` or not; `None` if no change says so.
    pub(crate) leave_id: Option<bool>,
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

    /// Both: the first reason counts, and the earliest end.
    fn and(self, later: Self) -> Self {
        match (self, later) {
            (Self::Drain(one), Self::Drain(two)) => Self::Drain(one.min(two)),
            (Self::Drain(_), Self::Shutdown | Self::Abandoned) => Self::Shutdown,
            (first, _) => first,
        }
    }
}

impl From<Stop> for CloseReason {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Shutdown | Stop::Drain(_) => Self::Shutdown,
            Stop::Abandoned => Self::Abandoned,
        }
    }
}

impl Asked {
    fn nothing(request: Arc<Request>, changes: u64) -> Self {
        Self { stop: None, request, changes, resume: None, leave_id: None, reconnect: false, replace: false }
    }
}

impl Mailbox {
    /// For a stream that was built with this request.
    pub(crate) fn new(request: Arc<Request>) -> Self {
        Self { asked: Mutex::new(Asked::nothing(request, 0)), signal: Arc::default() }
    }

    /// Who is in a greater hurry is heeded, whoever came first.
    pub(crate) fn stop(&self, stop: Stop) {
        let mut asked = self.asked();
        asked.stop = Some(asked.stop.map_or(stop, |first| first.and(stop)));
        drop(asked);
        self.signal.notify_one();
    }

    /// The number of this change.
    ///
    /// # Errors
    ///
    /// When no request can be changed like this; nothing is asked then.
    pub(crate) fn change(&self, change: Change, apply: Apply) -> Result<u64, Error> {
        let mut asked = self.asked();
        let leave_id = change.leaves_id(&asked.request);
        asked.request = Arc::new(change.applied_to(&asked.request)?);
        asked.leave_id = leave_id.or(asked.leave_id);
        asked.changes += 1;
        asked.reconnect |= apply == Apply::Reconnect;
        asked.replace |= apply == Apply::MakeBeforeBreak;
        let changes = asked.changes;
        drop(asked);
        self.signal.notify_one();
        Ok(changes)
    }

    pub(crate) fn resume(&self, resume: Resume) {
        let mut asked = self.asked();
        asked.leave_id = None;
        // The latest is where the program has gone back to, until something else comes.
        if resume != Resume::Latest || asked.resume.is_none() {
            asked.resume = Some(resume);
        }
        drop(asked);
        self.signal.notify_one();
    }

    pub(crate) fn reconnect(&self) {
        self.asked().reconnect = true;
        self.signal.notify_one();
    }

    /// What was asked; nothing is, afterwards.
    pub(crate) fn take(&self) -> Asked {
        let mut asked = self.asked();
        let nothing = Asked::nothing(Arc::clone(&asked.request), asked.changes);
        std::mem::replace(&mut *asked, nothing)
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        // Nothing panics while it is held; if something did, what was asked still stands.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
