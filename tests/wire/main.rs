//! The event stream format: the decoder and the encoder against vectors, properties and an
//! allocator that counts.

mod conformance;
mod large;
mod memory;
mod oversized;
mod properties;
mod runs;
mod unfinished;
mod vectors;
