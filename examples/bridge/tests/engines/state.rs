//! What the page, `/health` and `/metrics` tell, beside what the tests of outages and standbys ask.

use std::process::Stdio;

use sseclient::Event;
use sseclient::http::StatusCode;
use sseclient::testing::{Script, Server};
use tokio::process::Command;

use crate::support::engine::{Engine, Kind};
use crate::support::programs::Bridge;
use crate::support::until;

/// Nothing listens there.
const NOWHERE: &str = "redis://user:secret@127.0.0.1:1/";

/// A row of the page.
const TRIES_AGAIN: &str = "<td>demo<td class=\"bad\">tries again in ";

#[tokio::test]
async fn without_an_engine_the_page_says_what_is_wrong_and_no_secret() {
    let bridge = Bridge::start_to(NOWHERE, "http://127.0.0.1:1/", &[]);
    bridge.logs("127.0.0.1:1 takes nothing: Connection refused").await;
    bridge.is(503, "engine away").await;
    let page = bridge.get("/").await;
    assert!(page.starts_with("HTTP/1.1 200 OK") && page.contains("Content-Type: text/html"), "{page}");
    for text in ["<strong>engine away</strong>", "Connection refused", "Engine: 127.0.0.1:1.", "<td>demo<td>"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("secret") && !bridge.has_logged("secret"));
    assert_eq!((bridge.metric("engine_up").await, bridge.metric("leading").await), (0.0, 0.0));
    assert!(bridge.get("/else").await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn wrong_usage_ends_at_once_and_says_what_is_wrong() {
    let table: [(&[&str], &str); 3] = [
        (&["--to", "http://127.0.0.1:6379/"], "--to is not redis://HOST:PORT/ or nats://HOST:PORT"),
        (&["--to", NOWHERE, "--stream", "a=ftp://host/"], "stream a: the scheme"),
        (&["--to", NOWHERE, "--listen", "8080"], "not IP:PORT: 8080"),
    ];
    for (args, mistake) in table {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bridge"));
        let output = command.args(args).stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.starts_with(&format!("bridge: {mistake}")), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_source_that_is_down_is_shown_with_the_reason() {
    let engine = Engine::start(Kind::Redis).await;
    let event = |id: &str| Event::builder().id(id).data("one");
    let away = || Script::answer(StatusCode::SERVICE_UNAVAILABLE).expect_resumed_from("1");
    let demo = Script::open().bytes("retry: 500\n\n").event(event("1")).end();
    let back = Script::open().expect_resumed_from("1").event(event("2"));
    let server = Server::start([demo, away(), away(), back]).await;
    let other = Server::start([Script::open()]).await;
    let other_stream = format!("other={}", other.url());
    let bridge = Bridge::start(&engine, server.url(), &["--stream", &other_stream]);
    until("the page says that demo is down", async || bridge.get("/").await.contains(TRIES_AGAIN)).await;
    until("the metrics say so", async || bridge.metric("source_open demo").await == 0.0).await;
    bridge.is(200, "ready: leads the group default; 2 of 2 sources are open").await;
    assert_eq!(bridge.metric("source_open demo").await, 1.0);
    until("both events are counted", async || bridge.metric("entries_total demo").await == 2.0).await;
    let page = bridge.get("/").await;
    assert!(page.contains("503") && bridge.metric("source_last_failure_timestamp_seconds demo").await > 0.0, "{page}");
    server.finish().await;
}
