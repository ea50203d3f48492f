//! [`Mailbox`]: what handles ask of the connection task.
//!
//! A call is synchronous and does not fail because the task is busy, so this is no queue of commands but the
//! sum of what is asked: changes of the same header replace each other, reconnections coalesce. It is
//! bounded by the number of distinct header names, which is limited.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Notify;

use crate::error::Error;
use crate::transport;

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
    /// `None` removes.
    pub(crate) headers: HeaderMap<Option<HeaderValue>>,
    pub(crate) reconnect: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Somebody called `shutdown`.
    Shutdown,
    /// Nobody is left who could listen or ask.
    Abandoned,
}

impl Mailbox {
    /// The first reason to stop is the one that counts.
    pub(crate) fn stop(&self, stop: Stop) {
        self.asked().stop.get_or_insert(stop);
        self.signal.notify_one();
    }

    /// `None` removes. Refused only when changes to over a thousand names wait for the task.
    pub(crate) fn set_header(&self, name: HeaderName, value: Option<HeaderValue>) -> Result<(), Error> {
        let mut asked = self.asked();
        transport::may_insert(&asked.headers, &name)?;
        asked.headers.insert(name, value);
        drop(asked);
        self.signal.notify_one();
        Ok(())
    }

    pub(crate) fn reconnect(&self) {
        self.asked().reconnect = true;
        self.signal.notify_one();
    }

    /// What was asked; nothing is, afterwards.
    pub(crate) fn take(&self) -> Asked {
        std::mem::take(&mut *self.asked())
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        // Nothing panics while it is held; if something did, what was asked still stands.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
