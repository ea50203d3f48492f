//! [`EventBuilder`]: events that do not come from a server.

use std::time::Duration;

use crate::error::{Error, ErrorKind};

use super::values::{MAX_TEXT, RetryTime, Span};
use super::{DEFAULT_EVENT_TYPE, Event};

/// A builder of an [`Event`]. Every part is optional; [`build`](Self::build) validates all of them.
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct EventBuilder {
    event_type: String,
    data: String,
    id: Option<String>,
    last_event_id: Option<String>,
    retry: Option<Duration>,
}

impl EventBuilder {
    /// Sets the event type. Default: `"message"`; `""` means the same.
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.event_type = event_type.into();
        self
    }

    /// Sets the data. Default: empty. CR LF and CR become line feeds, as they do on the wire.
    pub fn data(mut self, data: impl Into<String>) -> Self {
        self.data = data.into();
        self
    }

    /// Sets the ID. Default: none. An empty ID clears the client's last event ID.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the last event ID that an event without an ID of its own has from the blocks before it,
    /// for tests of programs that read [`Event::last_event_id`]. Default: none. It is not written
    /// to the wire.
    pub fn last_event_id(mut self, id: impl Into<String>) -> Self {
        self.last_event_id = Some(id.into());
        self
    }

    /// Sets the reconnection time, rounded down to milliseconds. Default: none.
    pub fn retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Validates and builds the event.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidEvent`] if the type or the ID holds a CR or LF, if the ID holds a NUL
    /// (the standard makes clients ignore such an ID), or if the event has more than 4 GiB of text.
    pub fn build(self) -> Result<Event, Error> {
        let invalid = |what: &str| Err(Error::new(ErrorKind::InvalidEvent, what.to_owned()));
        if self.event_type.contains(['\r', '\n']) {
            return invalid("an event type cannot hold a line break: remove CR and LF");
        }
        // A decoder ignores an ID with NUL, and a line break would end the field (HTML, sections
        // 9.2.5 and 9.2.6).
        if self.id.as_deref().is_some_and(|id| id.contains(['\r', '\n', '\0'])) {
            return invalid("an event ID cannot hold a line break or NUL: remove CR, LF and NUL");
        }
        // A CR ends a line like LF, so it cannot come out of a decoder's data again (HTML, section
        // 9.2.5).
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
            return invalid("an event cannot hold more than 4 GiB of text");
        }
        let id = if self.id.is_some() { Span::new(id) } else { Span::NONE };
        let retry = RetryTime::new(self.retry.map(|retry| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX)));
        let inherited = self.last_event_id.filter(|_| id.some().is_none()).map(Into::into);
        Ok(Event::from_parts(&text, Span::new(data), Span::new(event_type), id, inherited, retry, 0))
    }
}

/// Builds the event.
impl TryFrom<EventBuilder> for Event {
    type Error = Error;

    /// See [`EventBuilder::build`].
    fn try_from(builder: EventBuilder) -> Result<Self, Error> {
        builder.build()
    }
}

/// Builds an event of this type with this data, and nothing else.
impl TryFrom<(&str, &str)> for Event {
    type Error = Error;

    /// See [`EventBuilder::build`].
    fn try_from((event_type, data): (&str, &str)) -> Result<Self, Error> {
        Self::builder().event_type(event_type).data(data).build()
    }
}
