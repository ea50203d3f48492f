//! What a response is: an event stream, something that the caller reads, or a refusal.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};
use sseclient::{Delivery, ErrorKind, EventStream};

fn response<B>(status: u16, headers: &[(&'static str, &str)], body: B) -> Response<B> {
    let mut response = Response::builder().status(status).extension("kept");
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body).unwrap()
}

const STREAM: (&str, &str) = ("content-type", "text/event-stream; charset=utf-8");
const JSON: (&str, &str) = ("content-type", "application/json");

/// A body that must not be read.
struct Unread;

impl Body for Unread {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        panic!("the body was read")
    }
}

fn shown(headers: &HeaderMap, extensions: &Extensions) -> String {
    format!("{headers:?}, {:?}", extensions.get::<&str>())
}

#[test]
fn any_response_but_an_event_stream_comes_back_untouched() {
    for (status, headers) in [
        (200, &[JSON][..]),
        (200, &[]),
        (200, &[JSON, ("content-encoding", "gzip"), ("content-length", "7")]),
        (200, &[STREAM, ("content-encoding", "compress")]),
        (201, &[STREAM]),
        (202, &[]),
        (204, &[STREAM]),
        (302, &[("location", "/there")]),
        (401, &[STREAM]),
        (500, &[JSON]),
    ] {
        let before = response(status, headers, Unread);
        let expected = shown(before.headers(), before.extensions());
        let after = EventStream::try_from_response(before).unwrap_err();
        assert_eq!(after.status().as_u16(), status);
        assert_eq!(shown(after.headers(), after.extensions()), expected, "{status} {headers:?}");
    }
}

#[tokio::test]
async fn an_event_stream_is_read_at_once_and_a_json_answer_by_the_caller() {
    let body = || Full::new(Bytes::from_static(b"data: 1\n\n"));
    let mut events = EventStream::try_from_response(response(200, &[STREAM], body())).unwrap();
    assert!(matches!(events.recv().await, Some(Ok(Delivery::Event(event))) if event.data() == "1"));
    let other = EventStream::try_from_response(response(200, &[JSON], body())).unwrap_err();
    assert_eq!(other.into_body().collect().await.unwrap().to_bytes(), "data: 1\n\n");
}

#[tokio::test]
async fn a_response_that_is_neither_becomes_the_usual_error() {
    let refused = response(429, &[JSON, ("retry-after", "7")], Full::new(Bytes::from_static(b"{}")));
    let refused = EventStream::try_from_response(refused).unwrap_err();
    let error = EventStream::from_response(refused).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Status, Some(StatusCode::TOO_MANY_REQUESTS)));
    assert_eq!(error.body().unwrap(), "{}");
    assert_eq!(error.retry_after().unwrap().as_secs(), 7);
}

#[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
#[tokio::test]
async fn a_compressed_event_stream_is_decoded() {
    for coding in crate::codings::CODINGS {
        let mut encoder = (coding.encoder)();
        let bytes = [encoder.flush("data: 1\n\ndata: [DONE]\n\n"), encoder.finish()].concat();
        let compressed = response(200, &[STREAM, ("content-encoding", coding.name)], crate::script::bytewise(&bytes));
        let mut events = EventStream::try_from_response(compressed).unwrap().end_mark("[DONE]");
        assert_eq!(crate::script::all(&mut events).await, ["1", "end"], "{}", coding.name);
    }
}

#[cfg(feature = "json")]
#[tokio::test]
async fn the_body_of_a_refusal_is_decoded() {
    use std::error::Error as _;

    use serde_json::Value;
    use sseclient::Error;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Refusal {
        error: String,
    }

    let refused = |body: &str| Error::refused(StatusCode::BAD_REQUEST, HeaderMap::new(), body.to_owned());
    assert_eq!(refused(r#"{"error":"no such model"}"#).json::<Refusal>().unwrap().error, "no such model");
    let long = format!("[\"{}", "x".repeat(10_000));
    for (body, says) in [
        ("<html>", "expected value at line 1 column 1"),
        ("", "it may be longer than what is kept of it"),
        (r#"{"error":7}"#, "invalid type: integer `7`, expected a string"),
        (r#"{"error":"a"} b"#, "trailing characters"),
    ] {
        let error = refused(body).json::<Refusal>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode, "{body}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.source().is_some());
    }
    // Of a longer body 8 KiB are kept.
    let long = response(400, &[JSON], Full::new(Bytes::from(long)));
    let error = EventStream::from_response(long).await.unwrap_err();
    let says = error.json::<Value>().unwrap_err().to_string();
    assert!(says.contains("longer than what is kept"), "{says}");
    let error = Error::new(ErrorKind::Dns, "no such host").json::<Value>().unwrap_err();
    assert_eq!((error.kind(), error.source().is_none()), (ErrorKind::Decode, true));
}

#[test]
fn what_users_hold_can_go_anywhere() {
    fn anywhere<T: Send + Sync + Unpin + 'static>() {}
    anywhere::<sseclient::Block>();
    anywhere::<EventStream<Full<Bytes>>>();
    #[cfg(feature = "json")]
    anywhere::<EventStream<Full<Bytes>, sseclient::Decoded<String>>>();
}
