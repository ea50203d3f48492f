//! The example `chat_completion` from outside: what it prints, and how it fails.

use crate::example::{Outcome, run};
use crate::support::{OPEN, Server};

/// Asks a server that answers with `answer` and closes the connection.
async fn answered(answer: String) -> Outcome {
    let server = Server::answering(vec![answer]).await;
    run("chat_completion", &[&server.url]).await
}

const ROLE: &str = r#"data: {"choices":[{"delta":{"role":"assistant","content":""}}],"error":null}"#;
const HELLO: &str = r#"data: {"choices":[{"delta":{"content":"hello"}}],"error":null}"#;

#[tokio::test]
async fn the_example_prints_an_answer_and_asks_for_an_event_stream() {
    let server = Server::answering(vec![format!("{OPEN}{ROLE}\n\n{HELLO}\n\ndata: [DONE]\n\n")]).await;
    let outcome = run("chat_completion", &[&server.url, "key"]).await;
    assert!(outcome.printed == "hello\n", "{outcome:?}");
    let request = server.requests().remove(0).to_ascii_lowercase();
    for header in ["accept: text/event-stream", "content-type: application/json", "authorization: bearer key"] {
        assert!(request.contains(header), "{request}");
    }
    // Its own server.
    let outcome = run("chat_completion", &[]).await;
    assert!(outcome.printed.starts_with("A response that does not end: "), "{outcome:?}");
}

#[tokio::test]
async fn the_example_says_why_it_failed() {
    let refused = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\ncontent-type: text/html\r\n\r\n{body}", body.len())
    };
    let late = |error: &str| format!("{OPEN}{HELLO}\n\ndata: {{\"error\":{error}}}\n\n");
    for (answer, failure) in [
        // Without the quotes of JSON.
        (refused("401 No", r#"{"error":{"message":"no key"}}"#), "the server answered 401 Unauthorized: no key"),
        (refused("401 No", r#"{"error":"no key"}"#), "the server answered 401 Unauthorized"),
        (refused("503 No", "<html>"), "the server answered 503 Service Unavailable"),
        (late(r#"{"message":"overloaded"}"#), "overloaded"),
        (late(r#""overloaded""#), "overloaded"),
        (format!("{OPEN}{HELLO}\n\n"), "the response ended without its end mark"),
    ] {
        let outcome = answered(answer).await;
        assert_eq!(outcome.failure, format!("Error: {failure:?}\n"), "{outcome:?}");
    }
    // With the causes.
    let cut = format!("{}1000\r\n{HELLO}\n\n", OPEN.replace("\r\n\r\n", "\r\ntransfer-encoding: chunked\r\n\r\n"));
    let outcome = answered(cut).await;
    assert!(
        outcome.failure.starts_with("Error: \"the stream broke off: ") && outcome.printed == "hello",
        "{outcome:?}"
    );
}
