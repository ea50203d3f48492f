//! The example `mcp` from outside: when it asks for the server's own messages again.

use sseclient::testing::{Script, Server};

use crate::example::{Outcome, run};
use crate::streams::ending;
use crate::support::{headers, status};

/// Runs the example against a server that answers its two calls, and then each `GET` in turn.
/// Returns also the last event ID of each `GET`.
async fn listened(answers: impl IntoIterator<Item = Script>) -> (Outcome, Vec<Option<String>>) {
    let hello = status(200).header("mcp-session-id", "s").header("content-type", "application/json");
    let calls = [hello.bytes("{\"id\":1}"), ending("id: 8\ndata:\n\ndata: {\"id\":2}\n\n")];
    let server = Server::start(calls.into_iter().chain(answers).collect::<Vec<_>>()).await;
    let outcome = run("mcp", &[server.url()]).await;
    let requests = server.requests();
    assert!(requests.len() > 2, "{requests:?}, {outcome:?}");
    assert!(requests[..2].iter().all(|request| request.method() == "POST"), "{requests:?}");
    assert!(requests[2..].iter().all(|request| request.method() == "GET"), "{requests:?}");
    assert!(requests[2..].iter().all(|request| request.headers()["mcp-session-id"] == "s"), "{requests:?}");
    (outcome, headers(&server, "last-event-id").split_off(2))
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
        let answers = [ending(format!("retry: 100\n\n{first}")), status(204)];
        let (outcome, ids) = listened(answers.into_iter().take(asked.len())).await;
        assert_eq!(ids, asked, "{first:?}");
        assert_eq!(outcome.printed, format!("{{\"id\":1}}\n{{\"id\":2}}\n{printed}"), "{first:?}");
        // Without an ID messages may be lost, so the program is told.
        assert_eq!(outcome.failure.contains("the server ended the stream"), asked.len() == 1, "{outcome:?}");
    }
}
