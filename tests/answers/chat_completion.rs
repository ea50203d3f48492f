//! The example `chat_completion` from outside: what it prints, and how it fails.

use sseclient::testing::{Script, Server};

use crate::example::{Outcome, run};
use crate::streams::ending;
use crate::support::status;

/// Asks a server that answers with `answer` and closes the connection.
async fn answered(answer: Script) -> Outcome {
    let server = Server::start(answer).await;
    run("chat_completion", &[server.url()]).await
}

const ROLE: &str = r#"data: {"choices":[{"delta":{"role":"assistant","content":""}}],"error":null}"#;
const HELLO: &str = r#"data: {"choices":[{"delta":{"content":"hello"}}],"error":null}"#;

#[tokio::test]
async fn the_example_prints_an_answer_and_asks_for_an_event_stream() {
    let server = Server::start(ending(format!("{ROLE}\n\n{HELLO}\n\ndata: [DONE]\n\n"))).await;
    let outcome = run("chat_completion", &[server.url(), "key"]).await;
    assert!(outcome.printed == "hello\n", "{outcome:?}");
    let request = server.requests().remove(0);
    let headers =
        [("accept", "text/event-stream"), ("content-type", "application/json"), ("authorization", "Bearer key")];
    for (name, value) in headers {
        assert_eq!(request.headers()[name], value);
    }
    // Its own server.
    let outcome = run("chat_completion", &[]).await;
    assert!(outcome.printed.starts_with("A response that does not end: "), "{outcome:?}");
}

#[tokio::test]
async fn the_example_says_why_it_failed() {
    let refused = |code, body: &'static str| status(code).header("content-type", "text/html").bytes(body);
    let late = |error: &str| ending(format!("{HELLO}\n\ndata: {{\"error\":{error}}}\n\n"));
    for (answer, failure) in [
        // Without the quotes of JSON.
        (refused(401, r#"{"error":{"message":"no key"}}"#), "the server answered 401 Unauthorized: no key"),
        (refused(401, r#"{"error":"no key"}"#), "the server answered 401 Unauthorized"),
        (refused(503, "<html>"), "the server answered 503 Service Unavailable"),
        (late(r#"{"message":"overloaded"}"#), "overloaded"),
        (late(r#""overloaded""#), "overloaded"),
        (ending(format!("{HELLO}\n\n")), "the response ended without its end mark"),
    ] {
        let outcome = answered(answer).await;
        assert_eq!(outcome.failure, format!("Error: {failure:?}\n"), "{outcome:?}");
    }
    // With the causes.
    let outcome = answered(Script::open().bytes(format!("{HELLO}\n\n")).hang_up()).await;
    assert!(
        outcome.failure.starts_with("Error: \"the stream broke off: ") && outcome.printed == "hello",
        "{outcome:?}"
    );
}
