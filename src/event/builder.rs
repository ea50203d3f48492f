//! [`EventBuilder`]: events that did not come from a server.

use std::time::Duration;

use crate::error::{Error, ErrorKind};

use super::values::{MAX_TEXT, RetryTime, Span};
use super::{DEFAULT_EVENT_TYPE, Event};

/// Builds an [`Event`]; everything is optional, [`build`](Self::build) validates once.
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct EventBuilder {
    event_type: String,
    data: String,
    id: Option<String>,
    retry: Option<Duration>,
}

impl EventBuilder {
    /// Sets the event type; `""` and `"message"` are the default type.
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.event_type = event_type.into();
        self
    }

    /// Sets the data. CR LF and CR become line feeds, as they would on the wire.
    pub fn data(mut self, data: impl Into<String>) -> Self {
        self.data = data.into();
        self
    }

    /// Sets the ID; `""` clears the client's last event ID.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the reconnection time, in whole milliseconds (what is finer is cut off).
    pub fn retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Validates and builds the event.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidEvent`]: a CR or LF in type or ID, a NUL in the ID (the standard makes
    /// clients ignore such an ID), more than 4 GiB of text.
    pub fn build(self) -> Result<Event, Error> {
        let invalid = |what: &str| Err(Error::new(ErrorKind::InvalidEvent, what.to_owned()));
        if self.event_type.contains(['\r', '\n']) {
            return invalid("an event type cannot hold a line break");
        }
        if self.id.as_deref().is_some_and(|id| id.contains(['\r', '\n', '\0'])) {
            return invalid("an event ID cannot hold a line break or NUL");
        }
        let mut text = match self.data.contains('\r') {
            true => self.data.replace("\r\n", "\n").replace('\r', "\n"),
            false => self.data,
        };
        let data = 0..text.len();
        if self.event_type != DEFAULT_EVENT_TYPE {
            text.push_str(&self.event_type);
        }
        let event_type = data.end..text.len();
        text.push_str(self.id.as_deref().unwrap_or_default());
        let id = event_type.end..text.len();
        if text.len() > MAX_TEXT {
            return invalid("an event cannot hold more than 4 GiB");
        }
        let id = if self.id.is_some() { Span::new(id) } else { Span::NONE };
        let retry = RetryTime::new(self.retry.map(|retry| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX)));
        Ok(Event::from_parts(&text, Span::new(data), Span::new(event_type), id, None, retry, 0))
    }
}
