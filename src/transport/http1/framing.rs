//! [`Framing`]: which bytes of a connection are the body (RFC 9112, section 6.3).

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::TRANSFER_ENCODING;
use http::response::Parts;
use http_body::Body as _;
use httparse::{Status, parse_chunk_size};
use hyper::body::Incoming;

/// What the line before a chunk may have: a size of at most 16 digits, and extensions, which nobody uses.
const MOST_BEFORE_A_CHUNK: usize = 4 * 1024;
const LINE_END: usize = 2;
/// What may follow the last chunk: fields that nobody asked for.
const MOST_TRAILERS: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Chunked(Part),
    /// So many bytes are still to come.
    Length(u64),
    /// All that comes.
    Close,
}

/// What comes next in a chunked body (RFC 9112, section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Size,
    /// So much of a chunk.
    Data(u64),
    /// The line end after a chunk's data.
    DataEnd,
    /// Lines up to an empty one. So much has come of them.
    Trailers(usize),
    End,
}

/// What a buffer begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Data(Bytes),
    /// No data, until more comes.
    Nothing,
    End,
}

impl Framing {
    /// Of a response that hyper has accepted: it knows the length, if there is one, or that there is no body.
    pub(super) fn of(head: &Parts, body: &Incoming) -> Self {
        let coding = head.headers.get_all(TRANSFER_ENCODING).iter().next_back();
        let last = coding.and_then(|coding| coding.as_bytes().rsplit(|&byte| byte == b',').next());
        match body.size_hint().exact() {
            Some(length) => Self::Length(length),
            None if last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked")) => {
                Self::Chunked(Part::Size)
            }
            None => Self::Close,
        }
    }

    /// Takes what can be told out of the buffer.
    ///
    /// # Errors
    ///
    /// These are no chunks.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> io::Result<Taken> {
        let data = match self {
            Self::Chunked(Part::End) | Self::Length(0) => return Ok(Taken::End),
            Self::Chunked(part) => take_chunks(part, buffer)?,
            Self::Length(left) => {
                let count = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= count as u64;
                buffer.split_to(count).freeze()
            }
            Self::Close => buffer.split().freeze(),
        };
        match self {
            _ if !data.is_empty() => Ok(Taken::Data(data)),
            Self::Chunked(Part::End) => Ok(Taken::End),
            _ => Ok(Taken::Nothing),
        }
    }

    /// Nothing comes any more: what is wrong with that, if it is.
    pub(super) fn cut_off(&self) -> Option<io::Error> {
        let rest = match self {
            Self::Close | Self::Length(0) | Self::Chunked(Part::End) => return None,
            Self::Length(left) => format!("{left} bytes before the length that it had promised"),
            Self::Chunked(_) => "without a last chunk".to_owned(),
        };
        Some(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the server closed the connection {rest}")))
    }
}

/// All the data of the chunks in `buffer`, moved together within it. What comes before an error is handed out first.
fn take_chunks(part: &mut Part, buffer: &mut BytesMut) -> io::Result<Bytes> {
    let mut read = 0;
    let mut data = 0..0;
    loop {
        match part.advance(&buffer[read..]) {
            Ok(Step::Over(count)) => read += count,
            Ok(Step::Data(count)) => {
                if data.is_empty() {
                    // The first needs not be moved.
                    data = read..read;
                } else {
                    buffer.copy_within(read..read + count, data.end);
                }
                data.end += count;
                read += count;
            }
            Ok(Step::Wait) => break,
            Err(error) if data.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    let mut taken = buffer.split_to(read);
    taken.truncate(data.end);
    taken.advance(data.start);
    Ok(taken.freeze())
}

/// What to do with the next bytes.
enum Step {
    Data(usize),
    /// They are none of the body.
    Over(usize),
    /// They are too few to tell, or none are needed.
    Wait,
}

impl Part {
    /// # Errors
    ///
    /// This is not what has to come here. It stays so.
    #[inline]
    fn advance(&mut self, bytes: &[u8]) -> io::Result<Step> {
        match *self {
            Self::Size => {
                let Some((length, size)) = chunk_size(bytes)? else { return Ok(Step::Wait) };
                *self = if size == 0 { Self::Trailers(0) } else { Self::Data(size) };
                Ok(Step::Over(length))
            }
            Self::Data(_) if bytes.is_empty() => Ok(Step::Wait),
            Self::Data(left) => {
                let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - count as u64;
                *self = if left == 0 { Self::DataEnd } else { Self::Data(left) };
                Ok(Step::Data(count))
            }
            Self::DataEnd => match bytes {
                [b'\r', b'\n', ..] => {
                    *self = Self::Size;
                    Ok(Step::Over(LINE_END))
                }
                [] | [b'\r'] => Ok(Step::Wait),
                _ => Err(invalid("a chunk is longer than its size")),
            },
            Self::Trailers(before) => {
                let Some(length) = line(bytes, MOST_TRAILERS - before)? else { return Ok(Step::Wait) };
                *self = match &bytes[..length] {
                    b"\r\n" => Self::End,
                    field if field.contains(&b':') && field.ends_with(b"\r\n") => Self::Trailers(before + length),
                    _ => return Err(invalid("what follows the last chunk is no field")),
                };
                Ok(Step::Over(length))
            }
            Self::End => Ok(Step::Wait),
        }
    }
}

/// The length of the line that says how large a chunk is, and what it says.
fn chunk_size(bytes: &[u8]) -> io::Result<Option<(usize, u64)>> {
    // httparse takes a line without a digit for a zero.
    if bytes.first().is_some_and(|first| !first.is_ascii_hexdigit()) {
        return Err(invalid("a chunk without a size"));
    }
    match parse_chunk_size(bytes) {
        // Some take a lone LF in an extension for the line's end: there is no telling where the chunk begins.
        Ok(Status::Complete((length, _))) if bytes[..length - LINE_END].contains(&b'\n') => {
            Err(invalid("a line feed in the extensions of a chunk"))
        }
        Ok(Status::Complete((length, size))) if length <= MOST_BEFORE_A_CHUNK => Ok(Some((length, size))),
        Ok(Status::Partial) if bytes.len() < MOST_BEFORE_A_CHUNK => Ok(None),
        Ok(_) => Err(invalid("the extensions of a chunk are longer than 4 KiB")),
        Err(_) => Err(invalid("a chunk without a size")),
    }
}

/// The length of the line that this begins with, if it is all there.
fn line(bytes: &[u8], most: usize) -> io::Result<Option<usize>> {
    let end = memchr::memchr(b'\n', bytes).map(|end| end + 1);
    if end.unwrap_or(bytes.len()) > most {
        return Err(invalid("more than 16 KiB after the last chunk"));
    }
    Ok(end)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests;
