//! [`Item`]: what a subscription makes of an event.

use crate::event::Event;

/// Made of each event that is taken. Public in a private module: this crate's types only.
#[expect(unnameable_types, reason = "what may be taken out of a queue is this crate's to say")]
pub trait Item: Sized {
    fn of(event: Event) -> Self;
}

impl Item for Event {
    #[inline]
    fn of(event: Self) -> Self {
        event
    }
}
