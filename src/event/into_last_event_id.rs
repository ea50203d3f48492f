//! [`IntoLastEventId`]: what callers have when they set a last event ID.

use std::borrow::Cow;
use std::sync::Arc;

/// A last event ID as callers have it: owned or borrowed, or an `Option` of that.
///
/// Public in a private module, so that only this crate implements it.
#[expect(unnameable_types, reason = "no more than a list of argument types")]
pub trait IntoLastEventId {
    /// Returns the ID; the empty one if there is none.
    fn into_last_event_id(self) -> String;
}

impl<T: AsRef<str> + ?Sized> IntoLastEventId for &T {
    fn into_last_event_id(self) -> String {
        self.as_ref().to_owned()
    }
}

impl<T: AsRef<str>> IntoLastEventId for Option<T> {
    fn into_last_event_id(self) -> String {
        self.as_ref().map_or("", AsRef::as_ref).to_owned()
    }
}

impl IntoLastEventId for String {
    fn into_last_event_id(self) -> String {
        self
    }
}

impl IntoLastEventId for Cow<'_, str> {
    fn into_last_event_id(self) -> String {
        self.into_owned()
    }
}

impl IntoLastEventId for Box<str> {
    fn into_last_event_id(self) -> String {
        self.into()
    }
}

impl IntoLastEventId for Arc<str> {
    fn into_last_event_id(self) -> String {
        (*self).to_owned()
    }
}
