//! What a program sees of a server that answers in every way, and of one that fails.

use std::error::Error;
use std::time::Duration;

use mcp_transport::{Inbox, McpError, Message, Session};
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use sseclient::bytes::Bytes;
use sseclient::http::{Request, StatusCode};
use sseclient::testing::{Script, Server};
use tokio::time::{Instant, timeout};

const JSON: &str = "application/json";

/// The longest wait of a test.
const LIMIT: Duration = Duration::from_secs(10);

/// The answers to `initialize`, and to the notification that follows.
fn beginning() -> [Script; 2] {
    let hello = answer(1, json!({ "protocolVersion": "2025-11-25" }));
    [
        answered(&hello).header("mcp-session-id", "s-1"),
        Script::answer(StatusCode::ACCEPTED).expect(|request| assert!(in_session(request).get("id").is_none())),
    ]
}

/// A server whose own stream is this one. What follows answers calls.
async fn server(stream: Script, calls: Vec<Script>) -> Server {
    let scripts: Vec<Script> = beginning().into_iter().chain([stream]).chain(calls).collect();
    Server::start(scripts).await
}

/// A server without a stream of its own.
async fn silent_server(calls: Vec<Script>) -> Server {
    server(Script::answer(StatusCode::METHOD_NOT_ALLOWED), calls).await
}

/// Begins a session, and waits until its own stream was asked for.
async fn begin(server: &Server) -> (Session, Inbox) {
    let before = server.requests().len();
    let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
    let (session, inbox, hello) = Session::initialize(http, server.url(), json!({})).await.unwrap();
    assert_eq!(hello["protocolVersion"], "2025-11-25");
    let asked = async {
        while server.requests().len() < before + 3 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, asked).await.unwrap();
    (session, inbox)
}

/// Checks the headers of a request within the session, and returns its message.
fn in_session(request: &Request<Bytes>) -> Value {
    assert_eq!(request.headers()["mcp-session-id"], "s-1");
    assert_eq!(request.headers()["mcp-protocol-version"], "2025-11-25");
    serde_json::from_slice(request.body()).unwrap_or_default()
}

fn answer(id: u64, result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

fn notification(text: &str) -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": text })
}

/// A response of JSON.
fn answered(message: &Value) -> Script {
    Script::answer(StatusCode::OK).header("content-type", JSON).bytes(message.to_string())
}

/// The text of an event.
fn event(id: &str, message: &Value) -> String {
    format!("id: {id}\ndata: {message}\n\n")
}

async fn call(session: &Session, method: &str) -> Result<Value, McpError> {
    timeout(LIMIT, session.call(method, json!({}))).await.unwrap()
}

async fn next(inbox: &mut Inbox) -> Result<Message, McpError> {
    timeout(LIMIT, inbox.recv()).await.unwrap().unwrap()
}

async fn next_text(inbox: &mut Inbox) -> String {
    let Message::Notification { params, .. } = next(inbox).await.unwrap() else { panic!("no notification") };
    params.as_str().unwrap().to_owned()
}

/// Returns an error with its causes.
fn with_causes(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", with_causes(cause)))
}

#[tokio::test]
async fn calls_are_answered_by_json_and_by_streams_with_messages_between() {
    // The server's IDs are its own: this one is also that of the call.
    let request = json!({ "jsonrpc": "2.0", "id": 3, "method": "sampling/createMessage", "params": {} });
    let stream = [
        "id: a-0\ndata:\n\n".to_owned(),
        event("a-1", &notification("half")),
        event("a-2", &request),
        event("a-3", &answer(3, json!(5))),
    ]
    .concat();
    // Cut within lines.
    let pieces: Vec<String> =
        stream.as_bytes().chunks(41).map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect();
    let server = silent_server(vec![
        answered(&answer(2, json!({ "tools": [] }))).expect(|request| {
            assert_eq!(request.headers()["accept"], "application/json, text/event-stream");
            assert_eq!(in_session(request), json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {} }));
        }),
        Script::open().pieces(pieces).expect(|request| assert_eq!(in_session(request)["id"], 3)),
        Script::answer(StatusCode::ACCEPTED)
            .expect(|request| assert_eq!(in_session(request), json!({ "jsonrpc": "2.0", "id": 3, "result": {} }))),
        Script::answer(StatusCode::OK).expect(|request| {
            in_session(request);
            assert_eq!(request.method(), "DELETE");
        }),
    ])
    .await;
    let (session, mut inbox) = begin(&server).await;
    assert_eq!(call(&session, "tools/list").await.unwrap(), json!({ "tools": [] }));
    assert_eq!(call(&session, "tools/call").await.unwrap(), 5);
    assert_eq!(next_text(&mut inbox).await, "half");
    let Message::Request { id, method, .. } = next(&mut inbox).await.unwrap() else { panic!("no request") };
    assert_eq!(method, "sampling/createMessage");
    session.respond(&id, json!({})).await.unwrap();
    session.close().await.unwrap();
    assert!(inbox.recv().await.is_none(), "the session is gone");
    server.finish().await;
}

