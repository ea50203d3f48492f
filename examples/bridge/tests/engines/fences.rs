//! Whatever the timing: no append is repeated, and none of an earlier leader is taken.

use std::time::Duration;

use bridge::config::{Config, Source};
use bridge::engine::{EngineError, Lead, Term};
use bridge::entry::{Entry, ResumePoint};
use bridge::jetstream::JetStream;
use bridge::redis_streams::RedisStreams;
use sseclient::{Delivery, Event};

use crate::support::engine::{Engine, Kind};
use crate::support::programs::{Bridge, consumed};
use crate::support::proxy::{Answers, Proxy};
use crate::support::until;
use crate::support::upstream::{Upstream, assert_each_once};

const EVENTS: u64 = 20_000;

/// The engine takes a batch, and its answer is lost with the connection.
async fn lost_answers(kind: Kind) {
    let (mut engine, upstream) = (Engine::start(kind).await, Upstream::start(EVENTS).await);
    let proxy = Proxy::start(engine.port).await;
    let engine_port = std::mem::replace(&mut engine.port, proxy.port);
    let bridge = Bridge::start(&engine, upstream.url(), &[]);
    engine.port = engine_port;
    for _ in 0..5 {
        let before = engine.entries().await;
        until("events arrive", async || engine.entries().await > before + 200).await;
        let before = proxy.swallowed();
        proxy.set(Answers::Swallow);
        until("an answer is lost", async || proxy.swallowed() > before).await;
        proxy.set(Answers::Break);
    }
    bridge.logs("entries had been appended").await;
    upstream.hurry();
    until("all events have arrived", async || engine.entries().await >= EVENTS).await;
    assert_each_once(&consumed(&engine, "demo").await, EVENTS);
}

/// Returns two bridges of one group.
fn configs(engine: &Engine) -> [Config; 2] {
    ["first", "second"].map(|owner| Config {
        sources: ["demo", "other"].map(|name| Source::new(name, "")).into(),
        lease: Duration::from_secs(60),
        owner: owner.to_owned(),
        ..Config::new(&engine.url())
    })
}

fn entry() -> Entry {
    let event = Event::builder().id("1").data("one").build().unwrap();
    Entry::new(0, Delivery::Event(event), &ResumePoint::default()).unwrap()
}

/// The second has led, but not yet written, when the first appends.
async fn earlier_leader<E: bridge::engine::Engine>([mut first, mut second]: [E; 2]) {
    let Ok(Lead::Granted(Term { position, .. })) = first.lead().await else { panic!("the first leads") };
    let Ok(Lead::Held { by }) = second.lead().await else { panic!("the second stands by") };
    assert_eq!(by, "first");
    first.release().await.unwrap();
    let Ok(Lead::Granted(term)) = second.lead().await else { panic!("the second leads") };
    let late = first.append(position, &[entry()]).await;
    assert!(matches!(late, Err(EngineError::Fenced)), "{late:?}");
    second.append(term.position, &[entry()]).await.unwrap();
    // Its own late writes are refused, too.
    let late = second.append(term.position, &[entry()]).await;
    assert!(matches!(late, Err(EngineError::Fenced)), "{late:?}");
    let Ok(Lead::Granted(again)) = second.lead().await else { panic!("the second still leads") };
    assert_eq!((again.continues, again.position), (true, term.position + 1));
    assert_eq!(again.resume, [Some(ResumePoint::new("1", true))]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_an_append_whose_answer_is_lost_is_not_repeated() {
    lost_answers(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn jetstream_an_append_whose_answer_is_lost_is_not_repeated() {
    lost_answers(Kind::Nats).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_refuses_an_earlier_leader_before_the_new_one_writes() {
    let engine = Engine::start(Kind::Redis).await;
    earlier_leader(configs(&engine).map(|config| RedisStreams::new(&config).unwrap())).await;
    assert_eq!(consumed(&engine, "demo").await, ["message\t1\tone"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn jetstream_refuses_an_earlier_leader_before_the_new_one_writes() {
    let engine = Engine::start(Kind::Nats).await;
    earlier_leader(configs(&engine).map(|config| JetStream::new(&config))).await;
    assert_eq!(consumed(&engine, "demo").await, ["message\t1\tone"]);
}
