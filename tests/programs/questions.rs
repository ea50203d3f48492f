//! A program that asks a language model, and pays for each request.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use sseclient::testing::Script;
use sseclient::{CloseReason, CredentialsReason, Error, ErrorKind, Filter, ReconnectPolicy};

use crate::support::transport::no_response;
use crate::support::{follow, headers, serve, setback, short, status, stream, within};

fn token() -> Script {
    Script::open().bytes("data: a token\n\n")
}

#[tokio::test]
async fn a_question_is_sent_once_however_it_ends() {
    for (answer, expected) in [
        (token().end(), None),
        (token().hang_up(), Some(ErrorKind::Body)),
        (status(503), Some(ErrorKind::Status)),
        (Script::raw().hang_up(), Some(no_response())),
    ] {
        let server = serve(answer).await;
        let (handle, mut tokens) = follow(stream(server.url()).body("question"));
        while within(tokens.recv()).await.is_some() {}
        let reason = within(handle.closed()).await;
        assert_eq!(reason.error().map(Error::kind), expected);
        assert_eq!(matches!(reason, CloseReason::EndOfStream), expected.is_none(), "{expected:?}");
        assert_eq!(server.requests().len(), 1, "{expected:?}");
    }
}

#[tokio::test]
async fn a_request_is_repeated_if_its_method_is_idempotent_or_a_policy_is_chosen() {
    let own = |name: &[u8]| Method::from_bytes(name).unwrap();
    let never = [Method::POST, Method::PATCH, own(b"REPORT")];
    let always = [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE];
    let rows = never.map(|method| (method, false)).into_iter().chain(always.map(|method| (method, true)));
    for (method, is_repeated) in rows {
        let server = serve([token().end(), token().end()]).await;
        let stream = || stream(server.url()).reconnection_time(Duration::from_secs(3600)).method(method.clone());
        let handle = stream().build().unwrap();
        let mut states = handle.state_changes();
        handle.connect();
        if is_repeated {
            assert_eq!(setback(&mut states).await.kind(), ErrorKind::EndOfStream, "{method}");
        } else {
            assert!(matches!(within(handle.closed()).await, CloseReason::EndOfStream), "{method}");
        }
        within(handle.shutdown()).await;

        // The order of the calls does not matter.
        let daemon = ReconnectPolicy::daemon().reconnection_time(Duration::from_secs(3600));
        let handle = stream().reconnect_policy(daemon).method(method.clone()).build().unwrap();
        let mut states = handle.state_changes();
        handle.connect();
        assert_eq!(setback(&mut states).await.kind(), ErrorKind::EndOfStream, "{method}");
        within(handle.shutdown()).await;
    }
}

/// The server has refused to act on the first request, and the program asks for the others.
#[tokio::test]
async fn a_question_is_sent_again_with_fresh_credentials_and_when_the_program_asks() {
    let server = serve([status(401), Script::open(), Script::open()]).await;
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&reasons);
    let question = stream(server.url()).body("question").credentials(move |reason: CredentialsReason| {
        noted.lock().unwrap().push(format!("{reason:?}"));
        let token = noted.lock().unwrap().len().to_string();
        async move { Ok::<_, Error>(HeaderMap::from_iter([(AUTHORIZATION, token.parse().unwrap())])) }
    });
    let (handle, _tokens) = follow(question);
    within(handle.opened()).await.unwrap();
    assert_eq!(headers(&server, "authorization"), ["1", "2"].map(|token| Some(token.to_owned())));
    handle.reconnect();
    while server.requests().len() < 3 {
        tokio::task::yield_now().await;
    }
    assert!(server.requests().iter().all(|request| request.body() == "question"));
    within(handle.shutdown()).await;
}

#[tokio::test]
async fn an_opened_question_has_its_answer_and_then_its_end() {
    let server = serve(token().end()).await;
    let mut answer = within(stream(server.url()).body("question").open(Filter::all())).await.unwrap();
    assert_eq!(short(&mut answer).await, "a token");
    assert!(within(answer.recv()).await.is_none());
    assert!(matches!(answer.close_reason(), Some(CloseReason::EndOfStream)));
}
