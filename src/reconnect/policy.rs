//! [`ReconnectPolicy`]: whether to try again, and when. Arithmetic only: time and randomness are
//! arguments.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Decision, Failure};
use crate::error::{Error, ErrorKind};

/// The reconnection time of browsers and of the Python library.
const RECONNECTION_TIME: Duration = Duration::from_secs(3);

/// Each further wait in a row is longer by this factor.
const FACTOR: f64 = 2.0;

/// No wait grows beyond this, unless the reconnection time itself is longer: a server that is back
/// after an hour should not be left alone for another.
const CEILING: Duration = Duration::from_secs(60);

/// Waits are lengthened by up to this part, so that the clients of a server that died do not come
/// back together. The standard lets a client wait longer, never shorter.
const JITTER: f64 = 0.5;

/// A response that stayed open this long was healthy, even if no event came. If every accepted
/// response were, a server that accepts and closes at once would be called in a tight loop.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// When a stream that failed or ended is retried, and when it is given up.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sseclient::{Client, Decision, ErrorKind, ReconnectPolicy};
///
/// let policy = ReconnectPolicy::daemon()
///     .ceiling(Duration::from_secs(20))
///     .max_elapsed(Duration::from_secs(3600))
///     // The server is deployed by hand: a page in place of the stream is no reason to stop.
///     .decide_with(|failure| match failure.error().kind() {
///         ErrorKind::ContentType => Decision::RetryAfter(Duration::from_secs(30)),
///         _ => failure.suggestion(),
///     });
/// let handle = Client::new().stream("http://127.0.0.1/").reconnect_policy(policy).build()?;
/// # Ok::<(), sseclient::Error>(())
/// ```
///
/// # Presets
///
/// | preset | waits (back-off) | refused statuses | gives up |
/// |---|---|---|---|
/// | [`daemon`](Self::daemon), the default | 3 s, doubling up to 60 s, up to 50 % more at random | 408, 425, 429, and all from 500 on but 501 and 505 are retried, others are final | never |
/// | [`standard`](Self::standard) | 3 s, always | all are final | never |
/// | [`never`](Self::never) | none | all are final | after one response |
/// | [`persistent`](Self::persistent) | as `daemon`; at the ceiling after a response that is final elsewhere | all are retried | never |
///
/// The 3 s are the reconnection time. The server's `retry` replaces it, clamped to 100 ms ..= 5
/// min. The 60 s are the [`ceiling`](Self::ceiling), without the jitter on top. A server's
/// `Retry-After`, in seconds or as a date, or its `Retry-After-Ms`, is a minimum for the one wait
/// that follows, of at most an hour. A 204 ends the stream under every policy. Each [`ErrorKind`]
/// says whether `daemon` retries it.
///
/// Waits grow while attempts fail. They start anew after a response that was healthy: it delivered
/// an event, or stayed open for 10 s, or set the reconnection time and came to a clean end, as the
/// responses of a server that wants to be polled do.
///
/// After an attempt that waited in vain for its response the wait is the reconnection time, however
/// many came before: the server may send the head only together with the first event. Such an
/// attempt ran into the response timeout ([`ErrorKind::ResponseTimeout`]), or it failed in another
/// way (a proxy cut the connection, or answered 504) after it had waited for 10 s.
///
/// A stream whose method is not idempotent, such as `POST` (RFC 9110, section 9.2.2), has `never`
/// as its default: each attempt may cost money or act twice.
#[doc(alias = "backoff")]
#[doc(alias = "retry")]
#[derive(Clone)]
#[must_use = "it takes effect in a stream's builder"]
pub struct ReconnectPolicy {
    reconnection_time: Duration,
    factor: f64,
    ceiling: Duration,
    jitter: f64,
    max_retries: Option<u32>,
    max_elapsed: Option<Duration>,
    healthy_after: Duration,
    stop_on_poison: bool,
    seed: Option<u64>,
    refusals: RetriedRefusals,
    decide: Option<Arc<Decide>>,
}

/// A closure of [`ReconnectPolicy::decide_with`].
type Decide = dyn Fn(&Failure<'_>) -> Decision + Send + Sync;

/// Which refused responses are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RetriedRefusals {
    None,
    /// Those that [`Error::is_final`] does not call final.
    Transient,
    All,
}

