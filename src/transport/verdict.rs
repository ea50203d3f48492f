//! Whether a response is an event stream: a pure function of its head (HTML standard, section
//! 9.2.3, and this crate's defaults for daemons).

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, LOCATION, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};

use crate::error::{Error, ErrorKind};

use super::coding;

/// How much of the body of a refused response is kept: enough for any message meant for people.
pub(crate) const MAX_ERROR_BODY: usize = 8 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// An event stream.
    Accept,
    /// The server asks us to stop, which is no error.
    Stop,
    /// [`ErrorKind::Redirect`] for one that can be followed.
    Refuse(ErrorKind),
}

pub(crate) fn verdict(status: StatusCode, headers: &HeaderMap) -> Verdict {
    match status {
        StatusCode::OK if !is_event_stream(headers) => Verdict::Refuse(ErrorKind::ContentType),
        StatusCode::OK if is_encoded(headers) || is_encoded_on_the_way(headers) => {
            Verdict::Refuse(ErrorKind::ContentEncoding)
        }
        StatusCode::OK => Verdict::Accept,
        StatusCode::NO_CONTENT => Verdict::Stop,
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT
            if headers.contains_key(LOCATION) =>
        {
            Verdict::Refuse(ErrorKind::Redirect)
        }
        _ => Verdict::Refuse(ErrorKind::Status),
    }
}

/// The error for a refused response.
pub(crate) fn refusal(kind: ErrorKind, status: StatusCode, headers: HeaderMap, body: Bytes) -> Error {
    let shown = |name: HeaderName| match headers.get_all(&name).iter().next_back() {
        Some(value) => format!("the {name} {:?}", String::from_utf8_lossy(value.as_bytes())),
        None => format!("no {name}"),
    };
    let message = match kind {
        ErrorKind::ContentType => {
            format!("the server answered 200 with {}, not text/event-stream", shown(CONTENT_TYPE))
        }
        ErrorKind::ContentEncoding => {
            let shown = shown(if is_encoded(&headers) { CONTENT_ENCODING } else { TRANSFER_ENCODING });
            format!("the server answered 200 with {shown}, which is not decoded here: see the crate's features")
        }
        ErrorKind::Redirect => format!("the server answered {status}: a redirect, which is not followed here"),
        _ => format!("the server answered {status}"),
    };
    Error::with_response(kind, message, status, headers, body)
}

/// By essence alone: case-insensitive, parameters ignored, `text/event-streamfoo` is another type. Of
/// several headers the last counts (Fetch, "extract a MIME type").
fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_TYPE).iter().next_back().is_some_and(|value| {
        let essence = value.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
    })
}

/// A coding that is not decoded would be read as a stream of nonsense. One that is has been taken out.
fn is_encoded(headers: &HeaderMap) -> bool {
    coding::codings(headers).next().is_some()
}

/// The same, by a coding that was to be asked for (RFC 9112, section 7.4), and was not.
fn is_encoded_on_the_way(headers: &HeaderMap) -> bool {
    coding::of(headers, TRANSFER_ENCODING).any(|coding| !coding.eq_ignore_ascii_case("chunked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, headers: &[(&'static str, &'static str)]) -> Verdict {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        verdict(StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn the_content_type_is_compared_by_essence() {
        for (content_type, accepted) in [
            ("text/event-stream", true),
            ("Text/Event-Stream", true),
            ("text/event-stream;charset=utf-8", true),
            ("text/event-stream;", true),
            ("text/event-stream ; =broken", true),
            ("text/event-stream;charset=windows-1251", true),
            ("text/event-streamfoo", false),
            ("text/event", false),
            ("text/html", false),
            ("", false),
        ] {
            let expected = if accepted { Verdict::Accept } else { Verdict::Refuse(ErrorKind::ContentType) };
            assert_eq!(of(200, &[("content-type", content_type)]), expected, "{content_type:?}");
        }
        assert_eq!(of(200, &[]), Verdict::Refuse(ErrorKind::ContentType));
    }

    #[test]
    fn only_200_opens_only_204_stops_and_a_redirect_needs_a_location() {
        let stream = ("content-type", "text/event-stream");
        let location = ("location", "/there");
        for (status, headers, expected) in [
            (201, &[stream][..], Verdict::Refuse(ErrorKind::Status)),
            (204, &[], Verdict::Stop),
            (206, &[stream], Verdict::Refuse(ErrorKind::Status)),
            (302, &[location], Verdict::Refuse(ErrorKind::Redirect)),
            (302, &[], Verdict::Refuse(ErrorKind::Status)),
            (304, &[location], Verdict::Refuse(ErrorKind::Status)),
            (503, &[stream], Verdict::Refuse(ErrorKind::Status)),
            (200, &[stream, ("content-encoding", "compress")], Verdict::Refuse(ErrorKind::ContentEncoding)),
            (200, &[stream, ("content-encoding", "identity")], Verdict::Accept),
            (200, &[stream, ("transfer-encoding", "gzip, chunked")], Verdict::Refuse(ErrorKind::ContentEncoding)),
            (200, &[stream, ("transfer-encoding", "x-gzip")], Verdict::Refuse(ErrorKind::ContentEncoding)),
            (200, &[stream, ("transfer-encoding", "Chunked")], Verdict::Accept),
            (200, &[stream, ("transfer-encoding", "identity")], Verdict::Accept),
        ] {
            assert_eq!(of(status, headers), expected, "{status} {headers:?}");
        }
    }
}
