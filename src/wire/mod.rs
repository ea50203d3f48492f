//! The event stream format (HTML standard, section 9.2.5 and 9.2.6), without IO.
//!
//! A [`Decoder`] is pushed chunks of bytes and pulled for [`Frame`]s; [`Event::encode`] is the way
//! back. Nothing here knows of HTTP, of a clock or of a runtime.
//!
//! [`Event::encode`]: crate::Event::encode

mod block;
mod block_reader;
mod buffer;
mod carried;
mod decoder;
mod dispatch;
mod field;
mod frame;
mod frames;
mod joined;
mod lines;
mod partial;
#[cfg(test)]
mod tests;
mod whole;

pub use self::decoder::{DEFAULT_MAX_EVENT_SIZE, Decoder};
pub use self::frame::{EventFrame, Frame, OversizedFrame};
pub use self::frames::Frames;
