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
    let stop = response(204, &[STREAM], Full::<Bytes>::default());
    let error = EventStream::from_response(stop).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Status, Some(StatusCode::NO_CONTENT)));
}

#[tokio::test]
async fn the_error_names_the_method_that_takes_another_content_type() {
    let html = || response(200, &[("content-type", "text/html")], Full::<Bytes>::default());
    let error = EventStream::from_response(html()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server answered 200 with the content-type \"text/html\", not text/event-stream; \
         if it is one all the same, from_response_if can accept it"
    );
    let stream = response(200, &[STREAM], Full::<Bytes>::default());
    let error = EventStream::from_response_if(stream, |_| false).await.unwrap_err();
    let says = "the server answered 200 with an event stream, which from_response_if does not accept";
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::ContentType, says));
}

/// A proxy sends a head and a length, and then nothing or not enough.
#[cfg(feature = "client")]
#[tokio::test(start_paused = true)]
async fn a_refusal_whose_body_stalls_is_an_error_within_two_seconds() {
    use std::time::Duration;

    for came in ["", "{\"error\":"] {
        let (sender, body) = crate::script::live();
        sender.send(crate::script::text(came)).unwrap();
        let begun = tokio::time::Instant::now();
        let refused = response(401, &[JSON, ("retry-after", "7")], body);
        let error = crate::support::within(EventStream::from_response(refused)).await.unwrap_err();
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
        assert_eq!((error.status(), &**error.body().unwrap()), (Some(StatusCode::UNAUTHORIZED), came.as_bytes()));
        assert_eq!(error.headers().unwrap()["retry-after"], "7");
    }
}

/// Without a clock there is no limit, and what comes late is read.
#[test]
fn the_body_of_a_refusal_is_waited_for_where_no_clock_is() {
    let refused = || {
        let (sender, body) = crate::script::live();
        (sender, EventStream::from_response(response(401, &[JSON], body)))
    };
    let (sender, error) = refused();
    let mut error = tokio_test::task::spawn(error);
    assert!(error.poll().is_pending());
    sender.send(crate::script::text("{}")).unwrap();
    drop(sender);
    let Poll::Ready(Err(error)) = error.poll() else { panic!("the body has ended") };
    assert_eq!(error.body().unwrap(), "{}");
    let without_timers = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let body = without_timers.block_on(async {
        let (sender, error) = refused();
        sender.send(crate::script::text("{}")).unwrap();
        drop(sender);
        error.await.unwrap_err().body().cloned()
    });
    assert_eq!(body.unwrap(), "{}");
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
    // Of a longer body 8 KiB are kept. This one could be decoded as a whole.
    let long = format!("[\"{}\"]", "x".repeat(10_000));
    assert!(refused(&long).json::<Value>().is_ok());
    let long = response(400, &[JSON], Full::new(Bytes::from(long)));
    let error = EventStream::from_response(long).await.unwrap_err();
    assert_eq!(error.body().unwrap().len(), 8 * 1024);
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
