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
use http::response::Parts;
use http_body::Body as _;
use httparse::{EMPTY_HEADER, Status, parse_headers};
use hyper::body::Incoming;

use crate::response::transfer_codings;

/// Maximum length of the line before a chunk: a size, and extensions, which servers do not use.
/// hyper's limit is for all lines of a body together, which may come to an end within a day.
const MAX_CHUNK_LINE: usize = 4 * 1024;

/// Maximum length of the trailers after the last chunk, which is hyper's.
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
    /// Trailer lines up to an empty one; the lines within this many bytes are complete.
    Trailers(usize),
    End,
}

impl Framing {
    /// Returns the framing of a response that hyper has accepted. hyper knows the length, if there
    /// is one, and whether there is a body at all.
    pub(super) fn of(head: &Parts, body: &Incoming) -> Self {
        // The last coding tells (RFC 9112, section 6.3, item 4). hyper takes `chunked,` for another
        // one, and would pass the lines between chunks on as data.
        let last = transfer_codings(&head.headers).last();
        match body.size_hint().exact() {
            Some(length) => Self::Length(length),
            None if last.is_some_and(|last| last.eq_ignore_ascii_case("chunked")) => Self::Chunked(ChunkState::Size),
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
            Self::Trailers(complete) => {
                let (end, is_over) = trailer_lines(bytes, complete)?;
                *self = if is_over { Self::End } else { Self::Trailers(end) };
                Ok(if is_over { ChunkStep::Skip(end) } else { ChunkStep::Wait })
            }
            Self::End => Ok(ChunkStep::Wait),
        }
    }

    /// Moves on by the line before a chunk, which is read as hyper does.
    #[inline]
    fn advance_by_size(&mut self, bytes: &[u8]) -> io::Result<ChunkStep> {
        let mut size: u64 = 0;
        let mut digits = 0;
        while let Some(digit) = bytes.get(digits).and_then(|&byte| char::from(byte).to_digit(16)) {
            let larger = size.checked_mul(16).ok_or_else(|| invalid("a chunk of more than 16 EiB"))?;
            size = larger + u64::from(digit);
            digits += 1;
        }
        let length = match &bytes[digits..] {
            [b'\r', b'\n', ..] if digits > 0 => Some(digits),
            [_, ..] if digits == 0 => return Err(invalid("a chunk without a size")),
            rest => extension_length(rest)?.map(|length| digits + length),
        };
        match length {
            Some(length) if length < MAX_CHUNK_LINE => {
                *self = if size == 0 { Self::Trailers(0) } else { Self::Data(size) };
                Ok(ChunkStep::Skip(length + LINE_END))
            }
            None if bytes.len() < MAX_CHUNK_LINE => Ok(ChunkStep::Wait),
            _ => Err(invalid("the line before a chunk is longer than 4 KiB")),
        }
    }
}

/// Returns the length of what follows the size of a chunk, up to the line end; `None` if that has
/// not come.
fn extension_length(bytes: &[u8]) -> io::Result<Option<usize>> {
    let length = memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
    let (extension, line_end) = bytes.split_at(length);
    match extension.iter().find(|byte| !matches!(byte, b' ' | b'\t')) {
        None | Some(b';') => {}
        Some(_) => return Err(invalid("a chunk without a size")),
    }
    match line_end {
        [] | [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => Ok(Some(length)),
        // Some parsers take a lone LF for the end of the line, so where the chunk begins is
        // ambiguous.
        _ => Err(invalid("a CR or LF in the extensions of a chunk")),
    }
}

/// Returns up to where the trailers consist of whole lines, of which the first `complete` bytes are
/// known, and whether the last of these lines is empty.
fn trailer_lines(bytes: &[u8], complete: usize) -> io::Result<(usize, bool)> {
    let mut start = complete;
    while let Some(length) = memchr::memchr(b'\r', &bytes[start..]) {
        let end = start + length + LINE_END;
        match bytes.get(end - 1) {
            Some(b'\n') if length == 0 => return check_trailers(&bytes[..end]).map(|()| (end, true)),
            Some(b'\n') => start = end,
            Some(_) => return Err(invalid("the bytes after the last chunk are not lines")),
            None => break,
        }
    }
    if bytes.len() < MAX_TRAILERS { Ok((start, false)) } else { Err(invalid("more than 16 KiB after the last chunk")) }
}

/// Checks trailers, which are skipped, as hyper does. It tells them from garbage, and from another
/// response.
fn check_trailers(trailers: &[u8]) -> io::Result<()> {
    let lines = memchr::memchr_iter(b'\r', trailers).count() - 1;
    match parse_headers(trailers, &mut vec![EMPTY_HEADER; lines]) {
        Ok(Status::Complete(_)) if trailers.len() < MAX_TRAILERS => Ok(()),
        _ => Err(invalid("the bytes after the last chunk are not a field")),
    }
}

/// Returns the error for bytes that are not valid chunks.
fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests;
