//! A program that asks a language model, and pays for each request.

use std::sync::{Arc, Mutex};

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use sseclient::{CloseReason, CredentialsReason, Error, ErrorKind, Filter, ReconnectPolicy};

use crate::support::transport::no_response;
use crate::support::{OPEN, Server, follow, header, setback, short, stream, within};

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: a token\n\n";
const CUT_OFF: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\ndata: a token\n\n";
const BUSY: &str = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
const REFUSED: &str = "HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_question_is_sent_once_however_it_ends() {
    for (answer, expected) in
        [(ANSWER, None), (CUT_OFF, Some(ErrorKind::Body)), (BUSY, Some(ErrorKind::Status)), ("", Some(no_response()))]
    {
        let server = Server::answering(vec![answer.to_owned()]).await;
        let (handle, mut tokens) = follow(stream(&server.url).body("question"));
        while within(tokens.recv()).await.is_some() {}
        let reason = within(handle.closed()).await;
        assert_eq!(reason.error().map(Error::kind), expected, "{answer}");
        assert_eq!(matches!(reason, CloseReason::EndOfStream), expected.is_none(), "{answer}");
        assert_eq!(server.requests().len(), 1, "{answer}");
    }
}

#[tokio::test]
async fn a_request_is_repeated_if_its_method_is_idempotent_or_a_policy_is_chosen() {
    let own = |name: &[u8]| Method::from_bytes(name).unwrap();
    let never = [Method::POST, Method::PATCH, own(b"REPORT")];
    let always = [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE];
    let rows = never.map(|method| (method, false)).into_iter().chain(always.map(|method| (method, true)));
    for (method, is_repeated) in rows {
        let server = Server::answering(vec![ANSWER.to_owned()]).await;
        let handle = stream(&server.url).method(method.clone()).build().unwrap();
        let mut states = handle.state_changes();
        handle.connect();
        if is_repeated {
            assert_eq!(setback(&mut states).await.kind(), ErrorKind::EndOfStream, "{method}");
        } else {
            assert!(matches!(within(handle.closed()).await, CloseReason::EndOfStream), "{method}");
        }
        within(handle.shutdown()).await;

        // The order of the calls does not matter.
        let daemon = stream(&server.url).reconnect_policy(ReconnectPolicy::daemon()).method(method.clone());
        let handle = daemon.build().unwrap();
        let mut states = handle.state_changes();
        handle.connect();
        assert_eq!(setback(&mut states).await.kind(), ErrorKind::EndOfStream, "{method}");
        within(handle.shutdown()).await;
    }
}

/// The server has refused to act on the first request, and the program asks for the others.
#[tokio::test]
async fn a_question_is_sent_again_with_fresh_credentials_and_when_the_program_asks() {
    let server = Server::start(|number, mut connection| async move {
        connection.send(if number == 0 { REFUSED } else { OPEN }).await;
        connection.closed().await;
    })
    .await;
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&reasons);
    let question = stream(&server.url).body("question").credentials(move |reason: CredentialsReason| {
        noted.lock().unwrap().push(format!("{reason:?}"));
        let token = noted.lock().unwrap().len().to_string();
        async move { Ok::<_, Error>(HeaderMap::from_iter([(AUTHORIZATION, token.parse().unwrap())])) }
    });
    let (handle, _tokens) = follow(question);
    within(handle.opened()).await.unwrap();
    assert_eq!(server.headers("authorization"), ["1", "2"].map(|token| Some(token.to_owned())));
    handle.reconnect();
    while server.requests().len() < 3 {
        tokio::task::yield_now().await;
    }
    assert!(server.requests().iter().all(|request| header(request, "content-length").as_deref() == Some("8")));
    within(handle.shutdown()).await;
}

#[tokio::test]
async fn an_opened_question_has_its_answer_and_then_its_end() {
    let server = Server::answering(vec![ANSWER.to_owned()]).await;
    let mut answer = within(stream(&server.url).body("question").open(Filter::all())).await.unwrap();
    assert_eq!(short(&mut answer).await, "a token");
    assert!(within(answer.recv()).await.is_none());
    assert!(matches!(answer.close_reason(), Some(CloseReason::EndOfStream)));
}
