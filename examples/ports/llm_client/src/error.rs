//! [`LlmError`]: why there is no answer, or no more of it.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// Why there is no answer, or no more of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum LlmError {
    /// The request could not be sent, or its response head did not come.
    Request(Box<dyn StdError + Send + Sync>),
    /// The server answered with something other than an event stream. The error has its status, its
    /// headers and the first 8 KiB of its body.
    Refused(sseclient::Error),
    /// No token came within this time after the request.
    NoFirstToken(Duration),
    /// The server failed within its answer.
    Failed {
        /// The API's name for it, such as `overloaded_error`.
        kind: Option<String>,
        /// For people.
        message: String,
    },
    /// The answer was cut off, or silent for too long.
    Broken(sseclient::Error),
    /// An event is not what the API promises. Nothing can be said about the rest.
    Malformed(String),
}

impl LlmError {
    /// Returns true if the server did no work: it has declined the request (429, 503, or 529, which
    /// Anthropic's API uses). Only then is asking again free of charge.
    pub fn was_declined(&self) -> bool {
        let Self::Refused(error) = self else { return false };
        error.status().is_some_and(|status| [429, 503, 529].contains(&status.as_u16()))
    }

    /// Returns how long the server asks to wait before the next request.
    pub fn retry_after(&self) -> Option<Duration> {
        let Self::Refused(error) = self else { return None };
        error.retry_after()
    }

    /// Returns the reason in the body of a refusal. Both APIs have it at the same place; a proxy in
    /// front of them may send anything.
    fn reason(refusal: &sseclient::Error) -> Option<String> {
        let body: Value = refusal.json().ok()?;
        Some(body["error"]["message"].as_str()?.to_owned())
    }
}

impl fmt::Display for LlmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(_) => f.write_str("the request failed"),
            Self::Refused(refusal) => match Self::reason(refusal) {
                Some(reason) => write!(f, "{refusal}: {reason}"),
                None => refusal.fmt(f),
            },
            Self::NoFirstToken(limit) => write!(f, "no token came within {limit:?}"),
            Self::Failed { kind: Some(kind), message } => {
                write!(f, "the server failed within its answer: {message} ({kind})")
            }
            Self::Failed { kind: None, message } => write!(f, "the server failed within its answer: {message}"),
            Self::Broken(_) => f.write_str("the answer was cut off"),
            Self::Malformed(what) => write!(f, "the answer cannot be read: {what}"),
        }
    }
}

impl StdError for LlmError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Request(error) => Some(&**error),
            Self::Broken(error) => Some(error),
            // It is in the message itself.
            Self::Refused(error) => error.source(),
            Self::NoFirstToken(_) | Self::Failed { .. } | Self::Malformed(_) => None,
        }
    }
}
