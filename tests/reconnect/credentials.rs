//! Credentials sources: when the client calls them, and what their failures do.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use sseclient::testing::Script;
use sseclient::{CredentialsReason, ErrorKind};

use crate::support::{follow, headers, serve, short, staying, stream, until, within};

/// A source of `token-1`, `token-2`, …, which records the reason of each call.
fn tokens(reasons: &Arc<Mutex<Vec<String>>>) -> impl Fn(CredentialsReason) -> std::future::Ready<Answer> + use<> {
    let reasons = Arc::clone(reasons);
    move |reason| {
        let mut reasons = reasons.lock().unwrap();
        reasons.push(match reason {
            CredentialsReason::First => "first".to_owned(),
            CredentialsReason::Reconnect => "reconnect".to_owned(),
            CredentialsReason::Rejected { status, challenge, .. } => format!("{status}, {challenge:?}"),
            other => panic!("{other:?}"),
        });
        let token = format!("Bearer token-{}", reasons.len());
        std::future::ready(Ok(HeaderMap::from_iter([(AUTHORIZATION, token.parse().unwrap())])))
    }
}

type Answer = Result<HeaderMap, Infallible>;

#[tokio::test]
async fn credentials_are_fetched_for_each_attempt_and_again_after_a_refusal() {
    for code in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        let refusal = || Script::answer(code).header("www-authenticate", "Bearer error=\"expired\"");
        let part = |data| Script::open().bytes(data).end();
        let server = serve([part("data: 1\n\n"), refusal(), part("data: 2\n\n"), refusal(), refusal()]).await;
        let reasons = Arc::default();
        let (handle, mut events) = follow(stream(server.url()).credentials(tokens(&reasons)));
        for expected in ["1", "reconnected after None", "2"] {
            assert_eq!(short(&mut events).await, expected);
        }
        // After two refusals in a row the policy decides. The default policy stops.
        let reason = within(handle.closed()).await;
        assert_eq!(reason.error().and_then(|error| error.status()).unwrap(), code);
        let sent: Vec<String> = headers(&server, "authorization").into_iter().map(Option::unwrap).collect();
        assert_eq!(sent, [1, 2, 3, 4, 5].map(|token| format!("Bearer token-{token}")));
        let rejected = format!("{code}, Some(\"Bearer error=\\\"expired\\\"\")");
        assert_eq!(*reasons.lock().unwrap(), ["first", "reconnect", &rejected, "reconnect", &rejected]);
    }
}

#[tokio::test]
async fn without_a_source_of_credentials_a_refusal_is_final() {
    for code in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        let server = serve(Script::answer(code)).await;
        let (handle, mut events) = follow(stream(server.url()));
        assert!(within(events.recv()).await.is_none());
        let reason = within(handle.closed()).await;
        assert_eq!(reason.error().and_then(|error| error.status()).unwrap(), code);
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_source_of_credentials_that_fails_is_asked_again_later() {
    let server = serve(Script::open().bytes("data: 1\n\n")).await;
    let asked = Mutex::new(0);
    let source = move |_| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        std::future::ready(if *asked < 3 { Err("the token server is down") } else { Ok(HeaderMap::new()) })
    };
    let (handle, mut events) = follow(stream(server.url()).credentials(source));
    assert_eq!(short(&mut events).await, "1");
    assert_eq!(handle.stats().failures[&ErrorKind::Credentials], 2);
}

#[tokio::test]
async fn a_source_of_credentials_gives_no_last_event_id_and_a_thousand_headers_at_most() {
    let server = staying("").await;
    let many =
        |count| (0..count).map(|number| (format!("x-{number}").parse().unwrap(), "1".parse().unwrap())).collect();
    let id = HeaderMap::from_iter([("last-event-id".parse().unwrap(), "8".parse().unwrap())]);
    for (headers, is_open) in [(id, false), (many(1025), false), (many(1024), true)] {
        let source = move |_| std::future::ready(Ok::<_, Infallible>(headers.clone()));
        let opened = within(stream(server.url()).credentials(source).open("message")).await;
        assert_eq!(opened.map_err(|error| error.kind()).err(), (!is_open).then_some(ErrorKind::Credentials));
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_source_of_credentials_that_hangs_does_not_hold_up_a_shutdown() {
    let server = staying("").await;
    let alive = Arc::new(());
    let kept = Arc::clone(&alive);
    let source = move |_| {
        let kept = Arc::clone(&kept);
        async move {
            let _kept = kept;
            std::future::pending::<Answer>().await
        }
    };
    let (handle, _events) = follow(stream(server.url()).credentials(source));
    until("the source is asked", || Arc::strong_count(&alive) == 3).await;
    within(handle.shutdown()).await;
    until("its future is dropped", || Arc::strong_count(&alive) < 3).await;
    assert_eq!(server.requests().len(), 0);
}
