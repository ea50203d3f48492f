//! [`ReceivedHead`]: the head of a response as it came, which tells where the body begins.
//!
//! hyper parses the same bytes with the same library, httparse, and the same settings, but does not
//! tell where the head ended. So the gate parses first, and hands hyper exactly the bytes of the
//! head.

use std::io;

use http::header::HeaderName;
use http::response::Parts;
use http::{HeaderMap, Version};
use httparse::{EMPTY_HEADER, ParserConfig, Response, Status};
use hyper::client::conn::http1::Builder;

use crate::error::{Error, ErrorKind};

/// Maximum size of a response head. It is hyper's default, named because it bounds the memory that
/// a server can make the client use.
pub(super) const MAX_HEAD: usize = 8 * 1024 + 400 * 1024;

/// Maximum number of fields in a head, which is curl's. hyper reserves 64 bytes for each.
const MAX_FIELDS: usize = 5_000;

/// Maximum length of a field's name in an error message.
const MAX_SHOWN_NAME: usize = 100;

const NOT_HTTP: &str = "the head of the server's answer cannot be read as HTTP";

/// Returns hyper's HTTP/1.1 with the settings of [`parser`].
pub(in crate::transport) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .max_headers(MAX_FIELDS)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    builder
}

/// Returns a parser that takes what browsers and curl take. A user agent accepts fields that are
/// folded over lines (RFC 9112, section 5.2); blanks before a colon and lines that are no fields
/// come from scripts that print into the head.
fn parser() -> ParserConfig {
    let mut parser = ParserConfig::default();
    parser
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    parser
}

/// The head of a response.
#[derive(Debug)]
pub(super) struct ReceivedHead {
    /// Number of bytes up to the body.
    pub(super) length: usize,
    pub(super) version: Version,
    status: u16,
    names: HeaderMap<()>,
}

impl ReceivedHead {
    /// Parses the head that `bytes` begin with; `None` if it is not complete.
    ///
    /// # Errors
    ///
    /// `Protocol`, with the line that is not HTTP.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, Error> {
        parse(bytes).map_err(|cause| malformed(bytes, cause))
    }

    /// Returns true for 1xx: another response follows. After 101 no HTTP follows (RFC 9110, section
    /// 15.2).
    pub(super) fn is_interim(&self) -> bool {
        self.status / 100 == 1 && self.status != 101
    }

    /// Checks that hyper read the same head. Else the body might begin elsewhere, and an event be
    /// lost without a word.
    ///
    /// # Errors
    ///
    /// `Protocol`, which says what each of them read.
    pub(super) fn check(&self, head: &Parts) -> Result<(), Error> {
        let names: HeaderMap<()> = head.headers.iter().map(|(name, _)| (name.clone(), ())).collect();
        if head.status == self.status && names == self.names {
            return Ok(());
        }
        let (status, fields) = (head.status.as_u16(), names.len());
        Err(disagreement(&format!(
            "httparse finds status {} and {} fields, hyper finds status {status} and {fields} fields",
            self.status,
            self.names.len()
        )))
    }
}

/// Returns the error for a request without a response head; its source says how the connection
/// failed.
pub(in crate::transport) fn no_answer(error: hyper::Error) -> Error {
    let what = if error.is_parse() { NOT_HTTP } else { "the connection broke before a response came" };
    Error::with_source(ErrorKind::Protocol, what, error)
}

/// Returns the error for a head that is longer than [`MAX_HEAD`].
pub(super) fn too_long() -> Error {
    let message = format!("the head of the server's answer is longer than {} KiB", MAX_HEAD / 1024);
    Error::with_source(ErrorKind::Protocol, message, io::Error::from(io::ErrorKind::InvalidData))
}

/// Returns the error for more than [`MAX_HEAD`] bytes of empty lines, and no head.
pub(super) fn only_empty_lines() -> Error {
    let message = format!("the server sent {} KiB of empty lines in place of a response head", MAX_HEAD / 1024);
    Error::with_source(ErrorKind::Protocol, message, io::Error::from(io::ErrorKind::InvalidData))
}

/// Returns the error for two readings of the same head.
pub(super) fn disagreement(what: &str) -> Error {
    let message = format!("two parsers do not read the head of the server's answer in the same way: {what}");
    Error::with_source(ErrorKind::Protocol, message, io::Error::from(io::ErrorKind::InvalidData))
}

fn parse(bytes: &[u8]) -> Result<Option<ReceivedHead>, httparse::Error> {
    let lines = memchr::memchr_iter(b'\n', bytes).count();
    let mut fields = vec![EMPTY_HEADER; lines.min(MAX_FIELDS)];
    let mut head = Response::new(&mut fields);
    let Status::Complete(length) = parser().parse_response(&mut head, bytes)? else { return Ok(None) };
    let names = head.headers.iter().map(|field| match HeaderName::from_bytes(field.name.as_bytes()) {
        Ok(name) => Ok((name, ())),
        Err(_) => Err(httparse::Error::HeaderName),
    });
    Ok(Some(ReceivedHead {
        length,
        version: if head.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 },
        status: head.code.unwrap_or_default(),
        names: names.collect::<Result<_, _>>()?,
    }))
}

/// Returns the error for a head that is not HTTP. It names the line, and never shows a value, which
/// may be a secret.
fn malformed(head: &[u8], cause: httparse::Error) -> Error {
    let ends: Vec<usize> = memchr::memchr_iter(b'\n', head).map(|end| end + 1).collect();
    // No later line can make one valid.
    let line = ends.partition_point(|&end| parse(&head[..end]).is_ok());
    let start = line.checked_sub(1).map_or(0, |before| ends[before]);
    let name = head[start..].split(|&byte| byte == b':').next().filter(|name| name.len() <= MAX_SHOWN_NAME);
    let what = match name.and_then(|name| HeaderName::from_bytes(name.trim_ascii_end()).ok()) {
        _ if line == 0 => ", its status line".to_owned(),
        Some(name) => format!(", the field {name}"),
        None => String::new(),
    };
    let message = format!("{NOT_HTTP}, because of line {}{what}", line + 1);
    Error::with_source(ErrorKind::Protocol, message, cause)
}
