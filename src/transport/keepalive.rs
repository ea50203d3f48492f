//! [`TcpKeepalive`]: how a link that died without a word is noticed.

use std::time::Duration;

/// A link that went dead without a word (a rebooted router, a pulled cable) is noticed after this much silence and
/// [`PROBES`] probes more.
const IDLE: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;

/// What systems take: Linux refuses anything outside of it, and then does not probe at all.
const SECONDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(32_767));
const MOST_PROBES: u32 = 127;

/// When the system asks a silent peer whether it is still there (RFC 9293, section 3.8.4): by default after 60 s of
/// silence, then three times, 10 s apart.
///
/// For [`ClientBuilder::tcp_keepalive`](crate::ClientBuilder::tcp_keepalive). Times are in whole seconds, from one up
/// to nine hours, and probes from 1 to 127: whatever is set is brought into that range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it takes effect in a client's builder"]
pub struct TcpKeepalive {
    idle: Duration,
    interval: Duration,
    probes: u32,
}

impl TcpKeepalive {
    /// The defaults.
    pub const fn new() -> Self {
        Self { idle: IDLE, interval: INTERVAL, probes: PROBES }
    }

    /// How long the peer may be silent before the first probe; 60 s by default.
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle: idle.clamp(SECONDS.0, SECONDS.1), ..self }
    }

    /// How long after a probe the next one follows; 10 s by default.
    pub fn interval(self, interval: Duration) -> Self {
        Self { interval: interval.clamp(SECONDS.0, SECONDS.1), ..self }
    }

    /// How many probes without an answer break the connection; 3 by default.
    pub fn probes(self, probes: u32) -> Self {
        Self { probes: probes.clamp(1, MOST_PROBES), ..self }
    }

    /// Time, interval and probes.
    pub(crate) fn settings(self) -> (Duration, Duration, u32) {
        (self.idle, self.interval, self.probes)
    }
}

impl Default for TcpKeepalive {
    fn default() -> Self {
        Self::new()
    }
}
