//! What servers answer, and what they are asked with. The engine does not matter here.

use std::fs;

use sseclient::Event;
use sseclient::http::StatusCode;
use sseclient::testing::{Script, Server};

use crate::support::engine::{Engine, Kind};
use crate::support::programs::Bridge;
use crate::support::until;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_204_ends_one_stream_and_the_last_one_ends_the_bridge() {
    let engine = Engine::start(Kind::Redis).await;
    let gone = Server::start([Script::answer(StatusCode::NO_CONTENT)]).await;
    let event = Event::builder().id("1").data("one");
    let other = Server::start([
        Script::open().bytes("retry: 10\n\n").event(event).end(),
        Script::answer(StatusCode::NO_CONTENT),
    ])
    .await;
    let other_stream = format!("other={}", other.url());
    let mut bridge = Bridge::start(&engine, gone.url(), &["--stream", &other_stream]);
    bridge.logs("demo has ended").await;
    until("the other goes on", async || engine.entries_of("other").await == 1).await;
    assert!(bridge.exit_status().await.success());
    bridge.logs("other has ended").await;
    gone.finish().await;
    other.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn the_headers_of_a_file_go_to_the_server_of_their_stream_alone() {
    let engine = Engine::start(Kind::Redis).await;
    let file = engine.folder().join("headers");
    fs::write(&file, "Authorization: Bearer secret\n\nX-Tenant: 7\n").unwrap();
    let (demo, other) = (Server::start([Script::open()]).await, Server::start([Script::open()]).await);
    let (headers, stream) = (format!("demo={}", file.display()), format!("other={}", other.url()));
    let bridge = Bridge::start(&engine, demo.url(), &["--headers", &headers, "--stream", &stream]);
    until("both are asked", async || demo.requests().len() + other.requests().len() == 2).await;
    let sent = |server: &Server| {
        let requests = server.requests();
        ["authorization", "x-tenant"].map(|name| Some(requests[0].headers().get(name)?.to_str().unwrap().to_owned()))
    };
    assert_eq!(sent(&demo), [Some("Bearer secret".to_owned()), Some("7".to_owned())]);
    assert_eq!(sent(&other), [None, None]);
    assert!(!bridge.has_logged("secret"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_connection_that_is_silent_for_too_long_is_made_anew() {
    let engine = Engine::start(Kind::Redis).await;
    let event = |id: &str| Event::builder().id(id).data("one");
    let silent = Script::open().bytes("retry: 10\n\n").event(event("1"));
    let server = Server::start([silent, Script::open().expect_resumed_from("1").event(event("2"))]).await;
    let _bridge = Bridge::start(&engine, server.url(), &["--idle", "0.5"]);
    until("both events have arrived", async || engine.entries().await == 2).await;
    server.finish().await;
}
