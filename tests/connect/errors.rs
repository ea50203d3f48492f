//! Bad input is a typed error that says what happened and whether the stream retries.

use std::error::Error as _;

use sseclient::{Client, Error, ErrorKind, Event, Handle};

use crate::support::within;

fn build(url: &str) -> Result<Handle, Error> {
    Client::new().stream(url).build()
}

/// The error with all its sources, as programs log it.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[test]
fn a_url_that_cannot_be_followed_is_refused_when_the_stream_is_built() {
    for (url, kind, says) in [
        ("not a url", ErrorKind::InvalidUrl, "a blank"),
        ("http://host/a\nb", ErrorKind::InvalidUrl, "a control character"),
        ("http://[fe80::1%25eth0]/", ErrorKind::InvalidUrl, "ClientBuilder::connector"),
        ("http://[example.com]/", ErrorKind::InvalidUrl, "no IPv6 address"),
        #[cfg(not(feature = "idn"))]
        ("http://bücher.example/", ErrorKind::InvalidUrl, "feature \"idn\""),
        #[cfg(feature = "idn")]
        ("http://b\u{fffd}cher.example/", ErrorKind::InvalidUrl, "no valid domain name"),
        ("", ErrorKind::InvalidUrl, "not valid"),
        ("/stream", ErrorKind::InvalidUrl, "scheme"),
        ("example.com", ErrorKind::InvalidUrl, "scheme"),
        ("http://", ErrorKind::InvalidUrl, "not valid"),
        ("http://user@/", ErrorKind::InvalidUrl, "not valid"),
        ("ftp://example.com/", ErrorKind::Unsupported, "ftp"),
        ("file:///etc/passwd", ErrorKind::InvalidUrl, "not valid"),
    ] {
        let error = build(url).unwrap_err();
        assert!(error.is_final(), "{url}");
        assert!(chain(&error).contains(says), "{url}: {}", chain(&error));
        assert_eq!(error.kind(), kind, "{url}");
    }
}

#[test]
fn headers_that_http_cannot_carry_are_refused_when_they_are_set() {
    let stream = || Client::new().stream("http://127.0.0.1:9/");
    for error in [
        stream().header("bad name", "x").build().unwrap_err(),
        stream().header("x-key", "line\nbreak").build().unwrap_err(),
        stream().bearer_auth("line\nbreak").build().unwrap_err(),
        stream().last_event_id("line\nbreak").build().unwrap_err(),
        stream().header("last-event-id", "x".repeat(9 * 1024)).build().unwrap_err(),
        stream().header("last-event-id", &b"\xE9"[..]).build().unwrap_err(),
        stream().build().unwrap().set_header("x-key", "line\nbreak").unwrap_err(),
        stream().build().unwrap().set_header("last-event-id", "1").unwrap_err(),
        stream().build().unwrap().remove_header("bad name").unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidHeader, "{error}");
    }
}

#[test]
fn too_many_headers_are_an_error_and_no_panic() {
    let mut builder = Client::new().stream("http://127.0.0.1:9/");
    let handle = Client::new().stream("http://127.0.0.1:9/").build().unwrap();
    let mut map = http::HeaderMap::new();
    let mut refused = None;
    for number in 0..2_000 {
        let name = format!("x-{number}");
        builder = builder.header(&*name, "1");
        map.append("x-same", "1".parse().unwrap());
        refused = refused.or_else(|| handle.set_header(&*name, "1").err());
    }
    let bulk = Client::new().stream("http://127.0.0.1:9/").headers(map).build();
    for error in [builder.build().unwrap_err(), bulk.unwrap_err(), refused.unwrap()] {
        assert_eq!(error.kind(), ErrorKind::InvalidHeader, "{error}");
    }
}

#[test]
fn an_event_that_the_format_cannot_carry_is_refused() {
    for builder in [
        Event::builder().event_type("a\nb"),
        Event::builder().event_type("a\rb"),
        Event::builder().id("a\nb"),
        Event::builder().id("a\rb"),
        Event::builder().id("a\0b"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidEvent);
    }
}

#[tokio::test]
async fn a_failed_first_attempt_says_who_failed_and_is_not_final() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, kind, says) in [
        (format!("http://{free}/"), ErrorKind::Connect, "refused"),
        ("http://does-not-exist.invalid/".to_owned(), ErrorKind::Dns, "does-not-exist.invalid"),
    ] {
        let error = within(sseclient::open(&*url)).await.unwrap_err();
        assert_eq!((error.kind(), error.is_final()), (kind, false), "{url}");
        let text = chain(&error);
        assert!(text.contains(says), "{text}");
        assert!(error.source().is_some(), "{url}");
    }
}

#[test]
fn errors_and_what_users_hold_can_go_anywhere() {
    fn anywhere<T: Send + Sync + Unpin + 'static>() {}
    fn clonable<T: Clone + Send + Sync>() {}
    clonable::<Error>();
    clonable::<sseclient::Failure<'_>>();
    anywhere::<Client>();
    anywhere::<sseclient::StreamBuilder>();
    anywhere::<Handle>();
    anywhere::<sseclient::Monitor>();
    anywhere::<sseclient::ReconnectPolicy>();
    anywhere::<sseclient::FileStore>();
    anywhere::<sseclient::Change>();
    anywhere::<sseclient::NextAttempt>();
    anywhere::<sseclient::Update>();
    anywhere::<sseclient::Draining>();
    anywhere::<sseclient::Drained>();
    anywhere::<sseclient::Stats>();
    anywhere::<sseclient::ResponseHead>();
    anywhere::<sseclient::Subscription>();
    anywhere::<sseclient::Events>();
    anywhere::<sseclient::Acknowledger>();
    anywhere::<sseclient::SubscriptionStats>();
    anywhere::<sseclient::Transcript>();
    anywhere::<sseclient::StateChanges>();
    anywhere::<sseclient::Shutdown>();
    anywhere::<sseclient::State>();
    anywhere::<sseclient::CloseReason>();
    anywhere::<sseclient::CredentialsReason>();
    anywhere::<sseclient::TranscriptItem>();
    anywhere::<Event>();
    anywhere::<sseclient::Filter>();
    anywhere::<sseclient::wire::Decoder>();
    anywhere::<sseclient::EventStream<http_body_util::Empty<bytes::Bytes>>>();
}

#[cfg(not(feature = "tls"))]
#[test]
fn https_without_tls_is_refused_when_the_stream_is_built() {
    let error = build("https://example.com/").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("feature"), "{error}");
}
