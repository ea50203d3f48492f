//! A response of any HTTP client: its head, the verdict about it, and the bytes of its body.
//!
//! Needs no runtime, so that [`EventStream`](crate::EventStream) can read a response that the
//! caller has in hand. `transport` builds on it.
//!
//! [`judge`] says whether a response is an event stream; `coding/` removes its content coding. To
//! add a coding, see `coding/codecs.rs`.

mod coding;
mod head;
mod raw;
#[cfg(feature = "client")]
pub(crate) mod silence;
mod verdict;

pub(crate) use self::coding::{Decoding, take_coding};
#[cfg(feature = "client")]
pub(crate) use self::coding::{accept_encoding, transfer_codings};
pub use self::head::ResponseHead;
pub(crate) use self::raw::{BoxError, ERROR_BODY_TIMEOUT, MAX_ERROR_BODY, poll_bytes};
pub(crate) use self::verdict::{ResponseVerdict, judge, refusal};
