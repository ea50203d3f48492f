//! [`McpError`]: why there is no answer.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use serde_json::Value;
use sseclient::{CloseReason, Gap};

/// Why there is no answer, or what the inbox lacks.
#[derive(Debug)]
#[non_exhaustive]
pub enum McpError {
    /// The server does not know the session any more (404): begin another one.
    SessionLost,
    /// The server's own error.
    Rpc {
        /// A number of JSON-RPC, or of the server's own.
        code: i64,
        /// For people.
        message: String,
        /// Null, if there is none.
        data: Value,
    },
    /// The request could not be sent, or its response head did not come.
    Request(reqwest::Error),
    /// The body of an answer broke off, or was larger than 16 MiB.
    Body(Box<dyn StdError + Send + Sync>),
    /// Another status or content type than those of the protocol. The error has the status, the
    /// headers (`WWW-Authenticate`, for example) and the first 8 KiB of the body.
    Refused(sseclient::Error),
    /// The stream ended before the answer, and cannot be resumed. The server may have done what was
    /// asked.
    AnswerLost(Option<sseclient::Error>),
    /// The call took longer than its limit. The server may go on.
    TimedOut(Duration),
    /// Messages are missing here: one was too large, or the server's own stream began anew.
    Missed(Gap),
    /// An event or a body is no message of JSON-RPC, or a body is not the answer to its call.
    Malformed(String),
    /// A stream is closed for good.
    Stream(sseclient::Error),
}

impl McpError {
    /// Says why a stream of the session is closed for good.
    pub(crate) fn closed(reason: CloseReason) -> Self {
        match reason.into_result() {
            Err(error) => match error.status().map(|status| status.as_u16()) {
                Some(404) => Self::SessionLost,
                // The server has no streams to be opened or resumed.
                Some(405) => Self::AnswerLost(Some(error)),
                _ => Self::Stream(error),
            },
            Ok(()) => Self::AnswerLost(None),
        }
    }
}

impl fmt::Display for McpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionLost => f.write_str("the server does not know the session any more"),
            Self::Rpc { code, message, .. } => write!(f, "the server answered with error {code}: {message}"),
            Self::Request(_) => f.write_str("the request failed"),
            Self::Body(_) => f.write_str("the answer could not be read"),
            Self::Refused(_) => f.write_str("the server refused"),
            Self::AnswerLost(_) => f.write_str("the stream ended before the answer"),
            Self::TimedOut(limit) => write!(f, "no answer came within {limit:?}"),
            Self::Missed(gap) => write!(f, "messages are missing: {gap}"),
            Self::Malformed(what) => write!(f, "the server does not keep to JSON-RPC: {what}"),
            Self::Stream(_) => f.write_str("a stream of the session is closed"),
        }
    }
}

impl StdError for McpError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Request(error) => Some(error),
            Self::Body(error) => Some(&**error),
            Self::Refused(error) | Self::Stream(error) | Self::AnswerLost(Some(error)) => Some(error),
            _ => None,
        }
    }
}
