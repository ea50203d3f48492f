//! [`Failure`] and [`Decision`]: a policy's input and its output.

use std::time::Duration;

use http::StatusCode;

use crate::error::Error;

/// A policy's decision after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Waits exactly this long, then tries again. Any time of your choice, not only that of the
    /// server's `Retry-After` header ([`Failure::retry_after`]).
    RetryAfter(Duration),
    /// Closes the stream for good, with the failure as its reason.
    Stop,
}

/// The input of a policy's decision: an attempt that failed or a response that ended.
///
/// # Examples
///
/// A closure that decides, and how to test it:
///
/// ```
/// use std::time::Duration;
/// use http::{HeaderMap, StatusCode};
/// use sseclient::{Decision, Error, ErrorKind, Failure, ReconnectPolicy};
///
/// fn policy() -> ReconnectPolicy {
///     ReconnectPolicy::daemon().decide_with(|failure| match failure.status() {
///         Some(StatusCode::NOT_FOUND) if failure.retries() < 3 => {
///             Decision::RetryAfter(failure.reconnection_time())
///         }
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
#[must_use = "it has no effect by itself"]
pub struct Failure<'a> {
    pub(crate) error: &'a Error,
    pub(crate) retries: u32,
    pub(crate) reconnection_time: Duration,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) open_for: Option<Duration>,
    pub(crate) failing_for: Duration,
    pub(crate) last_event_id: &'a str,
    pub(crate) suggestion: Decision,
}

impl<'a> Failure<'a> {
    /// Returns the first failure in a row, for tests of programs that decide. Its reconnection time
    /// is 3 s and its suggestion is [`Decision::Stop`].
    pub fn new(error: &'a Error) -> Self {
        Self {
            error,
            retries: 0,
            reconnection_time: Duration::from_secs(3),
            retry_after: None,
            open_for: None,
            failing_for: Duration::ZERO,
            last_event_id: "",
            suggestion: Decision::Stop,
        }
    }

    /// Sets the number of retries so far.
    pub fn with_retries(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    /// Sets the reconnection time.
    pub fn with_reconnection_time(self, time: Duration) -> Self {
        Self { reconnection_time: time, ..self }
    }

    /// Sets the `Retry-After` of the refused response.
    pub fn with_retry_after(self, time: Duration) -> Self {
        Self { retry_after: Some(time), ..self }
    }

    /// Sets how long the response was open.
    pub fn with_open_for(self, time: Duration) -> Self {
        Self { open_for: Some(time), ..self }
    }

    /// Sets how long ago the first failure in a row was.
    pub fn with_failing_for(self, time: Duration) -> Self {
        Self { failing_for: time, ..self }
    }

    /// Sets the last event ID.
    pub fn with_last_event_id(self, id: &'a str) -> Self {
        Self { last_event_id: id, ..self }
    }

    /// Sets the suggestion. [`ReconnectPolicy::decision`] replaces it with its own.
    ///
    /// [`ReconnectPolicy::decision`]: crate::ReconnectPolicy::decision
    pub fn with_suggestion(self, suggestion: Decision) -> Self {
        Self { suggestion, ..self }
    }

    /// Returns the error; its kind is the class of the failure. The end of a response is one, too
    /// ([`ErrorKind::EndOfStream`](crate::ErrorKind::EndOfStream)).
    pub fn error(&self) -> &'a Error {
        self.error
    }

    /// Returns the status, if a response was refused.
    pub fn status(&self) -> Option<StatusCode> {
        self.error.status()
    }

    /// Returns the number of retries since the last healthy response.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// Returns the reconnection time: the server's last `retry` within bounds, or the policy's own.
    pub fn reconnection_time(&self) -> Duration {
        self.reconnection_time
    }

    /// Returns the refused response's `Retry-After`, at most an hour.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns how long the response was open; `None` if no response was open.
    pub fn open_for(&self) -> Option<Duration> {
        self.open_for
    }

    /// Returns how long ago the first failure since the last healthy response was.
    pub fn failing_for(&self) -> Duration {
        self.failing_for
    }

    /// Returns the stream's last event ID, which the next request carries; empty if there is none.
    ///
    /// With its help a policy can tell progress from standstill, or stop at a certain event.
    pub fn last_event_id(&self) -> &'a str {
        self.last_event_id
    }

    /// Returns what the policy does without a [`decide_with`](crate::ReconnectPolicy::decide_with).
    pub fn suggestion(&self) -> Decision {
        self.suggestion
    }
}