impl ReconnectPolicy {
    /// Returns the policy for programs that must keep listening.
    pub fn daemon() -> Self {
        Self {
            reconnection_time: RECONNECTION_TIME,
            factor: FACTOR,
            ceiling: CEILING,
            jitter: JITTER,
            max_retries: None,
            max_elapsed: None,
            healthy_after: HEALTHY_AFTER,
            stop_on_poison: false,
            seed: None,
            refusals: RetriedRefusals::Transient,
            decide: None,
        }
    }

    /// Returns the standard's policy (HTML, section 9.2.3), a browser's behaviour.
    pub fn standard() -> Self {
        Self { factor: 1.0, jitter: 0.0, refusals: RetriedRefusals::None, ..Self::daemon() }
    }

    /// Returns the policy for one response: its end ends the stream, and a clean end is no error.
    pub fn never() -> Self {
        Self { max_retries: Some(0), refusals: RetriedRefusals::None, ..Self::daemon() }
    }

    /// Returns the policy for servers that answer anything while they start: every refused response
    /// is retried, at the [`ceiling`](Self::ceiling) if [`Error::is_final`] calls it final.
    pub fn persistent() -> Self {
        Self { refusals: RetriedRefusals::All, ..Self::daemon() }
    }

    /// Sets the first wait; 3 s by default. Any time is allowed, zero too. The server's `retry`
    /// replaces it.
    pub fn reconnection_time(self, time: Duration) -> Self {
        Self { reconnection_time: time, ..self }
    }

    /// Sets the factor by which each further wait is longer; 2 by default, at least 1.
    pub fn factor(self, factor: f64) -> Self {
        // `max` returns the other operand if one is NaN.
        Self { factor: factor.max(1.0), ..self }
    }

    /// Sets the limit up to which waits grow, before jitter lengthens them; 60 s by default.
    ///
    /// With the default jitter a wait lasts up to half as long again. A longer reconnection time is
    /// not shortened.
    pub fn ceiling(self, ceiling: Duration) -> Self {
        Self { ceiling, ..self }
    }

    /// Sets the part of itself by which chance may lengthen a wait; 0.5 by default. With zero the
    /// clients of a server that died come back together.
    pub fn jitter(self, part: f64) -> Self {
        Self { jitter: part.max(0.0), ..self }
    }

    /// Gives up after this many retries in a row; unlimited by default. With zero the stream is one
    /// response, whose clean end is no failure
    /// ([`CloseReason::EndOfStream`](crate::CloseReason::EndOfStream)).
    pub fn max_retries(self, retries: u32) -> Self {
        Self { max_retries: Some(retries), ..self }
    }

    /// Gives up instead of retrying later than this after the first failure in a row; unlimited by
    /// default.
    pub fn max_elapsed(self, time: Duration) -> Self {
        Self { max_elapsed: Some(time), ..self }
    }

    /// Sets how long a response must stay open to be healthy even if no event came; 10 s by
    /// default. A healthy response resets waits and limits (see [Presets](Self#presets)).
    ///
    /// An attempt that fails after it has waited this long for its response head does not lengthen
    /// the wait.
    pub fn healthy_after(self, time: Duration) -> Self {
        Self { healthy_after: time, ..self }
    }

    /// Gives up a stream that is [poisoned](ErrorKind::Poisoned).
    ///
    /// By default it is retried at the ceiling, because the server may recover. (A policy whose
    /// waits do not grow keeps its wait.)
    pub fn stop_on_poison(self) -> Self {
        Self { stop_on_poison: true, ..self }
    }

    /// Seeds the jitter, so that tests can repeat it.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Calls `decide` after each failure, and does what it returns.
    ///
    /// The policy's own decision is the failure's [`suggestion`](Failure::suggestion); its limits
    /// bind only if `decide` follows it. A first attempt of
    /// [`open`](crate::StreamBuilder::open) that fails is final in any case. The connection task
    /// calls the closure, so it must not block.
    ///
    /// # Panics
    ///
    /// A panic in the closure ends the stream with [`ErrorKind::TaskFailed`].
    pub fn decide_with(self, decide: impl Fn(&Failure<'_>) -> Decision + Send + Sync + 'static) -> Self {
        Self { decide: Some(Arc::new(decide)), ..self }
    }

    /// Returns this policy's decision without jitter, for tests of programs that
    /// [decide](Self::decide_with).
    pub fn decision(&self, failure: &Failure<'_>) -> Decision {
        self.decide(failure.clone(), 0.0)
    }

    /// Returns the reconnection time until the server sets another with `retry`.
    pub(crate) fn initial_reconnection_time(&self) -> Duration {
        self.reconnection_time
    }

    /// Returns the source of jitter.
    pub(crate) fn random(&self) -> fastrand::Rng {
        self.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)
    }

