//! The example `mcp` from outside: when it asks for the server's own messages again.

use crate::example::{Outcome, run};
use crate::support::plain::STOP;
use crate::support::{OPEN, Server, header};

/// Runs the example against a server that answers its two calls, and then each `GET` in turn.
/// Returns also the last event ID of each `GET`.
async fn listened(answers: &[&str]) -> (Outcome, Vec<Option<String>>) {
    let hello = "HTTP/1.1 200 OK\r\nmcp-session-id: s\r\ncontent-type: application/json\r\n\r\n{\"id\":1}";
    let sum = format!("{OPEN}id: 8\ndata:\n\ndata: {{\"id\":2}}\n\n");
    let answers = answers.iter().map(|answer| (*answer).to_owned());
    let server = Server::answering([hello.to_owned(), sum].into_iter().chain(answers).collect()).await;
    let outcome = run("mcp", &[&server.url]).await;
    let requests = server.requests();
    assert!(requests[..2].iter().all(|request| request.starts_with("POST ")), "{requests:?}");
    let listening = &requests[2..];
    for request in listening {
        assert!(request.starts_with("GET ") && header(request, "mcp-session-id").as_deref() == Some("s"), "{request}");
    }
    (outcome, listening.iter().map(|request| header(request, "last-event-id")).collect())
}

#[tokio::test]
async fn the_example_listens_again_only_after_an_id_was_seen() {
    let id = |id: &str| Some(id.to_owned());
    for (first, printed, asked) in [
        ("data: one\n\n", "one\n", vec![None]),
        ("", "", vec![None]),
        ("id: 7\ndata: one\n\n", "one\n", vec![None, id("7")]),
        // An ID without a message counts: servers begin with one.
        ("id: 6\n\n", "", vec![None, id("6")]),
        // One that the server takes back does not.
        ("id: 7\ndata: one\n\nid:\ndata: two\n\n", "one\ntwo\n", vec![None]),
    ] {
        let (outcome, ids) = listened(&[&format!("{OPEN}retry: 100\n\n{first}"), STOP]).await;
        assert_eq!(ids, asked, "{first:?}");
        assert_eq!(outcome.printed, format!("{{\"id\":1}}\n{{\"id\":2}}\n{printed}"), "{first:?}");
        // Without an ID messages may be lost, so the program is told.
        assert_eq!(outcome.failure.contains("the server ended the stream"), asked.len() == 1, "{outcome:?}");
    }
}
