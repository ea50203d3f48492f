//! What is lost is an entry of its own, where it was.

use sseclient::http::StatusCode;
use sseclient::testing::{Script, Server};
use sseclient::{Event, EventBuilder};

use crate::support::engine::{Engine, Kind};
use crate::support::programs::{Bridge, consumed};
use crate::support::until;

const LEASE: [&str; 2] = ["--lease", "0.2"];

fn event(id: &str, data: &str) -> EventBuilder {
    Event::builder().id(id).data(data)
}

async fn entries(engine: &Engine, count: u64) -> Vec<String> {
    until("the entries have arrived", async || engine.entries().await >= count).await;
    consumed(engine, "demo").await
}

/// An event that is too large, and a connection that breaks while there is no ID to resume after.
async fn during_a_run(kind: Kind) {
    let engine = Engine::start(kind).await;
    let server = Server::start([
        Script::open()
            .bytes("retry: 100\n\n")
            .event(event("1", "one"))
            .event(event("2", &"x".repeat(800 * 1024)))
            .event(("update", "inherits an ID\nin two lines"))
            .event(event("", "clears the ID"))
            .hang_up(),
        Script::open().expect_resumed_from("").event(event("4", "four")),
    ])
    .await;
    let bridge = Bridge::start(&engine, server.url(), &LEASE);
    let expected = [
        "message\t1\tone",
        "gap:oversized:1\t2\t1 event was skipped: over the size limit, 819200 bytes",
        "update\t2\tinherits an ID\\nin two lines",
        "message\t\tclears the ID",
        "gap:reconnected\t\treconnected without an ID: what came in between is lost",
        "message\t4\tfour",
    ];
    assert_eq!(entries(&engine, 6).await, expected);
    until("both gaps are counted", async || bridge.metric("gaps_total demo").await == 2.0).await;
    server.finish().await;
}

/// Without IDs it is not known what came between two runs.
async fn between_runs(kind: Kind) {
    let engine = Engine::start(kind).await;
    let server = Server::start([
        Script::open().event(("tick", "one")).event(("tick", "two")),
        Script::open().expect_resumed_from(""),
        Script::open().expect_resumed_from("").event(("tick", "three")),
    ])
    .await;
    for (run, count) in [(1, 2), (2, 3), (3, 4)] {
        let mut bridge = Bridge::start(&engine, server.url(), &LEASE);
        until("the run is complete", async || engine.entries().await >= count).await;
        bridge.logs("open").await;
        assert_eq!(server.requests().len(), run);
        bridge.kill().await;
    }
    let gap = "gap:restarted\t\tthe bridge has restarted: events may be missing or repeated here";
    assert_eq!(consumed(&engine, "demo").await, ["tick\t\tone", "tick\t\ttwo", gap, "tick\t\tthree"]);
    server.finish().await;
}

/// After an event without an ID of its own, the server may resume before or after it.
async fn within_an_id(kind: Kind) {
    let engine = Engine::start(kind).await;
    let server = Server::start([
        Script::open().event(event("7", "seven")).event(("message", "after seven")),
        Script::open().expect_resumed_from("7").event(event("8", "eight")),
        Script::open().expect_resumed_from("8"),
    ])
    .await;
    for count in [2, 4, 4] {
        let mut bridge = Bridge::start(&engine, server.url(), &LEASE);
        bridge.logs("open").await;
        until("the run is complete", async || engine.entries().await >= count).await;
        bridge.kill().await;
    }
    let gap = "gap:restarted\t7\tthe bridge has restarted: events may be missing or repeated here";
    assert_eq!(
        consumed(&engine, "demo").await,
        ["message\t7\tseven", "message\t7\tafter seven", gap, "message\t8\teight"]
    );
    server.finish().await;
}

/// A server that has forgotten the ID refuses it.
async fn of_an_id_that_is_refused(kind: Kind) {
    let engine = Engine::start(kind).await;
    let server = Server::start([
        Script::open().event(event("7", "seven")),
        Script::answer(StatusCode::GONE).expect_resumed_from("7"),
        Script::open().expect_resumed_from("").event(event("1", "one")),
    ])
    .await;
    for count in [1, 3] {
        let mut bridge = Bridge::start(&engine, server.url(), &LEASE);
        until("the run is complete", async || engine.entries().await >= count).await;
        bridge.kill().await;
    }
    let gap = "gap:reconnected\t7\treconnected without an ID: what came in between is lost";
    assert_eq!(consumed(&engine, "demo").await, ["message\t7\tseven", gap, "message\t1\tone"]);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_shows_each_loss_where_it_was() {
    during_a_run(Kind::Redis).await;
    between_runs(Kind::Redis).await;
    within_an_id(Kind::Redis).await;
    of_an_id_that_is_refused(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn jetstream_shows_each_loss_where_it_was() {
    during_a_run(Kind::Nats).await;
    between_runs(Kind::Nats).await;
    within_an_id(Kind::Nats).await;
    of_an_id_that_is_refused(Kind::Nats).await;
}

/// The server takes 64 KiB of headers, which the type and the ID are.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn jetstream_goes_on_after_a_type_and_an_id_that_it_cannot_store() {
    let engine = Engine::start(Kind::Nats).await;
    let long = "x".repeat(70_000);
    let long_type = format!("event: {long}\nid: 2\ndata: two\n\n");
    let fits = "x".repeat(60_000);
    let script = Script::open().event(event("1", "one")).bytes(long_type).event(event(&long, "three"));
    let script = script.event((fits.as_str(), "inherits the long ID")).event(event("5", "five"));
    let server = Server::start([script]).await;
    let _bridge = Bridge::start(&engine, server.url(), &LEASE);
    let skipped = "1 event was skipped: the engine cannot store it";
    let expected = [
        "message\t1\tone",
        &format!("gap:oversized:1\t2\t{skipped}"),
        &format!("gap:oversized:1\t\t{skipped}"),
        &format!("{fits}\t\tinherits the long ID"),
        "message\t5\tfive",
    ];
    assert_eq!(entries(&engine, 5).await, expected);
    server.finish().await;
}
