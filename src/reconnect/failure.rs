//! [`Failure`] and [`Decision`]: what a policy is told, and what it answers.

use std::time::Duration;

use http::StatusCode;

use crate::error::Error;

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Wait exactly this long, then try again.
    RetryAfter(Duration),
    /// Close the stream for good.
    Stop,
}

/// What a policy knows when an attempt failed or a response ended.
///
/// # Examples
///
/// A closure that decides, and its test:
///
/// ```
/// use std::time::Duration;
/// use http::{HeaderMap, StatusCode};
/// use sseclient::{Decision, Error, ErrorKind, Failure, ReconnectPolicy};
///
/// fn policy() -> ReconnectPolicy {
///     ReconnectPolicy::daemon().decide_with(|failure| match failure.status() {
///         Some(StatusCode::NOT_FOUND) if failure.retries() < 3 => Decision::RetryAfter(failure.reconnection_time()),
///         _ => failure.suggestion(),
///     })
/// }
///
/// let missing = Error::refused(StatusCode::NOT_FOUND, HeaderMap::new(), "no such stream yet");
/// let failure = Failure::new(&missing);
/// assert_eq!(policy().decision(&failure), Decision::RetryAfter(Duration::from_secs(3)));
/// assert_eq!(policy().decision(&failure.with_retries(3)), Decision::Stop);
/// let refused = Error::new(ErrorKind::Connect, "refused");
/// let failure = Failure::new(&refused).with_retries(2);
/// assert_eq!(policy().decision(&failure), Decision::RetryAfter(Duration::from_secs(12)));
/// ```
#[derive(Debug, Clone)]
#[must_use = "it is there to be decided about"]
pub struct Failure<'a> {
    pub(crate) error: &'a Error,
    pub(crate) retries: u32,
    pub(crate) reconnection_time: Duration,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) open_for: Option<Duration>,
    pub(crate) failing_for: Duration,
    pub(crate) suggestion: Decision,
}

impl<'a> Failure<'a> {
    /// For tests of programs that decide: the first failure in a row, with a reconnection time of 3 s, and
    /// [`Decision::Stop`] as suggestion.
    pub fn new(error: &'a Error) -> Self {
        Self {
            error,
            retries: 0,
            reconnection_time: Duration::from_secs(3),
            retry_after: None,
            open_for: None,
            failing_for: Duration::ZERO,
            suggestion: Decision::Stop,
        }
    }

    /// This failure, after so many retries.
    pub fn with_retries(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    /// This failure, with another reconnection time.
    pub fn with_reconnection_time(self, time: Duration) -> Self {
        Self { reconnection_time: time, ..self }
    }

    /// This failure, of a refused response that asked to be left alone for so long.
    pub fn with_retry_after(self, time: Duration) -> Self {
        Self { retry_after: Some(time), ..self }
    }

    /// This failure, of a response that was open for so long.
    pub fn with_open_for(self, time: Duration) -> Self {
        Self { open_for: Some(time), ..self }
    }

    /// This failure, so long after the first one in a row.
    pub fn with_failing_for(self, time: Duration) -> Self {
        Self { failing_for: time, ..self }
    }

    /// This failure, with another suggestion. [`ReconnectPolicy::decision`] makes its own.
    ///
    /// [`ReconnectPolicy::decision`]: crate::ReconnectPolicy::decision
    pub fn with_suggestion(self, suggestion: Decision) -> Self {
        Self { suggestion, ..self }
    }

    /// What happened: its kind is the class of the failure. The end of a response is one, too
    /// ([`ErrorKind::EndOfStream`](crate::ErrorKind::EndOfStream)).
    pub fn error(&self) -> &'a Error {
        self.error
    }

    /// The status, if a response was refused.
    pub fn status(&self) -> Option<StatusCode> {
        self.error.status()
    }

    /// How often it has been tried again since the last healthy response.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// The reconnection time: the server's last `retry` within bounds, or the policy's own.
    pub fn reconnection_time(&self) -> Duration {
        self.reconnection_time
    }

    /// The refused response's `Retry-After`, at most an hour.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// How long the response was open; none if there was none.
    pub fn open_for(&self) -> Option<Duration> {
        self.open_for
    }

    /// How long ago the first failure since the last healthy response was.
    pub fn failing_for(&self) -> Duration {
        self.failing_for
    }

    /// What the policy does if nobody decides otherwise.
    pub fn suggestion(&self) -> Decision {
        self.suggestion
    }
}
