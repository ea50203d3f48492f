//! Signed requests, after AWS Signature Version 4: the hook before each attempt signs method, URL,
//! headers and body, and the server computes the signature again from the bytes that came.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::Request;
use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, sign};
use sseclient::testing::{Plan, Script};
use sseclient::{CloseReason, CredentialsReason, ErrorKind, NextAttempt, ReconnectPolicy};

use crate::support::{follow, headers, numbered, serve, short, status, stream, within};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SCOPE: [&str; 4] = ["20260101", "eu-north-1", "events", "aws4_request"];

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Signs a request: its method, path and query, these headers, and its body.
fn signature(method: &str, url: &str, headers: &BTreeMap<String, String>, body: &[u8]) -> String {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let mut parameters: Vec<&str> = query.split('&').collect();
    parameters.sort_unstable();
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let names = headers.keys().cloned().collect::<Vec<_>>().join(";");
    let query = parameters.join("&");
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{}", hex(digest(&SHA256, body)));
    let (date, scope) = (headers.get("x-amz-date").map_or("", String::as_str), SCOPE.join("/"));
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(digest(&SHA256, canonical.as_bytes())));
    let hmac = |key: &[u8], text: &str| sign(&Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec();
    let key = SCOPE.iter().fold(format!("AWS4{SECRET}").into_bytes(), |key, part| hmac(&key, part));
    hex(hmac(&key, &to_sign))
}

/// The headers that are signed if they are there.
fn signed(get: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let names = ["host", "last-event-id", "x-amz-date", "x-tenant"];
    names.into_iter().filter_map(|name| Some((name.to_owned(), get(name)?))).collect()
}

/// Returns true if the request carries the signature of what came.
fn is_valid(request: &Request<Bytes>) -> bool {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let url = request.uri().to_string();
    let expected = signature(request.method().as_str(), &url, &signed(header), request.body());
    header("authorization").is_some_and(|value| value.ends_with(&format!("Signature={expected}")))
}

/// Signs as the last thing that is done to an attempt. `date` stands for a clock.
fn sign_attempt(attempt: NextAttempt, date: u64) -> NextAttempt {
    let attempt = attempt.header("x-amz-date", format!("20260101T0000{date:02}Z"));
    let host = attempt.url().authority().unwrap().to_string();
    let headers = signed(|name| match name {
        "host" => Some(host.clone()),
        _ => attempt.headers().get(name).map(|value| value.to_str().unwrap().to_owned()),
    });
    let url = attempt.url().path_and_query().unwrap().as_str();
    let signature = signature(attempt.method().as_str(), url, &headers, attempt.body());
    let names = headers.into_keys().collect::<Vec<_>>().join(";");
    let scope = SCOPE.join("/");
    let value = format!("AWS4-HMAC-SHA256 Credential=AKID/{scope}, SignedHeaders={names}, Signature={signature}");
    attempt.header("authorization", value)
}

#[tokio::test]
async fn each_attempt_is_signed_over_method_url_headers_and_body() {
    let is_signed = |request: &Request<Bytes>| assert!(is_valid(request), "{request:?}");
    let first = Script::open().bytes(numbered([7])).end();
    let server = serve([first.expect(is_signed), status(204).expect(is_signed)]).await;
    let clock = AtomicU64::new(0);
    let hook = move |attempt: NextAttempt| {
        let cursor = attempt.last_event_id().unwrap_or_default().to_owned();
        let attempt = attempt.query("cursor", cursor).with_body("{\"since\":\"ä\"}");
        ready(Ok::<_, Infallible>(sign_attempt(attempt, clock.fetch_add(1, Ordering::Relaxed))))
    };
    let builder = stream(&format!("{}?z=1&a=b%20c", server.url())).header("x-tenant", "a").method("POST");
    let (handle, mut events) = follow(builder.reconnect_policy(ReconnectPolicy::daemon()).before_attempt(hook));
    assert_eq!(short(&mut events).await, "7");
    assert!(matches!(within(handle.closed()).await, CloseReason::NoContent));
    assert_eq!(handle.stats().attempts, 2);
    assert_eq!(headers(&server, "last-event-id"), [None, Some("7".to_owned())]);
    let [first, second] = &headers(&server, "authorization")[..] else { panic!("two requests") };
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_signature_that_is_refused_is_made_anew_once() {
    // Signed before the query changes, in the first attempts; then the other way about.
    for (wrong_attempts, is_open) in [(1, true), (2, false)] {
        let answer = |_, request: &_| if is_valid(request) { Script::open() } else { status(403) };
        let server = serve(Plan::each(answer)).await;
        let asked = AtomicU64::new(0);
        let hook = move |attempt: NextAttempt| {
            let number = asked.fetch_add(1, Ordering::Relaxed);
            assert_eq!(matches!(attempt.reason(), CredentialsReason::Rejected { .. }), number > 0);
            let attempt = if number < wrong_attempts {
                sign_attempt(attempt, number).query("late", "1")
            } else {
                sign_attempt(attempt.query("late", "1"), number)
            };
            ready(Ok::<_, Infallible>(attempt))
        };
        let opened = within(stream(server.url()).before_attempt(hook).open("message")).await;
        assert_eq!(opened.is_ok(), is_open);
        assert_eq!(server.requests().len(), 2);
        if let Err(error) = opened {
            assert_eq!((error.kind(), error.status().map(|status| status.as_u16())), (ErrorKind::Status, Some(403)));
        }
    }
}
