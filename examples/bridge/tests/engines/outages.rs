//! Engines that are away or full: the streams wait, the log says so once, and nothing is lost.

use async_nats::jetstream::stream::{Config, DiscardPolicy};
use bridge::jetstream::stream_name;
use bridge::sources::BATCH;

use crate::support::engine::{Engine, Kind};
use crate::support::programs::{Bridge, consumed};
use crate::support::until;
use crate::support::upstream::{Upstream, assert_each_once};

const EVENTS: u64 = 20_000;

/// One outage may have several errors: a connection that breaks, and then one that is refused.
const MAX_COMPLAINTS: usize = 3;

async fn finish(engine: &Engine, upstream: &Upstream, bridge: &Bridge) {
    upstream.hurry();
    bridge.logs("the engine is back").await;
    until("all events have arrived", async || engine.entries().await >= EVENTS).await;
    assert_each_once(&consumed(engine, "demo").await, EVENTS);
    let complaints = bridge.log().matches("takes nothing").count();
    assert!(complaints <= MAX_COMPLAINTS, "{}", bridge.log());
    bridge.is(200, "ready").await;
    assert_eq!((bridge.metric("engine_up").await, bridge.metric("behind_seconds").await), (1.0, 0.0));
}

async fn away(kind: Kind) {
    let (mut engine, upstream) = (Engine::start(kind).await, Upstream::start(EVENTS).await);
    let bridge = Bridge::start(&engine, upstream.url(), &[]);
    until("events arrive", async || engine.entries().await > 0).await;
    engine.kill().await;
    bridge.logs("refused").await;
    bridge.is(503, "engine away").await;
    until("the outage is measured", async || bridge.metric("behind_seconds").await > 0.0).await;
    assert_eq!((bridge.metric("engine_up").await, bridge.metric("leading").await), (0.0, 1.0));
    engine.restart().await;
    finish(&engine, &upstream, &bridge).await;
    assert_eq!(
        (bridge.metric("entries_total demo").await, bridge.metric("gaps_total demo").await),
        (EVENTS as f64, 0.0)
    );
    assert!(bridge.metric("append_seconds_sum").await > 0.0 && bridge.metric("append_seconds_count").await > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn the_streams_wait_while_redis_is_away() {
    away(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn the_streams_wait_while_jetstream_is_away() {
    away(Kind::Nats).await;
}

/// Stopped during an outage, when its queue is full.
async fn stopped(kind: Kind) {
    let (mut engine, upstream) = (Engine::start(kind).await, Upstream::start(EVENTS).await);
    let start = |engine: &Engine| Bridge::start(engine, upstream.url(), &["--lease", "0.5"]);
    let mut bridge = start(&engine);
    until("events arrive", async || engine.entries().await > 0).await;
    let before = engine.entries().await;
    engine.kill().await;
    bridge.logs("stalled").await;
    let mut late = start(&engine);
    late.logs("refused").await;
    late.signal("TERM").await;
    assert!(late.exit_status().await.success(), "it has read nothing: {}", late.log());
    bridge.signal("TERM").await;
    bridge.logs("stopping").await;
    engine.restart().await;
    assert!(bridge.exit_status().await.success(), "{}", bridge.log());
    let appended = engine.entries().await;
    assert!(appended >= before + BATCH as u64, "{before}, then {appended}: {}", bridge.log());
    upstream.hurry();
    let mut bridge = start(&engine);
    until("all events have arrived", async || engine.entries().await >= EVENTS).await;
    assert_each_once(&consumed(&engine, "demo").await, EVENTS);
    engine.kill().await;
    bridge.logs("refused").await;
    bridge.signal("TERM").await;
    assert_eq!(bridge.exit_status().await.code(), Some(1), "the engine stays away: {}", bridge.log());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_a_bridge_that_is_stopped_appends_what_it_has_read() {
    stopped(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn jetstream_a_bridge_that_is_stopped_appends_what_it_has_read() {
    stopped(Kind::Nats).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn the_streams_wait_while_redis_is_full() {
    let engine = Engine::start_with(Kind::Redis, &["--maxmemory", "1500kb"]).await;
    let upstream = Upstream::start(EVENTS).await;
    let bridge = Bridge::start(&engine, upstream.url(), &[]);
    bridge.logs("takes nothing: \"OOM\"").await;
    let mut connection = redis::Client::open(engine.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut grow = redis::cmd("CONFIG");
    let _: () = grow.arg("SET").arg("maxmemory").arg(0).query_async(&mut connection).await.unwrap();
    finish(&engine, &upstream, &bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn the_streams_wait_while_jetstream_is_full() {
    let engine = Engine::start(Kind::Nats).await;
    let context = async_nats::jetstream::new(async_nats::connect(engine.url()).await.unwrap());
    let mut stream = Config {
        name: stream_name("default"),
        subjects: vec!["sse.default.*".to_owned(), "sse-term.default".to_owned()],
        max_messages: 5_000,
        discard: DiscardPolicy::New,
        ..Config::default()
    };
    context.create_stream(stream.clone()).await.unwrap();
    let upstream = Upstream::start(EVENTS).await;
    let bridge = Bridge::start(&engine, upstream.url(), &[]);
    bridge.logs("maximum messages exceeded").await;
    stream.max_messages = -1;
    context.update_stream(stream).await.unwrap();
    finish(&engine, &upstream, &bridge).await;
}
