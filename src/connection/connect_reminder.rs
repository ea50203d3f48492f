//! [`ConnectReminder`]: a warning for callers that wait on a stream that nothing has connected.
//!
//! A stream connects when its handle says so. A program that forgets to would hang without a word.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Sleep;

use crate::error::panics::catch;

use super::Connection;

/// How long a caller waits before the warning: longer than any program takes from its first
/// subscription to `connect`, or from that to its last subscription, and short enough to be seen by
/// the programmer who forgot it.
pub(crate) const REMIND_AFTER: Duration = Duration::from_secs(5);

/// The timer of one caller that waits. It belongs to that caller's future: no task is spawned.
#[derive(Debug, Default)]
pub(crate) struct ConnectReminder {
    timer: Option<Pin<Box<Sleep>>>,
    /// The stream is connected, or the time is over: there is nothing to remind of.
    is_over: bool,
}

impl ConnectReminder {
    /// Notes that the caller is about to wait. Warns, once for each stream, if it has waited for
    /// too long.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, connection: &Connection) {
        if !self.is_over {
            let is_over = connection.task.is_spawned() || connection.has_reminded();
            self.is_over = is_over || self.poll_timer(cx, connection).is_ready();
        }
    }

    #[cold]
    fn poll_timer(&mut self, cx: &mut Context<'_>, connection: &Connection) -> Poll<()> {
        let timer = match &mut self.timer {
            Some(timer) => timer,
            // A runtime may have no timers, and only a panic says so, which must be one to catch.
            None if cfg!(panic = "abort") => return Poll::Ready(()),
            // Without a runtime there is no timer. The next poll may be in one.
            None if tokio::runtime::Handle::try_current().is_err() => return Poll::Pending,
            timer => match catch(|| Box::pin(tokio::time::sleep(REMIND_AFTER))) {
                Ok(sleep) => timer.insert(sleep),
                Err(_) => {
                    // The program's panic hook has seen it. For this stream it sees no other.
                    connection.forgo_reminder();
                    return Poll::Ready(());
                }
            },
        };
        ready!(timer.as_mut().poll(cx));
        connection.remind();
        Poll::Ready(())
    }
}

/// Waits for the future, and warns meanwhile if the stream is never connected.
pub(crate) async fn remind_while<F: Future>(waiting: F, connection: Arc<Connection>) -> F::Output {
    let (mut waiting, mut reminder) = (pin!(waiting), ConnectReminder::default());
    poll_fn(|cx| {
        let polled = waiting.as_mut().poll(cx);
        if polled.is_pending() {
            reminder.poll(cx, &connection);
        }
        polled
    })
    .await
}