#[tokio::test]
async fn an_answer_is_resumed_after_the_last_id_however_often_it_is_cut() {
    let resumed_from = |id: &'static str, script: Script| {
        script.expect_resumed_from(id).expect(|request| {
            in_session(request);
            assert_eq!(request.method(), "GET");
        })
    };
    let server = silent_server(vec![
        // A server that lets go of its clients until there is something to say.
        Script::open().bytes("id: a-0\nretry: 0\ndata:\n\n").end(),
        resumed_from("a-0", Script::open())
            .bytes(event("a-1", &notification("half")))
            .bytes("id: a-2\ndata: {\"js")
            .hang_up(),
        resumed_from("a-1", Script::answer(StatusCode::SERVICE_UNAVAILABLE)),
        resumed_from("a-1", Script::raw().hang_up()),
        resumed_from("a-1", Script::open()).bytes(event("a-2", &answer(2, json!("whole")))),
    ])
    .await;
    let (session, mut inbox) = begin(&server).await;
    assert_eq!(call(&session, "tools/call").await.unwrap(), "whole");
    assert_eq!(next_text(&mut inbox).await, "half");
    let posts = server.requests().iter().filter(|request| request.method() == "POST").count();
    assert_eq!(posts, 3, "a call is sent once");
    server.finish().await;
}

#[tokio::test]
async fn a_stream_is_resumed_no_sooner_than_the_server_asks() {
    let resumed = Script::open().expect_resumed_from("a-0").bytes(event("a-1", &answer(2, json!(5))));
    let server = silent_server(vec![Script::open().bytes("id: a-0\nretry: 300\ndata:\n\n").end(), resumed]).await;
    let (session, _inbox) = begin(&server).await;
    let asked = Instant::now();
    assert_eq!(call(&session, "tools/call").await.unwrap(), 5);
    assert!(asked.elapsed() >= Duration::from_millis(300), "{:?}", asked.elapsed());
    server.finish().await;
}

#[tokio::test]
async fn an_answer_without_an_id_is_lost_when_its_stream_ends() {
    let half = format!("data: {}\n\n", notification("half"));
    for (script, shown) in [
        (Script::open().bytes(half.clone()).end(), "the stream ended before the answer"),
        (Script::open().bytes(half.clone()).hang_up(), "the stream ended before the answer: "),
        (Script::open().bytes("id: \ndata: {\"jsonrpc\":").end(), "the stream ended before the answer"),
    ] {
        let server = silent_server(vec![script]).await;
        let (session, _inbox) = begin(&server).await;
        let lost = call(&session, "tools/call").await.unwrap_err();
        assert!(matches!(lost, McpError::AnswerLost(_)), "{lost:?}");
        assert!(with_causes(&lost).starts_with(shown), "{}", with_causes(&lost));
        server.finish().await;
    }
}

#[tokio::test]
async fn a_session_that_the_server_forgot_is_an_error_of_its_own() {
    let gone = || Script::answer(StatusCode::NOT_FOUND);
    let mut scripts = vec![gone(), Script::open().bytes("id: a-0\nretry: 0\ndata:\n\n").end(), gone(), gone()];
    // It is begun again, as the error asks.
    scripts.extend(beginning());
    scripts.push(gone());
    let server = silent_server(scripts).await;
    let (session, _inbox) = begin(&server).await;
    let lost = call(&session, "a").await.unwrap_err();
    assert!(matches!(lost, McpError::SessionLost), "of a call: {lost:?}");
    let lost = call(&session, "b").await.unwrap_err();
    assert!(matches!(lost, McpError::SessionLost), "of a call that is resumed: {lost:?}");
    let lost = session.close().await.unwrap_err();
    assert!(matches!(lost, McpError::SessionLost), "at its end: {lost:?}");
    let (_session, mut inbox) = begin(&server).await;
    let lost = next(&mut inbox).await.unwrap_err();
    assert!(matches!(lost, McpError::SessionLost), "of the server's own stream: {lost:?}");
    server.finish().await;
}

#[tokio::test]
async fn the_servers_own_stream_resumes_and_says_what_it_missed() {
    let first =
        ["retry: 100\n\n".to_owned(), event("m-1", &notification("one")), "id: m-2\ndata: {\"js".to_owned()].concat();
    // An empty ID: from here on the server cannot resume.
    let second =
        ["data: no message\n\n".to_owned(), event("m-2", &notification("two")), event("", &notification("three"))]
            .concat();
    let again = vec![
        Script::open().expect_resumed_from("m-1").bytes(second).end(),
        Script::open().expect_resumed_from("").bytes(event("m-9", &notification("nine"))),
    ];
    let server = server(Script::open().bytes(first).hang_up(), again).await;
    let (_session, mut inbox) = begin(&server).await;
    assert_eq!(next_text(&mut inbox).await, "one");
    assert!(matches!(next(&mut inbox).await, Err(McpError::Malformed(_))));
    assert_eq!(next_text(&mut inbox).await, "two");
    assert_eq!(next_text(&mut inbox).await, "three");
    assert!(matches!(next(&mut inbox).await, Err(McpError::Missed(_))));
    assert_eq!(next_text(&mut inbox).await, "nine");
    server.finish().await;
}

