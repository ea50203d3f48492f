//! [`judge`]: whether a response is an event stream, by its head alone. A pure function (HTML
//! standard, section 9.2.3, and this crate's defaults for daemons).
//!
//! | response | verdict | what follows |
//! |---|---|---|
//! | 200, `text/event-stream`, no coding left | `Accept` | the stream opens |
//! | any 2xx but 204 that the caller accepts, no coding left | `Accept` | the stream opens |
//! | 204 | `Stop` | the stream closes, without an error |
//! | 301, 302, 303, 307, 308 with `Location` | `Refuse(Redirect)` | `redirect` follows it, or refuses |
//! | 200, another content type, or not accepted by the caller | `Refuse(ContentType)` | final |
//! | 200 or accepted, a coding that is not decoded | `Refuse(ContentEncoding)` | final |
//! | any other | `Refuse(Status)` | retried if listed in `error/kind.rs`, else final |
//!
//! To treat another status or content type in a special way, add an arm to [`judge`]. The message
//! that users read is in [`refusal`].
//!
//! This decides what a response *is*. Whether a refused one is retried is decided by
//! `error/kind.rs` (the list of statuses) and `reconnect/policy.rs`.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};

use crate::error::{Error, ErrorKind, quoted};

use super::coding;

const EVENT_STREAM: &[u8] = b"text/event-stream";

/// What a response is, judged by its status and headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseVerdict {
    /// An event stream.
    Accept,
    /// 204: the server asks the client to stop. Not an error.
    Stop,
    /// Not an event stream. [`ErrorKind::Redirect`] if it is a redirect that can be followed.
    Refuse(ErrorKind),
}

/// Judges a response head. The caller has removed a content coding that this build decodes.
///
/// `accepts` returns the decision of the user's code, if there is any, and is called for no other
/// responses than those with 2xx but 204: a page of a broken server must not be read as a stream.
pub(crate) fn judge(
    status: StatusCode,
    headers: &HeaderMap,
    accepts: impl FnOnce() -> Option<bool>,
) -> ResponseVerdict {
    let is_redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    match status {
        // A server tells a client in this way to stop reconnecting (HTML, section 9.2).
        StatusCode::NO_CONTENT => ResponseVerdict::Stop,
        _ if status.is_success() => judge_success(status, headers, accepts()),
        // Without a `Location` it is a status like any other, and final.
        _ if is_redirect && headers.contains_key(LOCATION) => ResponseVerdict::Refuse(ErrorKind::Redirect),
        _ => ResponseVerdict::Refuse(ErrorKind::Status),
    }
}

/// Judges a response that has a body by the standard, or by the user's code if that has decided.
fn judge_success(status: StatusCode, headers: &HeaderMap, accepted: Option<bool>) -> ResponseVerdict {
    // 206 and other successes are refused: the standard opens a stream on 200 alone.
    let is_ok = status == StatusCode::OK;
    if !accepted.unwrap_or_else(|| is_ok && is_event_stream(headers)) {
        return ResponseVerdict::Refuse(if is_ok { ErrorKind::ContentType } else { ErrorKind::Status });
    }
    if has_content_coding(headers) || has_transfer_coding(headers) {
        return ResponseVerdict::Refuse(ErrorKind::ContentEncoding);
    }
    ResponseVerdict::Accept
}

/// Returns the error for a refused response. `acceptor` is the method by which the caller can
/// accept another content type.
pub(crate) fn refusal(kind: ErrorKind, status: StatusCode, headers: HeaderMap, body: Bytes, acceptor: &str) -> Error {
    // These headers are not secrets. They are quoted, since a server may put anything into them.
    let shown = |name: HeaderName| match headers.get_all(&name).iter().next_back() {
        Some(value) => format!("the {name} {}", quoted(&String::from_utf8_lossy(value.as_bytes()))),
        None => format!("no {name}"),
    };
    let message = match kind {
        ErrorKind::ContentType if is_event_stream(&headers) => {
            format!("the server answered 200 with an event stream, which {acceptor} does not accept")
        }
        ErrorKind::ContentType => {
            format!(
                "the server answered 200 with {}, not text/event-stream; \
                 if it is one all the same, {acceptor} can accept it",
                shown(CONTENT_TYPE)
            )
        }
        ErrorKind::ContentEncoding => {
            let shown = shown(if has_content_coding(&headers) { CONTENT_ENCODING } else { TRANSFER_ENCODING });
            format!(
                "the server answered {status} with {shown}, which this build does not decode; \
                 enable the crate's feature for it, if there is one"
            )
        }
        ErrorKind::Redirect => format!("the server answered {status}: a redirect, which is not followed here"),
        _ => format!("the server answered {status}"),
    };
    Error::with_response(kind, message, status, headers, body)
}

