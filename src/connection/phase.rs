//! [`Phase`]: what the connection task is doing, with everything that belongs to it.
//!
//! ```text
//! Idle -> Loading -> Dialing -> Reading -> Waiting -> Dialing …
//!   ^        |          |  +---------|--------^
//!   +--------+----------+------------+
//! ```
//!
//! Futures and timers live in their phase and are polled in place; nothing is created per turn.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::error::Error;
use crate::resume::StoreFuture;
use crate::transport::{BoxFuture, Dialed};

use super::reading::{Dedup, ResponseReader, TurnReport};
use super::{Connection, timer};

pub(super) type Dialing = BoxFuture<Result<Dialed, Error>>;

pub(super) enum Phase {
    /// Nothing has been asked for yet, or nobody listens to a stream that is open only then.
    Idle,
    /// The resume store is asked where to begin.
    Loading(StoreFuture<Option<String>>),
    Dialing(Dialing),
    Reading {
        reading: Box<ResponseReader>,
        /// An attempt whose response will take over from this one.
        successor: Option<Dialing>,
    },
    Waiting(Pin<Box<Sleep>>),
}

/// How a phase came along.
pub(super) enum Progress {
    Loaded(Result<Option<String>, Error>),
    Dialed(Result<Dialed, Error>),
    /// The attempt beside the open response has an outcome.
    Succeeded(Result<Dialed, Error>),
    Turn(TurnReport),
    WaitOver,
    /// Nobody has listened for so long.
    LingerOver,
}

impl Phase {
    /// # Cancel safety
    ///
    /// Progress is lost only with the phase.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, connection: &Connection, dedup: &mut Dedup) -> Poll<Progress> {
        match self {
            Self::Idle => Poll::Pending,
            Self::Loading(loading) => loading.as_mut().poll(cx).map(Progress::Loaded),
            Self::Dialing(dialing) => dialing.as_mut().poll(cx).map(Progress::Dialed),
            Self::Reading { reading, successor } => {
                if let Some(Poll::Ready(dialed)) = successor.as_mut().map(|dialing| dialing.as_mut().poll(cx)) {
                    *successor = None;
                    return Poll::Ready(Progress::Succeeded(dialed));
                }
                reading.poll_turn(cx, connection, dedup).map(Progress::Turn)
            }
            Self::Waiting(sleep) => sleep.as_mut().poll(cx).map(|()| Progress::WaitOver),
        }
    }

    /// The open response, if it is being read.
    pub(super) fn reading(&mut self) -> Option<&mut ResponseReader> {
        match self {
            Self::Reading { reading, .. } => Some(reading),
            Self::Idle | Self::Loading(_) | Self::Dialing(_) | Self::Waiting(_) => None,
        }
    }

    pub(super) fn is_loading(&self) -> bool {
        matches!(self, Self::Loading(_))
    }

    pub(super) fn is_dialing(&self) -> bool {
        matches!(self, Self::Dialing(_))
    }

    pub(super) fn is_reading(&self) -> bool {
        matches!(self, Self::Reading { .. })
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }

    /// Puts an attempt beside the open response, in place of another. False if no response is open.
    pub(super) fn dial_beside(&mut self, dialing: Dialing) -> bool {
        match self {
            Self::Reading { successor, .. } => {
                *successor = Some(dialing);
                true
            }
            Self::Idle | Self::Loading(_) | Self::Dialing(_) | Self::Waiting(_) => false,
        }
    }

    /// The attempt beside the open response, if there is one.
    pub(super) fn take_successor(&mut self) -> Option<Dialing> {
        match self {
            Self::Reading { successor, .. } => successor.take(),
            Self::Idle | Self::Loading(_) | Self::Dialing(_) | Self::Waiting(_) => None,
        }
    }
}

/// A wait that ends `delay` from `now`.
pub(super) fn waiting(now: Instant, delay: Duration) -> Phase {
    Phase::Waiting(timer::sleep(now, delay))
}