    /// Returns true if a response that ended was healthy.
    pub(crate) fn was_healthy(&self, delivered: bool, open_for: Duration) -> bool {
        delivered || open_for >= self.healthy_after
    }

    /// Returns true if the server may have sent events to the request of a failed attempt: it
    /// waited for its response head as long as a healthy response is open, or up to the response
    /// timeout. Servers and proxies may hold back the head until the first event.
    pub(crate) fn may_have_missed(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::ResponseTimeout || error.waited().is_some_and(|time| self.was_healthy(false, time))
    }

    /// Returns true if the stream is one response, so that its clean end is no failure.
    pub(crate) fn is_for_one_response(&self) -> bool {
        self.max_retries == Some(0)
    }

    /// Returns the decision. `random`, in `0.0..1.0`, is the jitter.
    pub(crate) fn decide(&self, failure: Failure<'_>, random: f64) -> Decision {
        let suggestion = self.suggest(&failure, random);
        match &self.decide {
            Some(decide) => decide(&Failure { suggestion, ..failure }),
            None => suggestion,
        }
    }

    /// Returns the policy's own decision: limits first, then the back-off, at least as long as
    /// `Retry-After`, with jitter on top.
    fn suggest(&self, failure: &Failure<'_>, random: f64) -> Decision {
        let kind = failure.error.kind();
        let is_poisoned = kind == ErrorKind::Poisoned;
        let out_of_retries = self.max_retries.is_some_and(|max| failure.retries >= max);
        if out_of_retries || !self.retries(failure.error) || is_poisoned && self.stop_on_poison {
            return Decision::Stop;
        }
        // A reconnection time above the ceiling was set on purpose, by the caller or the server.
        let ceiling = self.ceiling.max(failure.reconnection_time);
        // A server that refuses seldom changes its mind soon, and a poisoned place breaks each
        // time. But a factor of 1 asks for a constant pace.
        let back_off = if failure.error.is_final() || is_poisoned && self.factor > 1.0 {
            ceiling
        } else if self.may_have_missed(failure.error) {
            // While the stream waits, it may miss more.
            failure.reconnection_time
        } else {
            multiply(failure.reconnection_time, self.factor.powf(failure.retries.into())).min(ceiling)
        };
        // Jitter comes on top of `Retry-After` as well: all clients of the server got the same one.
        let minimum = failure.retry_after.unwrap_or_default();
        let jitter = multiply(back_off, self.jitter * random.clamp(0.0, 1.0));
        let delay = back_off.max(minimum).saturating_add(jitter);
        // The wait counts: an attempt after the limit would be one too many.
        let is_too_late = |max| failure.failing_for.saturating_add(delay) > max;
        if self.max_elapsed.is_some_and(is_too_late) { Decision::Stop } else { Decision::RetryAfter(delay) }
    }

    /// Returns true if this policy retries the error, limits aside. For a refused response, like a
    /// 503, the preset decides; `Error::is_final` knows the list of statuses.
    fn retries(&self, error: &Error) -> bool {
        match self.refusals {
            RetriedRefusals::None if is_refusal(error) => false,
            RetriedRefusals::All if is_refusal(error) => true,
            _ => !error.is_final(),
        }
    }
}

impl Default for ReconnectPolicy {
    /// [`daemon`](Self::daemon).
    fn default() -> Self {
        Self::daemon()
    }
}

impl fmt::Debug for ReconnectPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectPolicy")
            .field("reconnection_time", &self.reconnection_time)
            .field("factor", &self.factor)
            .field("ceiling", &self.ceiling)
            .field("jitter", &self.jitter)
            .field("max_retries", &self.max_retries)
            .field("max_elapsed", &self.max_elapsed)
            .field("healthy_after", &self.healthy_after)
            .field("stop_on_poison", &self.stop_on_poison)
            .field("refusals", &self.refusals)
            .finish_non_exhaustive()
    }
}

/// Returns true if the server answered with something other than an event stream.
fn is_refusal(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Status | ErrorKind::Redirect | ErrorKind::ContentType | ErrorKind::ContentEncoding
    )
}

/// Multiplies without a panic on overflow, unlike `mul_f64`: a caller may set any reconnection
/// time.
fn multiply(time: Duration, by: f64) -> Duration {
    let seconds = time.as_secs_f64() * by;
    // Zero times an infinite factor is NaN.
    if seconds.is_nan() { Duration::ZERO } else { Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX) }
}

#[cfg(test)]
mod tests;
