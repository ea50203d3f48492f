//! [`Framing`]: which bytes after a response head are its body (RFC 9112, section 6.3).
//!
//! A chunked body passes through these states:
//!
//! ```text
//! Size ── Data ── DataEnd ─┐
//!  │ └─────────────────────┘
//!  └─ Trailers ── End              after a chunk of size zero
//! ```
//!
//! Bytes that are not valid chunks are an error, never guessed at. Only a head that hyper accepted
//! gets here.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::TRANSFER_ENCODING;
use http::response::Parts;
use http_body::Body as _;
use httparse::{Status, parse_chunk_size};
use hyper::body::Incoming;

/// Maximum length of the line before a chunk: a size of at most 16 digits, and extensions, which
/// servers do not use.
const MAX_CHUNK_LINE: usize = 4 * 1024;

/// Maximum length of the trailers after the last chunk.
const MAX_TRAILERS: usize = 16 * 1024;

const LINE_END: usize = 2;

/// How the body is delimited, and how much of it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Chunked(ChunkState),
    /// Number of bytes still to come.
    Length(u64),
    /// The body ends with the connection.
    Close,
}

/// What comes next in a chunked body (RFC 9112, section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChunkState {
    Size,
    /// This many bytes of a chunk.
    Data(u64),
    /// The line end after a chunk's data.
    DataEnd,
    /// Trailer lines up to an empty one; this many bytes of them have come.
    Trailers(usize),
    End,
}

impl Framing {
    /// Returns the framing of a response that hyper has accepted. hyper knows the length, if there
    /// is one, and whether there is a body at all.
    pub(super) fn of(head: &Parts, body: &Incoming) -> Self {
        let coding = head.headers.get_all(TRANSFER_ENCODING).iter().next_back();
        // `chunked` is always applied last (RFC 9112, section 6.1); hyper checks the rest.
        let last = coding.and_then(|coding| coding.as_bytes().rsplit(|&byte| byte == b',').next());
        match body.size_hint().exact() {
            Some(length) => Self::Length(length),
            None if last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked")) => {
                Self::Chunked(ChunkState::Size)
            }
            None => Self::Close,
        }
    }

    /// Takes all data of the body out of the buffer. It is empty if more bytes have to come, or the
    /// body is complete.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the bytes are not valid chunks.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> io::Result<Bytes> {
        match self {
            Self::Chunked(state) => take_chunks(state, buffer),
            Self::Length(left) => {
                // A 32-bit machine cannot hold every length that a server may announce.
                let count = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= count as u64;
                Ok(buffer.split_to(count).freeze())
            }
            // Without a length the end of the connection ends the body (RFC 9112, section 6.3, item
            // 8).
            Self::Close => Ok(buffer.split().freeze()),
        }
    }

    /// Returns true if all data was taken, and no more belongs to the body.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(ChunkState::End))
    }

    /// Returns the error for a connection that ends here, if the body is not complete.
    pub(super) fn cut_off_error(&self) -> Option<io::Error> {
        // A body of known framing that ends early is incomplete (RFC 9112, section 8), and may have
        // lost an event.
        let rest = match self {
            Self::Close | Self::Length(0) | Self::Chunked(ChunkState::End) => return None,
            Self::Length(left) => format!("{left} bytes before the announced length"),
            Self::Chunked(_) => "without a last chunk".to_owned(),
        };
        Some(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the server closed the connection {rest}")))
    }
}

/// Takes the data of all chunks in `buffer`, moved together within it. Data before an error is
/// returned first; the error comes with the next call.
fn take_chunks(state: &mut ChunkState, buffer: &mut BytesMut) -> io::Result<Bytes> {
    let mut read = 0;
    let mut data = 0..0;
    loop {
        // Chunks that came together become one piece, since callers work per piece.
        match state.advance(&buffer[read..]) {
            Ok(ChunkStep::Skip(count)) => read += count,
            Ok(ChunkStep::Data(count)) => {
                if data.is_empty() {
                    // The first chunk stays where it is.
                    data = read..read;
                } else {
                    buffer.copy_within(read..read + count, data.end);
                }
                data.end += count;
                read += count;
            }
            Ok(ChunkStep::Wait) => break,
            Err(error) if data.is_empty() => return Err(error),
            // The state has not moved, so the next call meets the same error.
            Err(_) => break,
        }
    }
    let mut taken = buffer.split_to(read);
    taken.truncate(data.end);
    taken.advance(data.start);
    Ok(taken.freeze())
}

