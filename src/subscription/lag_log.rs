//! [`LagLog`]: the log lines about events that a subscription has lost.

use tokio::time::{Duration, Instant};

use crate::error::panics::catch;

/// Keeps a subscription that loses events again and again from filling the log.
///
/// # Drop behavior
///
/// Logs what was missed since the last line.
#[derive(Debug)]
pub(super) struct LagLog {
    stream: String,
    subscription: String,
    /// Missed events that were not logged yet.
    missed: u64,
    last: Option<Instant>,
}

impl LagLog {
    /// The time in which one line at most is logged.
    const PAUSE: Duration = Duration::from_secs(60);

    /// Makes the log of one subscription, by its stream's name and its own.
    pub(super) fn new(stream: &str, subscription: &str) -> Self {
        Self { stream: stream.to_owned(), subscription: subscription.to_owned(), missed: 0, last: None }
    }

    /// Adds events that were missed, and logs them unless the last line is too recent.
    pub(super) fn add(&mut self, missed: u64) {
        self.missed = self.missed.saturating_add(missed);
        // A clock is read only where events are lost, which is rare.
        let now = Instant::now();
        if self.last.is_none_or(|last| now.saturating_duration_since(last) >= Self::PAUSE) {
            self.last = Some(now);
            self.log();
        }
    }

    fn log(&mut self) {
        let Self { stream, subscription, missed, .. } = self;
        tracing::warn!(
            name: "lagged",
            target: "sseclient",
            stream,
            subscription,
            missed,
            "lagged: a slow subscription lost its oldest events; read faster, or set a larger capacity"
        );
        self.missed = 0;
    }
}

impl Drop for LagLog {
    fn drop(&mut self) {
        if self.missed > 0 {
            // A log writer that panics while a panic unwinds would abort the program.
            catch(|| self.log()).ok();
        }
    }
}
