//! [`State`] and [`CloseReason`]: the state of a connection, and why it ended.
//!
//! Values without behaviour, below transport and hub in the layers: both report them.

#[cfg(feature = "serde")]
pub(crate) mod milliseconds;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::Error;
use crate::response::ResponseHead;

/// The state of a connection.
///
/// ```text
///                reconnect, or ended (handover)
///           +----------------------------------+
///           v                                  |
/// Idle -> Connecting ------- accepted -----> Open
///           |    ^                             |
///    failed |    | reconnect,                  | ended
///           v    | or the wait is over         |
///          Waiting <---------------------------+
/// ```
///
/// Every state can lead to `Closed`, which is the last one. Without subscriptions a
/// [lazy](crate::StreamBuilder::lazy) stream returns to `Idle` after its linger time, but from
/// `Waiting` only when the wait is over.
///
/// [`Handle::reconnect`](crate::Handle::reconnect) leads from `Open` and from `Waiting` straight to
/// `Connecting`. While a stream is connecting, a change or another resume point makes it begin
/// again: one `Connecting` follows another. In a [handover](crate::Apply::MakeBeforeBreak) one
/// `Open` follows another, or `Connecting` follows if the first response ends before the second has
/// come.
///
/// A state may last for less than a millisecond.
/// [`state_changes`](crate::Handle::state_changes) skips those that end before they are read: with
/// short waits even `Waiting`, which has the cause of a failure. A
/// [`Transcript`](crate::Transcript) shows all states, and
/// [`Stats::failures`](crate::Stats::failures) counts the failures.
///
/// # Serde
///
/// With feature `serde` a state serializes as a map, in which `state` is its name: `idle`,
/// `connecting`, `open`, `waiting` or `closed`. Times are whole milliseconds, counted from or to
/// the moment of the call: `open_ms` (since the response was accepted), `delay_ms`, and
/// `remaining_ms` (until the next attempt). A closed state has the fields of its [`CloseReason`] in
/// the same map.
#[derive(Debug, Clone, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(tag = "state", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum State {
    /// `connect` has not been called; or the stream is [lazy](crate::StreamBuilder::lazy), and
    /// there is no subscription.
    #[default]
    Idle,
    /// An attempt is under way: resume store (the first time), hook and source of credentials,
    /// name, TCP, TLS and request, up to the response head.
    #[non_exhaustive]
    Connecting {
        /// The number of this attempt, from 1, counted since the last healthy response.
        attempt: u32,
    },
    /// A response was accepted, and events can come.
    #[non_exhaustive]
    Open {
        /// When the response was accepted.
        #[cfg_attr(feature = "serde", serde(rename = "open_ms", serialize_with = "milliseconds::since"))]
        since: Instant,
        /// The number of the attempt that led here.
        attempt: u32,
        /// The response's head: final URL, status, version, headers.
        response: Arc<ResponseHead>,
    },
    /// The last attempt failed, or the response ended. The next attempt begins at `until`.
    #[non_exhaustive]
    Waiting {
        /// The number of the next attempt.
        attempt: u32,
        /// How long the whole wait is.
        #[cfg_attr(feature = "serde", serde(rename = "delay_ms", serialize_with = "milliseconds::duration"))]
        delay: Duration,
        /// When it ends.
        #[cfg_attr(feature = "serde", serde(rename = "remaining_ms", serialize_with = "milliseconds::until"))]
        until: Instant,
        /// The failure that led here.
        cause: Error,
    },
    /// The stream has ended for good.
    Closed(CloseReason),
}

/// # For tests
///
/// `Idle` and `Closed` are written as they are. Times begin at the call.
impl State {
    /// Creates a [`Connecting`](Self::Connecting) state, for tests of programs that handle states.
    pub fn connecting(attempt: u32) -> Self {
        Self::Connecting { attempt }
    }

    /// Creates an [`Open`](Self::Open) state that begins now, for tests of programs that handle
    /// states.
    pub fn open(attempt: u32, response: ResponseHead) -> Self {
        Self::Open { since: Instant::now(), attempt, response: Arc::new(response) }
    }

    /// Creates a [`Waiting`](Self::Waiting) state that begins now, for tests of programs that
    /// handle states.
    pub fn waiting(attempt: u32, delay: Duration, cause: Error) -> Self {
        let now = Instant::now();
        // A wait too long for the clock ends at once: this state is compared, not waited for.
        Self::Waiting { attempt, delay, until: now.checked_add(delay).unwrap_or(now), cause }
    }
}

impl State {
    /// Returns why the connection is closed, if it is.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        match self {
            Self::Closed(reason) => Some(reason),
            _ => None,
        }
    }

    /// Returns the bytes of a server's headers and body that it holds.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Open { response, .. } => response.size(),
            Self::Waiting { cause, .. } | Self::Closed(CloseReason::Failed(cause)) => cause.response_size(),
            _ => 0,
        }
    }

    /// Returns true if a response is open.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("idle"),
            Self::Connecting { attempt } => write!(f, "connecting, attempt {attempt}"),
            Self::Open { response, .. } => write!(f, "open, {}", response.status()),
            Self::Waiting { attempt, delay, cause, .. } => {
                // To the tenth of a second, if there is one.
                let seconds = (delay.as_secs_f64() * 10.0).round() / 10.0;
                write!(f, "reconnecting in {seconds} s (attempt {attempt}): {cause}")
            }
            Self::Closed(reason) => write!(f, "closed: {reason}"),
        }
    }
}

/// Why a connection ended for good.
///
/// With feature `serde` it serializes as a map, in which `reason` is its name in snake case. A
/// failure has the fields of its [`Error`] in the same map.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(tag = "reason", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum CloseReason {
    /// [`shutdown`](crate::Handle::shutdown) or [`shutdown_with`](crate::Handle::shutdown_with) was
    /// called, or the future of [`stop_when`](crate::StreamBuilder::stop_when) completed.
    Shutdown,
    /// The server answered 204 No Content, the standard's way to stop a client (HTML, section 9.2).
    NoContent,
    /// The server ended the stream, and the policy does not reconnect
    /// ([`ReconnectPolicy::never`](crate::ReconnectPolicy::never)).
    EndOfStream,
    /// The stream's [end mark](crate::StreamBuilder::end_mark) came: the answer is complete.
    EndMark,
    /// All handles, subscriptions and transcripts were dropped.
    Abandoned,
    /// The last handle was dropped before `connect` was called.
    NeverConnected,
    /// A failure that the reconnection policy does not retry.
    Failed(Error),
}

impl CloseReason {
    /// Returns the failure, if the connection closed on one.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Returns `Err` if the connection closed on a failure, `Ok` otherwise.
    ///
    /// # Errors
    ///
    /// The failure, for [`CloseReason::Failed`].
    pub fn into_result(self) -> Result<(), Error> {
        match self {
            Self::Failed(error) => Err(error),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shutdown => f.write_str("shut down"),
            Self::NoContent => f.write_str("the server has no more content (204)"),
            Self::EndOfStream => f.write_str("the server ended the stream"),
            Self::EndMark => f.write_str("the end mark came"),
            Self::Abandoned => f.write_str("all handles, subscriptions and transcripts were dropped"),
            Self::NeverConnected => f.write_str("all handles were dropped before connect was called"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}
