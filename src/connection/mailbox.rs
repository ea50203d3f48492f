//! [`Mailbox`]: what handles ask of the connection task.
//!
//! A call is synchronous, and must not fail because the task is busy. So this is no queue of
//! commands but the sum of what was asked, in the order of the calls: the request with all changes
//! in it, where to resume, whether to dial. It is no larger than one request, however many calls
//! are made.

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
    /// Wakes the task. It holds one permit: the task looks once after any number of calls.
    pub(crate) signal: Arc<Notify>,
}

/// The sum of all calls since the task last looked.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) stop: Option<Stop>,
    /// The request, with all changes in it.
    pub(crate) request: Arc<Request>,
    /// How many changes there have been in all.
    pub(crate) changes: u64,
    /// Where the next response begins. Asks for a new response as well.
    pub(crate) resume: Option<Resume>,
    /// `Some(true)` if the last event ID stays behind; `None` if no change decides about it.
    pub(crate) leave_id: Option<bool>,
    /// How soon a new response is asked for. With `NextAttempt` it is not, unless `resume` is set.
    pub(crate) response: Apply,
}

/// The reason to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// `shutdown` was called.
    Shutdown,
    /// `shutdown_with` was called: subscribers may acknowledge until then.
    Drain(Instant),
    /// All handles, subscriptions and transcripts are gone.
    Abandoned,
}

impl Stop {
    /// Returns until when subscribers may acknowledge what they have, if that is to be waited for.
    pub(crate) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Drain(deadline) => Some(deadline),
            Self::Shutdown | Self::Abandoned => None,
        }
    }

    /// Merges two stops: the first reason counts, and the earliest deadline.
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
    /// Asks for nothing: the request has all `changes` in it already.
    pub(crate) fn nothing(request: Arc<Request>, changes: u64) -> Self {
        let response = Apply::NextAttempt;
        Self { stop: None, request, changes, resume: None, leave_id: None, response }
    }
}

impl Mailbox {
    /// Makes an empty mailbox for a stream that was built with this request.
    pub(crate) fn new(request: Arc<Request>) -> Self {
        Self { asked: Mutex::new(Asked::nothing(request, 0)), signal: Arc::default() }
    }

    /// Asks the task to end.
    pub(crate) fn stop(&self, stop: Stop) {
        self.ask(|asked| asked.stop = Some(asked.stop.map_or(stop, |first| first.and(stop))));
    }

    /// Asks for a new response.
    pub(crate) fn reconnect(&self) {
        self.ask(|asked| asked.response = Apply::Reconnect);
    }

    /// Asks for a new response that begins somewhere else.
    pub(crate) fn resume(&self, resume: Resume) {
        self.ask(|asked| {
            asked.leave_id = None;
            asked.resume = Some(resume);
        });
    }

    /// Asks for a change of the request, and returns its number.
    ///
    /// # Errors
    ///
    /// When the request cannot be changed like this. The mailbox stays as it was.
    pub(crate) fn change(&self, change: Change, apply: Apply) -> Result<u64, Error> {
        self.ask(|asked| {
            let leave_id = change.leaves_id(&asked.request);
            asked.request = Arc::new(change.applied_to(&asked.request)?);
            asked.leave_id = leave_id.or(asked.leave_id);
            // A handover must not weaken a reconnection that was asked for and not yet made.
            if asked.response != Apply::Reconnect && apply != Apply::NextAttempt {
                asked.response = apply;
            }
            asked.changes += 1;
            Ok(asked.changes)
        })
    }

    /// Takes what was asked, and leaves nothing.
    pub(crate) fn take(&self) -> Asked {
        let mut asked = self.asked();
        // The request stays behind, because the next change builds on it.
        let nothing = Asked::nothing(Arc::clone(&asked.request), asked.changes);
        std::mem::replace(&mut *asked, nothing)
    }

    /// Adds to what was asked, and wakes the task.
    fn ask<T>(&self, ask: impl FnOnce(&mut Asked) -> T) -> T {
        let answer = ask(&mut self.asked());
        // It keeps a permit: a task that does not wait at this moment finds it later.
        self.signal.notify_one();
        answer
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        // No code that can panic leaves it half changed: what was asked stands.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
