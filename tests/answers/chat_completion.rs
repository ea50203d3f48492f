//! The example `chat_completion` from outside: what it prints, and how it fails.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use crate::support::{OPEN, Server, within};

/// What the example printed, and what it said about a failure.
#[derive(Debug)]
struct Outcome {
    printed: String,
    failure: String,
}

/// Runs the example, which `cargo test` builds next to the test's own binary, without a proxy.
async fn run(args: [&str; 2]) -> Outcome {
    let test = std::env::current_exe().unwrap();
    let mut program = PathBuf::from(test.parent().and_then(|deps| deps.parent()).unwrap());
    program.push("examples");
    program.push(format!("chat_completion{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "run `cargo build --all-features --examples` before this test");
    let mut command = Command::new(program);
    command.args(args).env("NO_PROXY", "127.0.0.1").stdin(Stdio::null()).kill_on_drop(true);
    let output = within(command.output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let outcome = Outcome { printed: text(output.stdout), failure: text(output.stderr) };
    assert_eq!(output.status.success(), outcome.failure.is_empty(), "{outcome:?}");
    outcome
}

/// Asks a server that answers with `answer` and closes the connection.
async fn answered(answer: String) -> Outcome {
    let server = Server::answering(vec![answer]).await;
    run([&server.url, ""]).await
}

const ROLE: &str = r#"data: {"choices":[{"delta":{"role":"assistant","content":""}}],"error":null}"#;
const HELLO: &str = r#"data: {"choices":[{"delta":{"content":"hello"}}],"error":null}"#;

#[tokio::test]
async fn the_example_prints_an_answer_and_asks_for_an_event_stream() {
    let server = Server::answering(vec![format!("{OPEN}{ROLE}\n\n{HELLO}\n\ndata: [DONE]\n\n")]).await;
    let outcome = run([&server.url, "key"]).await;
    assert!(outcome.printed == "hello\n", "{outcome:?}");
    let request = server.requests().remove(0).to_ascii_lowercase();
    for header in ["accept: text/event-stream", "content-type: application/json", "authorization: bearer key"] {
        assert!(request.contains(header), "{request}");
    }
    // Its own server.
    let outcome = run(["", ""]).await;
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
