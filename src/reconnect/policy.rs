//! [`ReconnectPolicy`]: whether to try again, and when. Arithmetic only: time and randomness are arguments.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

use super::{Decision, Failure};
use crate::error::{Error, ErrorKind};

/// Browsers' and the Python library's reconnection time.
const RECONNECTION_TIME: Duration = Duration::from_secs(3);

/// Each further wait in a row is this much longer.
const FACTOR: f64 = 2.0;

/// No wait grows beyond this, unless the reconnection time itself is longer: a server that is back
/// after an hour should not be left alone for another.
const CEILING: Duration = Duration::from_secs(60);

/// Waits are lengthened by up to this part, so that the clients of a server that died do not come
/// back together. Upwards only: the standard lets a client wait longer, never shorter.
const JITTER: f64 = 0.5;

/// A response that stayed open this long was healthy, even if no event came. Not each accepted
/// response: a server that accepts and closes at once would be called in a tight loop.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// The most that a server's `Retry-After` is heeded: maintenance ends earlier than announced, and a date
/// in the year 9999 is a mistake.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// When a stream that failed or ended is tried again, and when it is given up.
///
/// | preset | waits | statuses | gives up |
/// |---|---|---|---|
/// | [`daemon`](Self::daemon), the default | 3 s, doubling up to 60 s, up to 50 % more by chance | 408, 425, 429, 500, 502, 503, 504 are tried again, others are final | never |
/// | [`standard`](Self::standard) | 3 s, always | all but 200 are final | never |
/// | [`never`](Self::never) | none | all are final | after one response |
/// | [`persistent`](Self::persistent) | as `daemon`; after what is final elsewhere, 60 s | all are tried again | never |
///
/// The 3 s are the reconnection time: the server's `retry` replaces it, from 100 ms to 5 min. Waits grow
/// while nothing works; a response that delivered an event, or stayed open for 10 s, starts them anew. A
/// server's `Retry-After`, in seconds or as a date, is a floor for the one wait that follows, of at
/// most an hour. A 204 ends the stream under every policy.
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
    verdicts: Verdicts,
    decide: Option<Arc<Decide>>,
}

type Decide = dyn Fn(&Failure<'_>) -> Decision + Send + Sync;

/// Which responses that are no event stream are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdicts {
    Final,
    Transient,
    All,
}

