//! [`Decoded`]: an event, and what its data stands for.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::event::Event;
use crate::subscription::item::Item;

/// An event whose data has been decoded as JSON, or why it could not be: see
/// [`Handle::subscribe_as`](crate::Handle::subscribe_as).
///
/// An event that cannot be decoded is an item like any other, never the end of the stream.
pub struct Decoded<T> {
    event: Event,
    value: Result<Arc<T>, Error>,
}

impl<T> Decoded<T> {
    /// The event as it came.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// What it stands for.
    ///
    /// # Errors
    ///
    /// As [`Event::json`].
    pub fn value(&self) -> Result<&T, &Error> {
        self.value.as_deref()
    }

    /// What it stands for, to be kept: all subscriptions that decode the event as this type have the same.
    ///
    /// # Errors
    ///
    /// As [`Event::json`].
    pub fn into_value(self) -> Result<Arc<T>, Error> {
        self.value
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Item for Decoded<T> {
    fn of(event: Event) -> Self {
        Self { value: event.json(), event }
    }
}

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