#[tokio::test]
async fn errors_and_refusals_say_what_the_server_said() {
    let failed = json!({ "jsonrpc": "2.0", "id": 2, "error": { "code": -32602, "message": "no such tool" } });
    let nameless = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32700, "message": "what?" } });
    let refused = |status: StatusCode| Script::answer(status).header("content-type", JSON).bytes(failed.to_string());
    let cases = [
        (answered(&failed), "the server answered with error -32602: no such tool"),
        (Script::open().bytes(event("a", &failed)), "the server answered with error -32602: no such tool"),
        (refused(StatusCode::BAD_REQUEST), "the server answered with error -32602: no such tool"),
        (
            Script::answer(StatusCode::BAD_GATEWAY).bytes("<h1>"),
            "the server refused: the server answered 502 Bad Gateway",
        ),
        (answered(&nameless), "the server answered with error -32700: what?"),
        (answered(&answer(99, json!(5))), "the server does not keep to JSON-RPC: a body that does not answer call 2"),
        (answered(&notification("?")), "the server does not keep to JSON-RPC: a body that does not answer call 2"),
        (Script::answer(StatusCode::ACCEPTED), "the server refused: the server answered 202 Accepted"),
        (answered(&json!("?")), "the server does not keep to JSON-RPC: "),
        (Script::open().bytes("data: ?\n\n"), "the server does not keep to JSON-RPC: "),
        (Script::raw().hang_up(), "the request failed: "),
    ];
    for (script, shown) in cases {
        let server = silent_server(vec![script]).await;
        let (session, _inbox) = begin(&server).await;
        let error = call(&session, "tools/call").await.unwrap_err();
        assert!(with_causes(&error).starts_with(shown), "{}", with_causes(&error));
        server.finish().await;
    }
}

#[tokio::test]
async fn a_refusal_keeps_the_challenge_for_the_program_to_answer() {
    let refusal = Script::answer(StatusCode::UNAUTHORIZED).header("www-authenticate", "Bearer scope=\"x\"");
    let server = silent_server(vec![refusal]).await;
    let (session, _inbox) = begin(&server).await;
    let McpError::Refused(error) = call(&session, "tools/call").await.unwrap_err() else { panic!("no refusal") };
    assert_eq!(error.headers().unwrap()["www-authenticate"], "Bearer scope=\"x\"");
    server.finish().await;
}

#[tokio::test]
async fn a_server_without_streams_and_without_deletion_is_no_failure() {
    // More than once: an inbox looks at its sources in any order.
    for _ in 0..8 {
        let no_deletion = Script::answer(StatusCode::METHOD_NOT_ALLOWED);
        let server = silent_server(vec![answered(&answer(2, json!(5))), no_deletion]).await;
        let (session, mut inbox) = begin(&server).await;
        assert_eq!(call(&session, "a").await.unwrap(), 5);
        session.close().await.unwrap();
        assert!(inbox.recv().await.is_none(), "nothing was said, not even an error");
        server.finish().await;
    }
}

#[tokio::test]
async fn too_many_messages_before_the_session_are_an_error_at_once() {
    for (count, is_taken) in [(64, true), (65, false)] {
        let messages: String = (0..count).map(|_| event("a", &notification("hm"))).collect();
        let hello = event("b", &answer(1, json!({ "protocolVersion": "2025-11-25" })));
        let mut scripts = vec![Script::open().header("mcp-session-id", "s-1").bytes(messages + &hello)];
        if is_taken {
            let [_, accepted] = beginning();
            scripts.extend([accepted, Script::answer(StatusCode::METHOD_NOT_ALLOWED)]);
        }
        let server = Server::start(scripts).await;
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        let begun = timeout(LIMIT, Session::initialize(http, server.url(), json!({}))).await.unwrap();
        match begun {
            Ok((_session, mut inbox, _)) if is_taken => {
                for _ in 0..count {
                    assert_eq!(next_text(&mut inbox).await, "hm");
                }
                server.finish().await;
            }
            Err(McpError::Missed(_)) if !is_taken => server.finish().await,
            other => panic!("{count} messages: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_call_has_a_limit_before_and_within_its_answer() {
    let hour = Duration::from_secs(3600);
    for script in [Script::raw().stall(hour), Script::open().bytes("id: a-0\ndata:\n\n").stall(hour)] {
        let server = silent_server(vec![script]).await;
        let (session, _inbox) = begin(&server).await;
        let session = session.call_timeout(Duration::from_millis(500));
        let error = call(&session, "tools/call").await.unwrap_err();
        assert!(matches!(error, McpError::TimedOut(_)), "{error:?}");
        // Fails unless the client has left.
        server.finish().await;
    }
}
