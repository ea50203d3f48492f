//! [`Exit`]: the one way out of the connection task; and what is saved after the end.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::Span;

use crate::error::panics::catch;
use crate::error::{Error, ErrorKind};
use crate::state::CloseReason;

use super::committer::Committer;
use super::timer::far_away;
use super::{Connection, log};

/// The end of a stream, and what is left to do.
pub(super) struct Ending {
    pub(super) reason: CloseReason,
    pub(super) committer: Option<Box<Committer>>,
    /// Until when subscribers may acknowledge; without a limit if there was no shutdown.
    pub(super) until: Option<Instant>,
}

/// The task's name in messages.
pub(super) const TASK: &str = "the connection task";

/// Returns the reason for an end that neither the caller nor the server wanted.
pub(super) fn task_failed(message: impl Into<String>) -> CloseReason {
    CloseReason::Failed(Error::new(ErrorKind::TaskFailed, message))
}

/// Closes the stream when it is dropped, however the task ends.
pub(super) struct Exit {
    connection: Arc<Connection>,
    span: Span,
    reason: Option<CloseReason>,
}

impl Exit {
    pub(super) fn of(connection: Arc<Connection>, span: Span) -> Self {
        Self { connection, span, reason: None }
    }

    /// Logs the reason, and keeps it for the end.
    pub(super) fn record(&mut self, reason: CloseReason) {
        // A log writer that panics must not keep the end from being published.
        catch(|| self.span.in_scope(|| log::closed(&reason))).ok();
        self.reason = Some(reason);
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        if self.reason.is_none() {
            // The task's future was dropped, by a runtime that was shut down or by a panic.
            let end = if std::thread::panicking() { " ended in a panic" } else { "'s runtime was shut down" };
            self.record(task_failed(format!("{TASK}{end}")));
        }
        if let Some(reason) = self.reason.take() {
            self.connection.close(reason);
        }
    }
}

/// Saves what subscribers acknowledge after the end of the stream: until they have acknowledged all
/// of it, or `until`, or a shutdown.
pub(super) async fn save_the_rest(connection: &Connection, mut committer: Box<Committer>, mut until: Option<Instant>) {
    // The task goes on, though the stream has ended: acknowledgements wake it through the mailbox.
    while committer.waits_for_subscribers() && !connection.hub.all_acknowledged() {
        let asked = pin!(connection.mailbox.signal.notified());
        let over = pin!(tokio::time::sleep_until(until.unwrap_or_else(|| far_away(Instant::now()))));
        tokio::select! {
            () = over => break,
            () = asked => {
                if let Some(stop) = connection.mailbox.take().stop {
                    let deadline = stop.deadline().unwrap_or_else(Instant::now);
                    // Of several shutdowns the earliest deadline counts.
                    until = Some(until.map_or(deadline, |until| until.min(deadline)));
                }
            }
            failure = poll_fn(|cx| committer.poll(cx, connection)) => store_failed(connection, &failure),
        }
    }
    for failure in committer.flush(connection).await {
        store_failed(connection, &failure);
    }
}

/// Logs and counts that the resume store has failed.
pub(super) fn store_failed(connection: &Connection, error: &Error) {
    log::store_failed(error);
    connection.counters.count_failure(error);
}
