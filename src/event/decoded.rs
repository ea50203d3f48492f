//! [`Decoded`]: an event with the value of its data.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{Event, Item};
use crate::error::Error;

/// An event with the value that its data decodes to, or the error.
///
/// [`Handle::subscribe_as`](crate::Handle::subscribe_as) and
/// [`EventStream::decode_as`](crate::EventStream::decode_as) yield it. An event that cannot be
/// decoded is an item too; it never ends the stream.
pub struct Decoded<T> {
    event: Event,
    value: Result<Arc<T>, Error>,
}

impl<T> Decoded<T> {
    /// Returns the event as it came.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Returns the decoded value.
    ///
    /// # Errors
    ///
    /// Those of [`Event::json`].
    pub fn value(&self) -> Result<&T, &Error> {
        self.value.as_deref()
    }

    /// Returns the decoded value, to keep it.
    ///
    /// All subscriptions that decode the event as this type share the value.
    ///
    /// # Errors
    ///
    /// Those of [`Event::json`].
    pub fn into_value(self) -> Result<Arc<T>, Error> {
        self.value
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Decoded<T> {
    /// Decodes the data of an event as JSON, for tests of programs that take decoded events.
    pub fn new(event: Event) -> Self {
        Self { value: event.json(), event }
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Item for Decoded<T> {
    fn from_event(event: Event) -> Self {
        Self::new(event)
    }
}

// Not derived: `T` need not be `Clone`.
impl<T> Clone for Decoded<T> {
    fn clone(&self) -> Self {
        Self { event: self.event.clone(), value: self.value.clone() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Decoded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoded").field("event", &self.event).field("value", &self.value).finish()
    }
}
