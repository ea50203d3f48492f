//! [`TranscriptItem`]: what a transcript yields.

use std::sync::Arc;

use crate::event::{Event, Gap};
use crate::state::State;

/// One entry of a transcript: everything that happens to a stream, in order.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TranscriptItem {
    /// An event of any type.
    Event(Event),
    /// A comment: the text after the colon, unchanged.
    Comment(Arc<str>),
    /// A place where events may be missing.
    Gap(Gap),
    /// The connection has changed its state to this.
    State(State),
}
