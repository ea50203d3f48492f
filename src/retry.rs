//! When to try again: arithmetic only. Time and randomness are arguments.

use std::time::Duration;

/// Each further wait in a row is this much longer.
const FACTOR: u32 = 2;

/// No wait grows beyond this, unless the reconnection time itself is longer: a server that is back
/// after an hour should not be left alone for another.
const CEILING: Duration = Duration::from_secs(60);

/// Waits are lengthened by up to this part, so that the clients of a server that died do not come
/// back together. Upwards only: the standard lets a client wait longer, never shorter.
const JITTER: f64 = 0.5;

/// A response that stayed open this long was healthy, even if no event came.
const HEALTHY: Duration = Duration::from_secs(10);

/// How long to wait after `waits` earlier waits in a row. `random` is in `0.0..1.0`.
pub(crate) fn delay(reconnection_time: Duration, waits: u32, random: f64) -> Duration {
    let ceiling = CEILING.max(reconnection_time);
    let factor = FACTOR.saturating_pow(waits);
    let delay = reconnection_time.saturating_mul(factor).min(ceiling);
    // Not mul_f64, which panics on overflow: whoever sets a reconnection time may set any.
    let jittered = delay.as_secs_f64() * (1.0 + JITTER * random.clamp(0.0, 1.0));
    Duration::try_from_secs_f64(jittered).unwrap_or(Duration::MAX)
}

/// Whether a response that ended had been healthy, so that the back-off starts anew. Not each
/// accepted response: a server that accepts and closes at once would be called in a tight loop.
pub(crate) fn was_healthy(delivered: bool, open_for: Duration) -> bool {
    delivered || open_for >= HEALTHY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_jitter_only_lengthens() {
        let seconds = |base: u64, waits, random| delay(Duration::from_secs(base), waits, random).as_secs_f64();
        for (base, waits, random, expected) in [
            (3, 0, 0.0, 3.0),
            (3, 0, 1.0, 4.5),
            (3, 1, 0.0, 6.0),
            (3, 4, 0.0, 48.0),
            (3, 5, 0.0, 60.0),
            (3, u32::MAX, 0.5, 75.0),
            (300, 7, 0.0, 300.0),
            (0, 9, 1.0, 0.0),
        ] {
            assert_eq!(seconds(base, waits, random), expected, "{base} s, {waits} waits, {random}");
        }
        assert_eq!(delay(Duration::MAX, 3, 1.0), Duration::MAX);
    }

    #[test]
    fn a_response_is_healthy_once_it_delivered_or_stayed_open_for_ten_seconds() {
        assert!(was_healthy(true, Duration::ZERO));
        assert!(was_healthy(false, Duration::from_secs(10)));
        assert!(!was_healthy(false, Duration::from_secs(9)));
    }
}
