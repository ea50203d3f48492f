//! [`Decoding`]: takes the content coding off a body, one bounded piece at a time (RFC 9110, section 8.4).
//!
//! A piece is all that can be decoded of what has come, up to 16 KiB; the rest stays encoded until it is asked for. So a
//! flushed event is there as soon as its bytes are, and a few bytes that stand for gigabytes cost neither memory nor
//! more than one piece's time at once.

#[cfg(feature = "brotli")]
mod brotli;
#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "zstd")]
mod zstd;

use std::error::Error as StdError;
use std::io;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use tokio::task::coop;

use crate::error::{Error, ErrorKind};

/// What servers are asked for: the codings that this build decodes.
const CODINGS: &[&str] = &[
    #[cfg(feature = "gzip")]
    "gzip",
    #[cfg(feature = "brotli")]
    "br",
    #[cfg(feature = "zstd")]
    "zstd",
];

/// The most bytes that are decoded at once: what hyper reads at once from a busy connection.
const PIECE: usize = 16 * 1024;

type Cause = Box<dyn StdError + Send + Sync>;

/// A decompressor: bytes in, bytes out, no more of either than it is given.
trait Codec: Send + Sync {
    /// Decodes from `input` into `output` until one of them is used up. What it has read and written holds also if it
    /// has failed.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step;
}

struct Step {
    read: usize,
    written: usize,
    /// Whether the body may end here.
    outcome: Result<bool, Cause>,
}

/// The decoder of one body.
pub(crate) struct Decoding {
    codec: Box<dyn Codec>,
    name: &'static str,
    /// What has come and is not decoded yet.
    input: Bytes,
    /// Where pieces are decoded.
    piece: Box<[u8]>,
    /// The last piece was full: the codec may have more of what it has read.
    is_full: bool,
    /// The body may end here: it is empty, or the coding is complete.
    may_end: bool,
    /// Comes after what was decoded before it.
    failure: Option<Error>,
}

impl Decoding {
    fn new(coding: &str) -> Option<Self> {
        let (name, codec) = codec(coding)?;
        let piece = vec![0; PIECE].into_boxed_slice();
        Some(Self { codec, name, input: Bytes::new(), piece, is_full: false, may_end: true, failure: None })
    }

    /// The next bytes of a body that is encoded in what `source` has; none if what has come decodes to nothing.
    /// Asks `source` only when all that it had before is decoded.
    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        source: impl FnOnce(&mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        // What asks no socket has to give way to others by itself.
        let budget = std::task::ready!(coop::poll_proceed(cx));
        if self.input.is_empty() && !self.is_full && self.failure.is_none() {
            match std::task::ready!(source(cx)) {
                Some(Ok(chunk)) => self.input = chunk,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None if self.may_end => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(self.cut_off()))),
            }
        }
        budget.made_progress();
        Poll::Ready(Some(self.next_piece()))
    }

    fn next_piece(&mut self) -> Result<Bytes, Error> {
        let mut filled = 0;
        while self.failure.is_none() {
            let Step { read, written, outcome } = self.codec.step(&self.input, &mut self.piece[filled..]);
            self.input.advance(read.min(self.input.len()));
            filled += written;
            self.is_full = filled == self.piece.len();
            match outcome {
                Ok(may_end) => self.may_end = may_end || (self.may_end && read + written == 0),
                Err(cause) => self.failure = Some(self.corrupt(cause)),
            }
            if self.is_full || self.input.is_empty() {
                break;
            }
            if read + written == 0 && self.failure.is_none() {
                self.failure = Some(self.corrupt("the decoder is stuck".into()));
            }
        }
        match self.failure.take_if(|_| filled == 0) {
            Some(failure) => Err(failure),
            None => Ok(Bytes::copy_from_slice(&self.piece[..filled])),
        }
    }

    fn corrupt(&self, cause: Cause) -> Error {
        Error::with_source(ErrorKind::Body, format!("the body cannot be decoded: it is no {}", self.name), cause)
    }

    fn cut_off(&self) -> Error {
        let cause = io::Error::from(io::ErrorKind::UnexpectedEof);
        Error::with_source(ErrorKind::Body, format!("the body was cut off in the middle of its {}", self.name), cause)
    }
}

/// What to ask servers for, if anything.
pub(super) fn accepted() -> Option<HeaderValue> {
    if CODINGS.is_empty() { None } else { HeaderValue::from_str(&CODINGS.join(", ")).ok() }
}

/// The decoder of a body whose head this is, if it has one coding, which this build decodes. Then the head does not
/// speak of it any more, nor of the length that the body had.
pub(crate) fn take(headers: &mut HeaderMap) -> Option<Box<Decoding>> {
    let decoding = {
        let mut codings = codings(headers);
        let only = codings.next().filter(|_| codings.next().is_none())?;
        Decoding::new(only)?
    };
    headers.remove(CONTENT_ENCODING);
    headers.remove(CONTENT_LENGTH);
    Some(Box::new(decoding))
}

/// The codings of a body, in the order in which they were applied. One that no header should hold is there as `?`.
pub(super) fn codings(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    of(headers, CONTENT_ENCODING)
}

/// The same, of those that this header lists.
pub(super) fn of(headers: &HeaderMap, list: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(list).iter();
    let codings = values.flat_map(|value| value.to_str().unwrap_or("?").split(',').map(str::trim));
    codings.filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
}

/// The decompressor for a coding, and its proper name.
fn codec(coding: &str) -> Option<(&'static str, Box<dyn Codec>)> {
    match coding.to_ascii_lowercase().as_str() {
        // The same, by a name from before it was registered (RFC 9110, section 8.4.1.3).
        #[cfg(feature = "gzip")]
        "gzip" | "x-gzip" => Some(("gzip", Box::new(gzip::Gzip::new()))),
        #[cfg(feature = "brotli")]
        "br" => Some(("brotli", Box::new(brotli::Brotli::new()))),
        #[cfg(feature = "zstd")]
        "zstd" => Some(("zstd", Box::new(zstd::Zstd::new().ok()?))),
        _ => None,
    }
}

#[cfg(all(test, any(feature = "gzip", feature = "brotli", feature = "zstd")))]
mod tests;
