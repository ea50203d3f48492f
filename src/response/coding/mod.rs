//! [`Decoding`]: removes the content coding of a body, one bounded piece at a time (RFC 9110,
//! section 8.4).
//!
//! A piece is what can be decoded of the bytes received so far, at most 16 KiB; the rest stays
//! encoded until the next poll. So a flushed event is decoded as soon as its bytes are here, and a
//! few bytes that stand for gigabytes cost neither memory nor more than one piece's time at once.
//!
//! To add a coding, see `codecs.rs`.

mod codecs;

use std::io;
use std::str::from_utf8;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
#[cfg(feature = "client")]
use http::header::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, TRANSFER_ENCODING};

use crate::error::{Error, ErrorKind};

use self::codecs::{CodecError, DecodeStep, Decompressor, decompressor};

/// Maximum number of bytes decoded at once: as much as hyper reads at once from a busy connection.
const MAX_PIECE: usize = 16 * 1024;

/// The decoder of one body.
pub(crate) struct Decoding {
    codec: Box<dyn Decompressor>,
    name: &'static str,
    /// Bytes received and not decoded yet.
    input: Bytes,
    /// The buffer into which pieces are decoded.
    piece: Box<[u8]>,
    /// The last piece was full: the codec may hold more of what it has read.
    is_full: bool,
    /// The body may end here: it is empty, or the coding is complete.
    may_end: bool,
    /// A failure that is reported after the data decoded before it.
    failure: Option<Error>,
}

impl Decoding {
    /// Returns the decoder for a coding, if this build has it. An empty body is valid: some proxies
    /// label one with a coding.
    fn new(coding: &str) -> Option<Self> {
        let (name, codec) = decompressor(coding)?;
        let piece = vec![0; MAX_PIECE].into_boxed_slice();
        Some(Self { codec, name, input: Bytes::new(), piece, is_full: false, may_end: true, failure: None })
    }

    /// Polls for the next decoded bytes of the body that `source` reads. They are empty if the
    /// bytes received so far decode to nothing. `source` is polled only when everything received
    /// before is decoded.
    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        source: impl FnOnce(&mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        if self.input.is_empty() && !self.is_full && self.failure.is_none() {
            match ready!(source(cx)) {
                Some(Ok(chunk)) => self.input = chunk,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None if self.may_end => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(self.cut_off()))),
            }
        }
        Poll::Ready(Some(self.next_piece()))
    }

    /// Decodes until the piece is full or the input is used up. A failure waits until the data
    /// before it has been returned.
    fn next_piece(&mut self) -> Result<Bytes, Error> {
        let mut filled = 0;
        while self.failure.is_none() {
            let DecodeStep { read, written, outcome } = self.codec.decode(&self.input, &mut self.piece[filled..]);
            self.input.advance(read.min(self.input.len()));
            filled += written;
            self.is_full = filled == self.piece.len();
            match outcome {
                // A step without progress says nothing new about where the body may end.
                Ok(may_end) => self.may_end = may_end || (self.may_end && read + written == 0),
                Err(cause) => self.failure = Some(self.corrupt(cause)),
            }
            if self.is_full || self.input.is_empty() {
                break;
            }
            // With input and room left a codec must move on, or this loop would not end.
            if read + written == 0 && self.failure.is_none() {
                self.failure = Some(self.corrupt("the decoder made no progress on its input".into()));
            }
        }
        // What came before the damage is still delivered. The failure comes with the next call.
        match self.failure.take_if(|_| filled == 0) {
            Some(failure) => Err(failure),
            None => Ok(Bytes::copy_from_slice(&self.piece[..filled])),
        }
    }

    /// Returns the error for bytes that are not in the coding.
    fn corrupt(&self, cause: CodecError) -> Error {
        Error::with_source(ErrorKind::Body, format!("the body cannot be decoded: it is not valid {}", self.name), cause)
    }

    /// Returns the error for a body that ends before its coding does.
    fn cut_off(&self) -> Error {
        let cause = io::Error::from(io::ErrorKind::UnexpectedEof);
        Error::with_source(ErrorKind::Body, format!("the body was cut off in the middle of its {}", self.name), cause)
    }
}

/// Returns the value of `Accept-Encoding`: the codings that this build decodes, if any.
#[cfg(feature = "client")]
pub(crate) fn accept_encoding() -> Option<HeaderValue> {
    if codecs::CODINGS.is_empty() { None } else { HeaderValue::from_str(&codecs::CODINGS.join(", ")).ok() }
}

/// Returns the decoder of a body with these headers, if the body has exactly one coding and this
/// build decodes it. Then the coding and the length of the encoded body leave the headers.
pub(crate) fn take_coding(headers: &mut HeaderMap) -> Option<Box<Decoding>> {
    let decoding = {
        let mut codings = content_codings(headers);
        // Several codings in a row do not occur in practice; the verdict refuses them.
        let only = codings.next().filter(|_| codings.next().is_none())?;
        Decoding::new(only)?
    };
    // Both describe the encoded body, which callers do not see.
    headers.remove(CONTENT_ENCODING);
    headers.remove(CONTENT_LENGTH);
    Some(Box::new(decoding))
}

/// Returns the content codings of a body, as far as they exist (the IANA registry of RFC 9110,
/// section 8.4.1). Other values (`none`, `utf-8`, `binary`) change nothing: browsers ignore them,
/// too.
pub(super) fn content_codings(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    const REGISTERED: &[&str] = &[
        "aes128gcm",
        "br",
        "compress",
        "dcb",
        "dcz",
        "deflate",
        "exi",
        "gzip",
        "pack200-gzip",
        "x-compress",
        "x-gzip",
        "zstd",
    ];
    listed(headers, CONTENT_ENCODING).filter(|coding| REGISTERED.iter().any(|known| coding.eq_ignore_ascii_case(known)))
}

/// Returns the transfer codings of a response, in the order in which they were applied, without
/// `identity`, which is from before RFC 7230. The framing of the body and the verdict follow from
/// this one list.
pub(crate) fn transfer_codings(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    listed(headers, TRANSFER_ENCODING).filter(|coding| !coding.eq_ignore_ascii_case("identity"))
}

/// Returns the elements of the lists in the headers of this name (RFC 9110, section 5.6.1). Empty
/// ones mean nothing. One that is no text becomes `?`.
fn listed(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).iter();
    let elements = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    elements.map(|element| from_utf8(element.trim_ascii()).unwrap_or("?")).filter(|element| !element.is_empty())
}

#[cfg(all(test, any(feature = "gzip", feature = "brotli", feature = "zstd")))]
mod tests;
