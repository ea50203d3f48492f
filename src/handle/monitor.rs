//! [`Monitor`] and [`StateChanges`]: watch a stream without keeping it alive.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio_stream::wrappers::WatchStream;

use crate::connection::stats::Stats;
use crate::connection::{Connection, Status, remind_while};
use crate::error::{Error, ErrorKind};
use crate::hub::SubscriptionStats;
use crate::state::{CloseReason, State};

/// The read-only half of a [`Handle`](crate::Handle), which keeps nothing alive.
///
/// ```no_run
/// # async fn watch(handle: sseclient::Handle) {
/// let monitor = handle.monitor();
/// tokio::spawn(async move {
///     let reason = monitor.closed().await;
///     eprintln!("the stream has ended: {reason}");
/// });
/// # }
/// ```
///
/// A monitor is cheap to clone. For health checks, metrics and tasks that react to the state.
///
/// # Drop behavior
///
/// Nothing depends on a monitor. The stream closes when the last of its handles, subscriptions and
/// transcripts is dropped, also while a task awaits a monitor.
#[derive(Clone)]
pub struct Monitor {
    connection: Arc<Connection>,
}

impl Monitor {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self { connection }
    }

    /// Returns the stream's name: see [`StreamBuilder::name`](crate::StreamBuilder::name).
    pub fn name(&self) -> &str {
        &self.connection.name
    }

    /// Returns the present state of the connection.
    pub fn state(&self) -> State {
        self.connection.published.state()
    }

    /// Returns the states from now on, beginning with the present one.
    ///
    /// **Skips states:** of several changes in quick succession a slow reader sees only the last.
    /// When waits are short, `Waiting` with its cause is among those it may never see. A
    /// [`Transcript`](crate::Transcript) shows them all.
    pub fn state_changes(&self) -> StateChanges {
        StateChanges { statuses: Some(WatchStream::new(self.connection.published.watch())) }
    }

    /// Returns why the connection closed, or `None` while it has not closed for good.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.connection.published.close_reason()
    }

    /// Returns counters of the stream: events, bytes, attempts, failures, lag.
    #[doc(alias("lag", "metrics"))]
    pub fn stats(&self) -> Stats {
        self.connection.stats()
    }

    /// Returns each subscription in numbers, in no particular order. Transcripts do not count.
    ///
    /// For health checks: which subscription is behind, has lost events, or takes nothing. It takes
    /// a few locks, each for a moment. **From the first call on**, each event that a subscription
    /// of this stream takes costs a look at the clock.
    #[doc(alias("lag", "metrics"))]
    pub fn subscriptions(&self) -> Vec<SubscriptionStats> {
        self.connection.hub.subscriptions()
    }

    /// Waits until the connection is open, or was open since the call.
    ///
    /// Waits through failures that are retried, however long that takes. To learn how the first
    /// attempt ended, use [`first_attempt`](Self::first_attempt). The future keeps nothing alive.
    ///
    /// # Errors
    ///
    /// If the stream closes for good instead: its failure, or [`ErrorKind::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub fn opened(&self) -> impl Future<Output = Result<(), Error>> + Send + Sync + use<> {
        // A watch skips states. The count also shows a response that opened and broke in between.
        let before = self.connection.published.watch().borrow().accepted;
        let opened =
            self.clone().outcome(move |status| (status.state.is_open() || status.accepted > before).then_some(()));
        let opened = remind_while(opened, Arc::clone(&self.connection));
        async { opened.await.map_err(closed_error) }
    }

    /// Waits until the first attempt has ended, and returns how; at once if it has already.
    ///
    /// The outcome does not change later: a stream whose first attempt failed goes on trying, and
    /// one whose first attempt succeeded may have failed since. An attempt that is
    /// repeated at once, with fresh [credentials](crate::StreamBuilder::credentials) for example,
    /// has not ended. The future keeps nothing alive.
    ///
    /// # Errors
    ///
    /// The failure of the attempt. If the stream closes for good before an attempt has ended, or
    /// the server answers 204: the stream's failure, or [`ErrorKind::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn start(handle: sseclient::Handle) {
    /// handle.connect();
    /// if let Err(error) = handle.first_attempt().await {
    ///     eprintln!("not connected yet: {error}");
    /// }
    /// # }
    /// ```
    pub fn first_attempt(&self) -> impl Future<Output = Result<(), Error>> + Send + Sync + use<> {
        let ended = self.clone().outcome(|status| status.first_attempt.clone());
        let ended = remind_while(ended, Arc::clone(&self.connection));
        async { ended.await.unwrap_or_else(|reason| Err(closed_error(reason))) }
    }

    /// Waits until a change of the request has taken effect.
    ///
    /// `make_before_break`: the change fails together with the handover that was to bring it.
    /// Other changes then wait for the next attempt.
    pub(crate) async fn applied(self, change: u64, make_before_break: bool) -> Result<(), Error> {
        let applied = self.outcome(move |status| {
            if status.applied >= change {
                return Some(Ok(()));
            }
            // A close is the better reason, which `outcome` returns.
            let is_closed = status.state.close_reason().is_some();
            let failed = status.failed_handover.as_ref().filter(|_| make_before_break && !is_closed);
            failed.filter(|failed| failed.change >= change).map(|failed| Err(failed.cause.clone()))
        });
        applied.await.unwrap_or_else(|reason| Err(closed_error(reason)))
    }

    /// Waits until the connection is closed for good, and returns the reason.
    ///
    /// The future keeps nothing alive.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + Sync + use<> {
        let closed = self.clone().outcome(|_| None::<Infallible>);
        async {
            let Err(reason) = closed.await;
            reason
        }
    }

    /// Waits until the connection is closed for good and its task has ended.
    pub(crate) async fn ended(self) -> CloseReason {
        let reason = self.closed().await;
        self.connection.task.ended().await;
        reason
    }

    /// Waits until `find` returns an outcome, or else until the connection is closed for good.
    async fn outcome<T>(self, mut find: impl FnMut(&Status) -> Option<T>) -> Result<T, CloseReason> {
        let mut outcome = None;
        let mut statuses = self.connection.published.watch();
        let is_over = |status: &Status| {
            outcome = find(status);
            outcome.is_some() || status.state.close_reason().is_some()
        };
        // `find` is asked first in `is_over`, so an outcome that came before the close wins over
        // it.
        let reason = statuses.wait_for(is_over).await.ok().and_then(|last| last.state.close_reason().cloned());
        // There is a reason: the sender lives as long as `self`.
        outcome.ok_or_else(|| reason.unwrap_or(CloseReason::Abandoned))
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Monitor").field(&self.connection).finish()
    }
}

/// Returns the error of a call that came too late, or was overtaken by the end of the stream.
pub(crate) fn closed_error(reason: CloseReason) -> Error {
    match reason {
        CloseReason::Failed(error) => error,
        reason => Error::new(ErrorKind::Closed, format!("the stream is closed: {reason}")),
    }
}

/// The states of a stream as they change: see [`Monitor::state_changes`].
///
/// Ends after [`State::Closed`]. Keeps nothing alive.
#[derive(Debug)]
#[must_use = "state changes are only seen by a caller that takes them"]
pub struct StateChanges {
    statuses: Option<WatchStream<Status>>,
}

impl StateChanges {
    /// Waits for the next state; `None` after [`State::Closed`].
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
        let Some(statuses) = &mut self.statuses else { return Poll::Ready(None) };
        let state = ready!(Pin::new(statuses).poll_next(cx)).map(|status| status.state);
        // The watch itself does not end here: its sender lives as long as any handle or monitor.
        if state.as_ref().is_none_or(|state| state.close_reason().is_some()) {
            self.statuses = None;
        }
        Poll::Ready(state)
    }
}
