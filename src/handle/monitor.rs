//! [`Monitor`] and [`StateChanges`]: watching a stream without keeping it alive.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio_stream::wrappers::WatchStream;

use crate::connection::stats::Stats;
use crate::connection::{Connection, Status};
use crate::error::{Error, ErrorKind};
use crate::state::{CloseReason, State};

/// The watching half of a [`Handle`](crate::Handle).
///
/// # Drop behavior
///
/// A monitor keeps nothing alive: whoever awaits a state does not hold the stream open.
#[derive(Clone)]
pub struct Monitor {
    shared: Arc<Connection>,
}

impl Monitor {
    pub(crate) fn new(shared: Arc<Connection>) -> Self {
        Self { shared }
    }

    /// How the connection stands.
    pub fn state(&self) -> State {
        self.shared.published.state()
    }

    /// The states from now on, beginning with the present one. For those who come late: of changes
    /// in quick succession only the last is seen. A [`Transcript`](crate::Transcript) shows them all.
    pub fn state_changes(&self) -> StateChanges {
        StateChanges { standings: Some(WatchStream::new(self.shared.published.watch())) }
    }

    /// What the stream has seen, in numbers.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Waits until a change has taken effect. `beside`: it was to do so beside the open response; it alone
    /// has failed when an attempt there has. Other changes go with the next attempt then.
    pub(crate) async fn applied(&self, change: u64, beside: bool) -> Result<(), Error> {
        let failure = |standing: &Status| {
            let failed = standing.failed_handover.as_ref().filter(|failed| beside && failed.change >= change);
            failed.map(|failed| failed.cause.clone())
        };
        let over = |standing: &Status| {
            standing.applied >= change || failure(standing).is_some() || standing.state.close_reason().is_some()
        };
        match self.shared.published.watch().wait_for(over).await {
            Ok(standing) if standing.applied >= change => Ok(()),
            Ok(standing) => match (failure(&standing), standing.state.close_reason()) {
                (Some(cause), None) => Err(cause),
                (_, reason) => Err(closed(reason)),
            },
            // Cannot happen: the sender lives as long as `self`.
            Err(_) => Err(closed(None)),
        }
    }

    /// The stream's name: see [`StreamBuilder::name`](crate::StreamBuilder::name).
    pub fn name(&self) -> &str {
        self.shared.name()
    }

    /// Waits until the connection is open, or has been for a moment since the future was first polled.
    /// Faults that are tried again are waited through, for as long as it takes.
    ///
    /// # Errors
    ///
    /// When the stream closed for good instead: the failure, or [`ErrorKind::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn opened(&self) -> Result<(), Error> {
        let accepted = self.shared.published.watch().borrow().accepted;
        self.opened_since(accepted).await
    }

    /// The same, also if the connection was open for a moment since `accepted` responses had been.
    pub(crate) async fn opened_since(&self, accepted: u64) -> Result<(), Error> {
        let over = |standing: &Status| standing.opened_since(accepted) || standing.state.close_reason().is_some();
        match self.shared.published.watch().wait_for(over).await {
            Ok(standing) if standing.opened_since(accepted) => Ok(()),
            Ok(standing) => Err(closed(standing.state.close_reason())),
            // Cannot happen: the sender lives as long as `self`.
            Err(_) => Err(closed(None)),
        }
    }

    /// Waits until the connection is closed for good, and says why.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn closed(&self) -> CloseReason {
        let mut standings = self.shared.published.watch();
        let closed = standings.wait_for(|standing| standing.state.close_reason().is_some()).await;
        // The sender lives as long as `self`, so there always is one.
        closed.ok().and_then(|standing| standing.state.close_reason().cloned()).unwrap_or(CloseReason::Abandoned)
    }

    /// The same, and the task is gone as well.
    pub(crate) async fn ended(self) -> CloseReason {
        let reason = self.closed().await;
        self.shared.task_ended().await;
        reason
    }

    /// Why the connection closed; `None` while it has not.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.shared.close_reason()
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Monitor").field(&self.shared).finish()
    }
}

/// The error of a call that the end of the stream has overtaken.
pub(crate) fn closed(reason: Option<&CloseReason>) -> Error {
    match reason {
        Some(CloseReason::Failed(error)) => error.clone(),
        Some(reason) => Error::new(ErrorKind::Closed, format!("the stream is closed: {reason}")),
        None => Error::new(ErrorKind::Closed, "the stream is closed"),
    }
}

/// The states of a stream as they change: see [`Monitor::state_changes`]. Ends after
/// [`State::Closed`]. Keeps nothing alive.
#[derive(Debug)]
#[must_use = "states are shown to whoever asks for them"]
pub struct StateChanges {
    standings: Option<WatchStream<Status>>,
}

impl StateChanges {
    /// The next state; `None` after [`State::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<State> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for StateChanges {
    type Item = State;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<State>> {
        let Some(standings) = &mut self.standings else { return Poll::Ready(None) };
        let state = std::task::ready!(Pin::new(standings).poll_next(cx)).map(|standing| standing.state);
        if state.as_ref().is_none_or(|state| state.close_reason().is_some()) {
            self.standings = None;
        }
        Poll::Ready(state)
    }
}