/// Returns true if the content type is `text/event-stream` (Fetch, "extract a MIME type"): of all
/// that the headers list, the last one that is a MIME type counts. Case and parameters do not
/// matter; `text/event-streamfoo` is another type.
fn is_event_stream(headers: &HeaderMap) -> bool {
    let values: Vec<&[u8]> = headers.get_all(CONTENT_TYPE).iter().map(HeaderValue::as_bytes).collect();
    let (mut is_quoted, mut is_escaped) = (false, false);
    // A comma within a quoted string divides nothing.
    let list = values.join(&b',');
    let types = list.split(|&byte| {
        let escapes = is_quoted && !is_escaped && byte == b'\\';
        is_quoted ^= byte == b'"' && !is_escaped;
        is_escaped = escapes;
        byte == b',' && !is_quoted
    });
    let essences = types.map(|value| value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii());
    essences.filter(|essence| is_mime_type(essence)).last().is_some_and(|last| last.eq_ignore_ascii_case(EVENT_STREAM))
}

/// Returns true for a type and a subtype, but not for `*/*` (MIME Sniffing, "parse a MIME type").
fn is_mime_type(essence: &[u8]) -> bool {
    let is_token =
        |part: &[u8]| part.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
    let mut parts = essence.split(|&byte| byte == b'/');
    let has_both = parts.clone().count() == 2 && parts.all(|part| !part.is_empty() && is_token(part));
    has_both && essence != b"*/*"
}

/// Returns true if a content coding is left, which would be read as a stream of nonsense.
fn has_content_coding(headers: &HeaderMap) -> bool {
    coding::content_codings(headers).next().is_some()
}

/// Returns true if the transfer has a coding besides `chunked`. The client did not ask for one, as
/// it would have to (RFC 9112, section 7.4). Also true for `chunked,` and the like, which this
/// crate's HTTP/1.1 has put right: other libraries leave the lines between chunks in the body.
fn has_transfer_coding(headers: &HeaderMap) -> bool {
    let last = headers.get_all(TRANSFER_ENCODING).iter().next_back().map_or(&[][..], HeaderValue::as_bytes);
    let is_last = last.rsplit(|&byte| byte == b',').next().is_some_and(is_chunked);
    coding::transfer_codings(headers).any(|coding| !is_last || !is_chunked(coding.as_bytes()))
}

