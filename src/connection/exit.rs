//! How a stream ends: [`Exit`], the one way out; and what is left to do then: subscribers may acknowledge what they still
//! have.

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

/// How a stream ended.
pub(super) struct Ending {
    pub(super) reason: CloseReason,
    pub(super) committer: Option<Box<Committer>>,
    /// How long subscribers may take; as long as they like, if nobody said.
    pub(super) until: Option<Instant>,
}

/// As messages call it.
pub(super) const TASK: &str = "the connection task";

/// The task has come to an end that nobody asked for.
pub(super) fn task_failed(message: impl Into<String>) -> CloseReason {
    CloseReason::Failed(Error::new(ErrorKind::TaskFailed, message))
}

/// Closes the stream when the task ends, however it does.
pub(super) struct Exit {
    connection: Arc<Connection>,
    span: Span,
    reason: Option<CloseReason>,
}

impl Exit {
    pub(super) fn of(connection: &Arc<Connection>, span: Span) -> Self {
        Self { connection: Arc::clone(connection), span, reason: None }
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(super) fn record(&mut self, reason: CloseReason) {
        // Whatever writes the log keeps nobody from hearing of the end.
        catch(|| self.span.in_scope(|| log::closed(&reason))).ok();
        self.reason = Some(reason);
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        if self.reason.is_none() {
            // The task's future was dropped: by a runtime that was shut down, or in a panic, of the task after its
            // last word or of whoever owns the runtime.
            let end = if std::thread::panicking() { " ended in a panic" } else { "'s runtime was shut down" };
            self.record(task_failed(format!("{TASK}{end}")));
        }
        self.reason.take().into_iter().for_each(|reason| self.connection.close(reason));
    }
}

/// Saves what is acknowledged until nothing is open, or the time is over, or somebody shuts down.
pub(super) async fn save_the_rest(connection: &Connection, mut committer: Box<Committer>, mut until: Option<Instant>) {
    while committer.waits_for_subscribers() && !connection.hub.is_settled() {
        let asked = pin!(connection.mailbox.signal.notified());
        let over = pin!(tokio::time::sleep_until(until.unwrap_or_else(|| far_away(Instant::now()))));
        tokio::select! {
            () = over => break,
            () = asked => {
                if let Some(stop) = connection.mailbox.take().stop {
                    let deadline = stop.deadline().unwrap_or_else(Instant::now);
                    // As in the mailbox: the earliest counts.
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