/// What the next bytes of a chunked body are.
enum ChunkStep {
    Data(usize),
    /// Framing, not data.
    Skip(usize),
    /// More bytes have to come, or the body is over.
    Wait,
}

impl ChunkState {
    /// Moves on by the first line or piece of data in `bytes`.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the bytes are not what must come here. The state does not change then.
    #[inline]
    fn advance(&mut self, bytes: &[u8]) -> io::Result<ChunkStep> {
        match *self {
            Self::Size => self.advance_by_size(bytes),
            // An empty piece of data would look like progress to the caller.
            Self::Data(_) if bytes.is_empty() => Ok(ChunkStep::Wait),
            Self::Data(left) => {
                let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - count as u64;
                *self = if left == 0 { Self::DataEnd } else { Self::Data(left) };
                Ok(ChunkStep::Data(count))
            }
            Self::DataEnd => match bytes {
                // CRLF and nothing else (RFC 9112, section 7.1). Programs that take a lone LF here
                // see other chunks than a proxy in between does.
                [b'\r', b'\n', ..] => {
                    *self = Self::Size;
                    Ok(ChunkStep::Skip(LINE_END))
                }
                [] | [b'\r'] => Ok(ChunkStep::Wait),
                _ => Err(invalid("a chunk is longer than its size")),
            },
            Self::Trailers(before) => {
                let line_end = memchr::memchr(b'\n', bytes).map(|end| end + 1);
                if before + line_end.unwrap_or(bytes.len()) > MAX_TRAILERS {
                    return Err(invalid("more than 16 KiB after the last chunk"));
                }
                let Some(length) = line_end else { return Ok(ChunkStep::Wait) };
                *self = match &bytes[..length] {
                    b"\r\n" => Self::End,
                    // Enough to tell a field from the next response or garbage: trailers are
                    // skipped, not parsed.
                    field if field.contains(&b':') && field.ends_with(b"\r\n") => Self::Trailers(before + length),
                    _ => return Err(invalid("the bytes after the last chunk are not a field")),
                };
                Ok(ChunkStep::Skip(length))
            }
            Self::End => Ok(ChunkStep::Wait),
        }
    }

    /// Moves on by the line before a chunk.
    fn advance_by_size(&mut self, bytes: &[u8]) -> io::Result<ChunkStep> {
        // httparse accepts a line without a digit as zero.
        if bytes.first().is_some_and(|first| !first.is_ascii_hexdigit()) {
            return Err(invalid("a chunk without a size"));
        }
        match parse_chunk_size(bytes) {
            // Some parsers take a lone LF in an extension for the end of the line, so where the
            // chunk begins is ambiguous.
            Ok(Status::Complete((length, _))) if bytes[..length - LINE_END].contains(&b'\n') => {
                Err(invalid("a line feed in the extensions of a chunk"))
            }
            Ok(Status::Complete((length, size))) if length <= MAX_CHUNK_LINE => {
                *self = if size == 0 { Self::Trailers(0) } else { Self::Data(size) };
                Ok(ChunkStep::Skip(length))
            }
            Ok(Status::Partial) if bytes.len() < MAX_CHUNK_LINE => Ok(ChunkStep::Wait),
            Ok(_) => Err(invalid("the extensions of a chunk are longer than 4 KiB")),
            Err(_) => Err(invalid("a chunk without a size")),
        }
    }
}

/// Returns the error for bytes that are not valid chunks.
fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests;