fn is_chunked(coding: &[u8]) -> bool {
    coding.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, headers: &[(&'static str, &'static str)]) -> ResponseVerdict {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        judge(StatusCode::from_u16(status).unwrap(), &headers, || None)
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
            // The last one that is a type counts.
            ("application/json, text/event-stream; charset=utf-8", true),
            ("text/html,TEXT/EVENT-STREAM", true),
            ("text/event-stream, , no type, */*, a/b/c, text/", true),
            ("text/event-stream;a=b,text/html", false),
            ("text/event-stream, text/html;charset=x", false),
            // These commas are within a quoted string.
            ("text/event-stream;a=\"b,text/html\"", true),
            ("text/event-stream;a=\"b\\\",text/html\"", true),
            ("text/event-stream;a=\"b\\\\\",text/html", false),
            ("text/html;a=\", text/event-stream", false),
        ] {
            let expected =
                if accepted { ResponseVerdict::Accept } else { ResponseVerdict::Refuse(ErrorKind::ContentType) };
            assert_eq!(of(200, &[("content-type", content_type)]), expected, "{content_type:?}");
        }
        assert_eq!(of(200, &[]), ResponseVerdict::Refuse(ErrorKind::ContentType));
        let headers = |first, second| [("content-type", first), ("content-type", second)];
        assert_eq!(of(200, &headers("text/html", "text/event-stream")), ResponseVerdict::Accept);
        assert_eq!(of(200, &headers("text/event-stream", "")), ResponseVerdict::Accept);
        let refused = ResponseVerdict::Refuse(ErrorKind::ContentType);
        assert_eq!(of(200, &headers("text/event-stream", "text/html")), refused);
        assert_eq!(of(200, &headers("text/html;a=\"", "text/event-stream")), refused);
    }

    #[test]
    fn only_200_opens_only_204_stops_and_a_redirect_needs_a_location() {
        let stream = ("content-type", "text/event-stream");
        let location = ("location", "/there");
        for (status, headers, expected) in [
            (201, &[stream][..], ResponseVerdict::Refuse(ErrorKind::Status)),
            (204, &[], ResponseVerdict::Stop),
            (206, &[stream], ResponseVerdict::Refuse(ErrorKind::Status)),
            (302, &[location], ResponseVerdict::Refuse(ErrorKind::Redirect)),
            (302, &[], ResponseVerdict::Refuse(ErrorKind::Status)),
            (304, &[location], ResponseVerdict::Refuse(ErrorKind::Status)),
            (503, &[stream], ResponseVerdict::Refuse(ErrorKind::Status)),
            (200, &[stream, ("content-encoding", "compress")], ResponseVerdict::Refuse(ErrorKind::ContentEncoding)),
            (200, &[stream, ("content-encoding", "identity")], ResponseVerdict::Accept),
            (
                200,
                &[stream, ("transfer-encoding", "gzip, chunked")],
                ResponseVerdict::Refuse(ErrorKind::ContentEncoding),
            ),
            (200, &[stream, ("transfer-encoding", "x-gzip")], ResponseVerdict::Refuse(ErrorKind::ContentEncoding)),
            (200, &[stream, ("transfer-encoding", "Chunked")], ResponseVerdict::Accept),
            (200, &[stream, ("transfer-encoding", "identity")], ResponseVerdict::Accept),
            (200, &[stream, ("transfer-encoding", "chunked, chunked")], ResponseVerdict::Accept),
            (200, &[stream, ("transfer-encoding", "chunked,")], ResponseVerdict::Refuse(ErrorKind::ContentEncoding)),
            (
                200,
                &[stream, ("transfer-encoding", "chunked"), ("transfer-encoding", "")],
                ResponseVerdict::Refuse(ErrorKind::ContentEncoding),
            ),
        ] {
            assert_eq!(of(status, headers), expected, "{status} {headers:?}");
        }
    }

    #[test]
    fn a_caller_decides_about_successes_alone_and_not_about_codings() {
        let (html, coded) = (&[("content-type", "text/html")][..], &[("content-encoding", "br, gzip")][..]);
        for (status, headers, accepted, expected) in [
            (200, html, true, ResponseVerdict::Accept),
            (200, &[], true, ResponseVerdict::Accept),
            (201, &[], true, ResponseVerdict::Accept),
            (206, html, true, ResponseVerdict::Accept),
            (200, coded, true, ResponseVerdict::Refuse(ErrorKind::ContentEncoding)),
            (200, &[("content-type", "text/event-stream")], false, ResponseVerdict::Refuse(ErrorKind::ContentType)),
            (202, html, false, ResponseVerdict::Refuse(ErrorKind::Status)),
        ] {
            let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            assert_eq!(judge(StatusCode::from_u16(status).unwrap(), &headers, || Some(accepted)), expected, "{status}");
        }
        for status in [204, 302, 404, 503] {
            let headers = [(LOCATION, "/there".parse().unwrap())].into_iter().collect();
            let asked = || panic!("asked about {status}");
            let verdict = judge(StatusCode::from_u16(status).unwrap(), &headers, asked);
            assert_ne!(verdict, ResponseVerdict::Accept, "{status}");
        }
    }
}
