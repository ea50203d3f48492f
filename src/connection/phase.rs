//! [`Phase`]: what the connection task is doing, with the futures and timers that belong to it.
//!
//! ```text
//!         no store            reconnect, or ended (handover)
//!   +------------------+   +--------------------------------+
//!   |                  v   v                                |
//! Idle -> Loading --> Dialing -------- accepted -------> Reading
//!                      |   ^                                |
//!               failed |   | over, or reconnect             | ended
//!                      v   |                                |
//!                     Waiting <-----------------------------+
//! ```
//!
//! Not drawn: a lazy stream without subscribers goes back to `Idle` after its linger time, but from
//! `Waiting` only when the wait is over. A new attempt can replace the one under way, and a
//! handover one response with another. At the end of the stream the phase is dropped, whichever it
//! is.
//!
//! Futures live in their phase and are polled in place: no pass of the task's loop creates any.
//! A phase decides nothing. The session does, and the actor then sets the phase.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Sleep;

use crate::error::Error;
use crate::resume::StoreFuture;
use crate::transport::{BoxFuture, Dialed};

use super::Connection;
use super::reading::{Dedup, ResponseReader};
use super::session::TurnReport;

/// An attempt under way.
pub(super) type Dialing = BoxFuture<Result<Dialed, Error>>;

/// What the task is doing.
pub(super) enum Phase {
    /// `connect` has just been called, or a lazy stream has no subscriber.
    Idle,
    /// The resume store loads the last event ID.
    Loading(StoreFuture<Option<String>>),
    Dialing(Dialing),
    Reading {
        reader: Box<ResponseReader>,
        /// The attempt of a handover: its response will take over.
        handover: Option<Dialing>,
    },
    Waiting(Pin<Box<Sleep>>),
}

/// Progress of the task that needs a decision.
pub(super) enum Progress {
    Loaded(Result<Option<String>, Error>),
    /// An attempt has an outcome, be it that of a handover.
    Dialed(Result<Dialed, Error>),
    Turn(TurnReport),
    WaitOver,
    /// A lazy stream has had no subscriber for as long as it lingers.
    LingerOver,
    /// The caller's future for the end of the stream has completed.
    Stopped,
    /// The resume store could not save the last event ID. This will be tried again.
    SaveFailed(Error),
}

impl Phase {
    /// Goes on with the phase. Ready when the session has something to decide, or after a turn of
    /// reading.
    ///
    /// # Cancel safety
    ///
    /// Progress is lost only with the phase.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, connection: &Connection, dedup: &mut Dedup) -> Poll<Progress> {
        match self {
            Self::Idle => Poll::Pending,
            Self::Loading(loading) => loading.as_mut().poll(cx).map(Progress::Loaded),
            Self::Dialing(dialing) => dialing.as_mut().poll(cx).map(Progress::Dialed),
            Self::Reading { reader, handover } => {
                if let Some(dialing) = handover {
                    // Before the open response, which may be ready at each poll and would keep the
                    // new one waiting.
                    if let Poll::Ready(dialed) = dialing.as_mut().poll(cx) {
                        *handover = None;
                        return Poll::Ready(Progress::Dialed(dialed));
                    }
                }
                reader.poll_turn(cx, connection, dedup).map(Progress::Turn)
            }
            Self::Waiting(sleep) => sleep.as_mut().poll(cx).map(|()| Progress::WaitOver),
        }
    }

    /// Returns the open response, if there is one.
    pub(super) fn reader(&mut self) -> Option<&mut ResponseReader> {
        if let Self::Reading { reader, .. } = self { Some(reader) } else { None }
    }

    /// Dials while the open response is read, in place of another such attempt.
    pub(super) fn begin_handover(&mut self, dialing: Dialing) {
        if let Self::Reading { handover, .. } = self {
            *handover = Some(dialing);
        }
    }

    /// Drops the open response, and goes on with the attempt of the handover.
    pub(super) fn continue_handover(&mut self) {
        if let Self::Reading { handover, .. } = self {
            if let Some(dialing) = handover.take() {
                *self = Self::Dialing(dialing);
            }
        }
    }
}