impl ReconnectPolicy {
    /// For programs that must keep listening.
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
            verdicts: Verdicts::Transient,
            decide: None,
        }
    }

    /// The letter of the standard (HTML, section 9.2.3), as browsers do it.
    pub fn standard() -> Self {
        Self { factor: 1.0, jitter: 0.0, verdicts: Verdicts::Final, ..Self::daemon() }
    }

    /// For one response: whatever ends it ends the stream, and a clean end is no error.
    pub fn never() -> Self {
        Self { max_retries: Some(0), verdicts: Verdicts::Final, ..Self::daemon() }
    }

    /// For servers that answer anything while they start: every verdict but a 204 is tried again.
    pub fn persistent() -> Self {
        Self { verdicts: Verdicts::All, ..Self::daemon() }
    }

    /// The first wait; 3 s by default. Anything goes, zero too. The server's `retry` replaces it.
    pub fn reconnection_time(self, time: Duration) -> Self {
        Self { reconnection_time: time, ..self }
    }

    /// How much longer each further wait is; 2 by default, at least 1.
    pub fn factor(self, factor: f64) -> Self {
        // `max` gives the other operand for what is not a number.
        Self { factor: factor.max(1.0), ..self }
    }

    /// What waits grow up to, before chance lengthens them; 60 s by default. A longer reconnection time
    /// is not shortened.
    pub fn ceiling(self, ceiling: Duration) -> Self {
        Self { ceiling, ..self }
    }

    /// By which part of itself chance may lengthen a wait; 0.5 by default. Zero makes the clients of a
    /// server that died come back together.
    pub fn jitter(self, part: f64) -> Self {
        Self { jitter: part.max(0.0), ..self }
    }

    /// Gives up after so many retries in a row; unlimited by default. With zero the stream is one response, whose clean
    /// end is no failure ([`CloseReason::EndOfStream`](crate::CloseReason::EndOfStream)).
    pub fn max_retries(self, retries: u32) -> Self {
        Self { max_retries: Some(retries), ..self }
    }

    /// Gives up rather than try again later than this after the first failure in a row; unlimited by
    /// default.
    pub fn max_elapsed(self, time: Duration) -> Self {
        Self { max_elapsed: Some(time), ..self }
    }

    /// A response that stayed open this long was healthy, even if no event came; 10 s by default. The
    /// waits start anew after it, and the limits do.
    pub fn healthy_after(self, time: Duration) -> Self {
        Self { healthy_after: time, ..self }
    }

    /// Gives up a stream that is [poisoned](ErrorKind::Poisoned), rather than wait for the ceiling between
    /// attempts (a policy whose waits do not grow keeps to its time), in the hope that the server gets over it.
    pub fn stop_on_poison(self) -> Self {
        Self { stop_on_poison: true, ..self }
    }

    /// Makes chance repeatable, for tests.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Asks `decide` after each failure, in place of what the policy would do, which is the failure's
    /// [`suggestion`](Failure::suggestion): its limits are no more than that then. (A first attempt of
    /// [`open`](crate::StreamBuilder::open) that fails is final all the same.) Called in the connection task: it must
    /// not block. A panic in it ends the stream ([`ErrorKind::TaskFailed`]).
    pub fn decide_with(self, decide: impl Fn(&Failure<'_>) -> Decision + Send + Sync + 'static) -> Self {
        Self { decide: Some(Arc::new(decide)), ..self }
    }

    /// What this policy decides, chance aside: for tests of programs that [decide](Self::decide_with).
    pub fn decision(&self, failure: &Failure<'_>) -> Decision {
        self.decide(failure.clone(), 0.0)
    }

    pub(crate) fn initial_reconnection_time(&self) -> Duration {
        self.reconnection_time
    }

    pub(crate) fn random(&self) -> fastrand::Rng {
        self.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)
    }

    /// Whether a response that ended had been healthy.
    pub(crate) fn was_healthy(&self, delivered: bool, open_for: Duration) -> bool {
        delivered || open_for >= self.healthy_after
    }

    /// Whether even a stream that ended well is not tried again: then its end is no failure.
    pub(crate) fn is_for_one_response(&self) -> bool {
        self.max_retries == Some(0)
    }

    /// What to do. `random`, in `0.0..1.0`, spreads the wait.
    pub(crate) fn decide(&self, failure: Failure<'_>, random: f64) -> Decision {
        let suggestion = self.suggest(&failure, random);
        match &self.decide {
            Some(decide) => decide(&Failure { suggestion, ..failure }),
            None => suggestion,
        }
    }

    fn suggest(&self, failure: &Failure<'_>, random: f64) -> Decision {
        if self.max_retries.is_some_and(|most| failure.retries >= most) {
            return Decision::Stop;
        }
        let ceiling = self.ceiling.max(failure.reconnection_time);
        let poisoned = failure.error.kind() == ErrorKind::Poisoned;
        if poisoned && self.stop_on_poison {
            return Decision::Stop;
        }
        let back_off = match (self.verdicts, is_verdict(failure.error), failure.error.is_final()) {
            (Verdicts::Final, true, _) | (_, false, true) | (Verdicts::Transient, true, true) => return Decision::Stop,
            (Verdicts::All, true, true) => ceiling,
            _ if poisoned && self.factor > 1.0 => ceiling,
            _ => multiply(failure.reconnection_time, self.factor.powf(failure.retries.into())).min(ceiling),
        };
        let floor = failure.retry_after.unwrap_or_default();
        let chance = multiply(back_off, self.jitter * random.clamp(0.0, 1.0));
        let delay = back_off.max(floor).saturating_add(chance);
        let too_late = |most| failure.failing_for.saturating_add(delay) > most;
        if self.max_elapsed.is_some_and(too_late) { Decision::Stop } else { Decision::RetryAfter(delay) }
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
            .field("verdicts", &self.verdicts)
            .finish_non_exhaustive()
    }
}

/// Whether a server answered, with something that is no event stream.
fn is_verdict(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Status | ErrorKind::Redirect | ErrorKind::ContentType | ErrorKind::ContentEncoding
    )
}

/// Not `mul_f64`, which panics on overflow: whoever sets a reconnection time may set any.
fn multiply(time: Duration, by: f64) -> Duration {
    let seconds = time.as_secs_f64() * by;
    // Zero times an infinite factor is no number.
    if seconds.is_nan() { Duration::ZERO } else { Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX) }
}

/// How long a refused response asks to be left alone (RFC 9110, section 10.2.3), at most an hour. A date
/// counts from the response's own `Date`, if it has one: clocks differ. `now` is for the others.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are more than an hour.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = |text: &str| httpdate::parse_http_date(text).ok();
        let sent = headers.get(DATE).and_then(|value| date(value.to_str().ok()?)).unwrap_or(now);
        // What is over needs no waiting.
        date(text)?.duration_since(sent).unwrap_or_default()
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests;
