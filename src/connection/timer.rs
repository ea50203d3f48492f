//! Waits of any length.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A delay that stands for all that no clock can hold.
const FAR_AWAY: Duration = Duration::from_secs(u32::MAX as u64);

/// Returns a timer that goes off `delay` after `now`.
pub(super) fn sleep(now: Instant, delay: Duration) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep_until(after(now, delay)))
}

/// Returns the instant `delay` after `now`, or one that is far away if no clock can hold it.
pub(crate) fn after(now: Instant, delay: Duration) -> Instant {
    now.checked_add(delay).unwrap_or_else(|| far_away(now))
}

/// Returns an instant that is not reached while the program runs.
pub(super) fn far_away(now: Instant) -> Instant {
    now + FAR_AWAY
}
