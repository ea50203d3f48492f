//! The event stream format.

mod assembler;
mod block_reader;
mod decoder;
mod dispatch;
mod field;
mod frame;
mod frames;
mod joined;
mod last_event_id;
mod lines;
#[cfg(test)]
mod tests;
mod whole;

pub use self::decoder::{DEFAULT_MAX_EVENT_SIZE, Decoder};
pub use self::frame::{EventFrame, Frame, OversizedFrame};
pub use self::frames::Frames;

/// Buffers that have grown larger than this are given back after the event that needed them.
const MAX_RETAINED: usize = 128 * 1024;
