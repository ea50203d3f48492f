//! Waits of any length: what no clock can hold is far enough away.

use std::time::Duration;

use tokio::time::{Instant, Sleep};

pub(super) fn sleep(now: Instant, delay: Duration) -> Sleep {
    tokio::time::sleep_until(after(now, delay))
}

/// `delay` after `now`, or far away.
pub(super) fn after(now: Instant, delay: Duration) -> Instant {
    now.checked_add(delay).unwrap_or_else(|| far_away(now))
}

pub(super) fn far_away(now: Instant) -> Instant {
    now + Duration::from_secs(u32::MAX.into())
}
