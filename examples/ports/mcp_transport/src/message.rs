//! [`Message`]: what a server sends by itself, and [`Envelope`], any message of JSON-RPC.

use serde::Deserialize;
use serde_json::Value;
use sseclient::Event;

use crate::error::McpError;

/// What a server sends by itself.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// Wants no answer.
    Notification {
        /// Such as `notifications/progress`.
        method: String,
        /// Null, if there are none.
        params: Value,
    },
    /// Wants an answer: see [`Session::respond`](crate::Session::respond).
    Request {
        /// A number or a text.
        id: Value,
        /// Such as `sampling/createMessage`.
        method: String,
        /// Null, if there are none.
        params: Value,
    },
}

/// Any message of JSON-RPC.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Envelope {
    id: Option<Value>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Value,
    error: Option<RpcError>,
}

#[derive(Debug, Clone, Deserialize)]
struct RpcError {
    code: i64,
    message: String,
    #[serde(default)]
    data: Value,
}

impl Envelope {
    pub(crate) fn parse(json: &[u8]) -> Result<Self, McpError> {
        serde_json::from_slice(json).map_err(|error| McpError::Malformed(error.to_string()))
    }

    /// Returns the message of an event; `None` if it holds none.
    pub(crate) fn from_event(event: &Event) -> Result<Option<Self>, McpError> {
        // Servers begin with an event without data, for its ID.
        if event.event_type() != "message" || event.data().is_empty() {
            return Ok(None);
        }
        Self::parse(event.data().as_bytes()).map(Some)
    }

    /// Returns true for the answer to the call with this ID.
    pub(crate) fn answers(&self, id: u64) -> bool {
        self.method.is_none() && self.id.as_ref().and_then(Value::as_u64) == Some(id)
    }

    /// Returns the result of a body, if it is the answer to the call with this ID. An error has no
    /// ID if the server could not read that of the call.
    pub(crate) fn into_result_of(self, id: u64) -> Result<Value, McpError> {
        let is_nameless_error = self.id.is_none() && self.error.is_some();
        if self.answers(id) || is_nameless_error {
            self.into_result()
        } else {
            Err(McpError::Malformed(format!("a body that does not answer call {id}")))
        }
    }

    /// Returns the result of an answer.
    pub(crate) fn into_result(self) -> Result<Value, McpError> {
        match self.error {
            Some(RpcError { code, message, data }) => Err(McpError::Rpc { code, message, data }),
            None => Ok(self.result),
        }
    }

    /// Returns a message of the server; `None` for an answer.
    pub(crate) fn into_message(self) -> Option<Message> {
        let (method, params) = (self.method?, self.params);
        Some(match self.id {
            Some(id) => Message::Request { id, method, params },
            None => Message::Notification { method, params },
        })
    }
}
