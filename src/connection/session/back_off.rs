//! [`BackOff`]: how long to wait before the next attempt, by the caller's policy.

use std::time::Duration;

use tokio::time::Instant;

use crate::connection::config::{MAX_SERVER_RETRY, MIN_SERVER_RETRY};
use crate::reconnect::{Decision, Failure, ReconnectPolicy};

/// The reconnection time, and the failures since the last healthy response.
pub(super) struct BackOff {
    pub(super) policy: ReconnectPolicy,
    /// The policy's, until the server sends another. Outlives the response that sent it.
    reconnection_time: Duration,
    /// Waits since the last healthy response.
    waits: u32,
    /// When the first failure since then was.
    failing_since: Option<Instant>,
}

impl BackOff {
    pub(super) fn new(policy: ReconnectPolicy) -> Self {
        let reconnection_time = policy.initial_reconnection_time();
        Self { policy, reconnection_time, waits: 0, failing_since: None }
    }

    /// Returns the number of the attempt under way, or of the next, counted from the last healthy
    /// response.
    pub(super) fn attempt(&self) -> u32 {
        self.waits.saturating_add(1)
    }

    /// Takes the server's reconnection time, within bounds.
    pub(super) fn set_server_retry(&mut self, milliseconds: u64) {
        self.reconnection_time = Duration::from_millis(milliseconds).clamp(MIN_SERVER_RETRY, MAX_SERVER_RETRY);
    }

    /// Starts anew if the response that has ended was healthy.
    pub(super) fn response_ended(&mut self, is_well: bool, open_for: Duration) {
        if self.policy.was_healthy(is_well, open_for) {
            // At the end of a response, not at its beginning: a server that accepts and closes at
            // once would get a tight loop.
            self.waits = 0;
            self.failing_since = None;
        }
    }

    /// Asks the policy about a failure, of which it knows the times already.
    pub(super) fn decide(&mut self, failure: Failure<'_>, random: f64, now: Instant) -> Decision {
        // The policy may limit how long a stream fails in a row.
        let failing_since = *self.failing_since.get_or_insert(now);
        let failure = Failure {
            retries: self.waits,
            reconnection_time: self.reconnection_time,
            failing_for: now.saturating_duration_since(failing_since),
            ..failure
        };
        self.policy.decide(failure, random)
    }

    /// Counts a wait: the next one will be longer.
    pub(super) fn count_wait(&mut self) {
        self.waits = self.waits.saturating_add(1);
    }
}
