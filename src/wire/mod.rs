//! The event stream format (HTML standard, sections 9.2.5 and 9.2.6), without IO.
//!
//! [`Decoder::push`] takes chunks of bytes, and [`Decoder::frames`] gives the [`Frame`]s in them.
//! [`Event::encode`] is the way back. This module knows no HTTP, no clock and no runtime.
//!
//! [`Event::encode`]: crate::Event::encode
// The life of a chunk:
//
// decoder        takes it: skips a byte order mark, and the LF of a CR LF that the last chunk began
// frames         reads it, and validates its text ahead
// lines          finds where the lines end, 64 bytes at a time
// block_reader   picks one of two paths for each block:
// whole            the fast one, for a block that is there from its first line to its blank line
// assembler        the general one, for all others, which copies what it reads
// data_buffer      the data that the assembler has so far
// field          splits a line into its field and value, for both paths
// dispatch       makes a frame of a finished block, and commits its ID
// end_mark       is an event that ends a stream, for those above who know of one
// last_event_id  keeps that ID for the blocks after it
// frame          is what the caller borrows, until it asks for the next one

mod assembler;
mod block_reader;
mod data_buffer;
mod decoder;
mod dispatch;
mod end_mark;
mod field;
mod frame;
mod frames;
mod last_event_id;
mod lines;
#[cfg(test)]
mod tests;
mod whole;

pub use self::decoder::{DEFAULT_MAX_EVENT_SIZE, Decoder};
pub(crate) use self::end_mark::EndMark;
pub use self::frame::{EventFrame, Frame, OversizedFrame};
pub use self::frames::Frames;

/// The capacity above which a buffer is given back after the event that needed it.
const MAX_RETAINED: usize = 128 * 1024;
