//! At any timing: no append is repeated, and none of an earlier leader is taken.

use std::time::Duration;

use bridge::config::{Config, Source};
use bridge::engine::{Engine as _, EngineError, Lead, Term};
use bridge::entry::{Entry, ResumePoint};
use bridge::jetstream::JetStream;
use bridge::redis_streams::{RedisStreams, stream_key};
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
    until("all of them are counted", async || bridge.metric("entries_total demo").await == EVENTS as f64).await;
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

fn entry(source: usize, data: &str) -> Entry {
    let event = Event::builder().id("1").data(data).build().unwrap();
    Entry::new(source, Delivery::Event(event), &ResumePoint::default()).unwrap()
}

async fn begin(engine: &mut impl bridge::engine::Engine) -> Term {
    let Ok(Lead::Granted(term)) = engine.lead().await else { panic!("another bridge leads") };
    term
}

/// The second has led, but not yet written, when the first appends.
async fn earlier_leader<E: bridge::engine::Engine>([mut first, mut second]: [E; 2]) {
    let Term { position, .. } = begin(&mut first).await;
    first.append(position, &[entry(0, "zero")]).await.unwrap();
    let Ok(Lead::Held { by }) = second.lead().await else { panic!("the second stands by") };
    assert_eq!(by, "first");
    first.release().await.unwrap();
    let term = begin(&mut second).await;
    // The second of these expects the sequence number that the new term has taken in NATS.
    for _ in 0..2 {
        let late = first.append(position + 1, &[entry(0, "late"), entry(0, "later"), entry(0, "last")]).await;
        assert!(matches!(late, Err(EngineError::Fenced)), "{late:?}");
    }
    second.append(term.position, &[entry(0, "one")]).await.unwrap();
    // Its own late writes are refused, too.
    let late = second.append(term.position, &[entry(0, "again")]).await;
    assert!(matches!(late, Err(EngineError::Fenced)), "{late:?}");
    let again = begin(&mut second).await;
    assert_eq!((again.continues, again.position), (true, term.position + 1));
    assert_eq!(again.resume, [Some(ResumePoint::new("1", true)), None]);
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
    assert_eq!(consumed(&engine, "demo").await, ["message\t1\tzero", "message\t1\tone"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn jetstream_refuses_an_earlier_leader_before_the_new_one_writes() {
    let engine = Engine::start(Kind::Nats).await;
    earlier_leader(configs(&engine).map(|config| JetStream::new(&config))).await;
    assert_eq!(consumed(&engine, "demo").await, ["message\t1\tzero", "message\t1\tone"]);
}

/// A term begins when the server has taken a part of an earlier leader's batch.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn jetstream_refuses_the_rest_of_a_batch_that_a_term_cuts_in_two() {
    let engine = Engine::start(Kind::Nats).await;
    let proxy = Proxy::start(engine.port).await;
    let [mut through_proxy, direct] = configs(&engine);
    through_proxy.to = format!("nats://127.0.0.1:{}", proxy.port);
    let (mut first, mut second) = (JetStream::new(&through_proxy), JetStream::new(&direct));
    let Term { position, .. } = begin(&mut first).await;
    first.release().await.unwrap();
    first.append(position, &[entry(0, "0")]).await.unwrap();
    let batch: Vec<Entry> = (1..=8).map(|number| entry(0, &number.to_string().repeat(1024))).collect();
    proxy.hold_after(4 * 1024);
    let first_appends = tokio::spawn(async move { first.append(position + 1, &batch).await });
    until("a part has arrived", async || engine.entries().await > 1).await;
    let term = begin(&mut second).await;
    let taken = usize::try_from(engine.entries().await).unwrap();
    assert!(taken < 9, "the batch was not cut");
    proxy.release();
    let late = first_appends.await.unwrap();
    assert!(matches!(late, Err(EngineError::Fenced)), "{late:?}");
    second.append(term.position, &[entry(0, "new")]).await.unwrap();
    let entries = consumed(&engine, "demo").await;
    assert_eq!(entries.len(), taken + 1);
    assert_eq!(entries.last().unwrap(), "message\t1\tnew");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_takes_no_part_of_a_batch_that_it_cannot_take_as_a_whole() {
    let engine = Engine::start(Kind::Redis).await;
    let [config, _] = configs(&engine);
    let mut bridge = RedisStreams::new(&config).unwrap();
    let Term { position, .. } = begin(&mut bridge).await;
    let batch = [entry(0, "one"), entry(1, "one")];
    let mut connection = redis::Client::open(engine.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let foreign = stream_key("default", "other");
    let _: () = redis::cmd("SET").arg(&foreign).arg("text").query_async(&mut connection).await.unwrap();
    for _ in 0..3 {
        let refused = bridge.append(position, &batch).await;
        assert!(matches!(refused, Err(EngineError::Unavailable(_))), "{refused:?}");
        assert_eq!(engine.entries().await, 0);
    }
    let _: () = redis::cmd("DEL").arg(&foreign).query_async(&mut connection).await.unwrap();
    bridge.append(position, &batch).await.unwrap();
    assert_eq!((engine.entries_of("demo").await, engine.entries_of("other").await), (1, 1));
    // Redis undoes nothing of a transaction, so a key that changes later costs entries, once.
    let _: () = redis::cmd("SET").arg(&foreign).arg("text").query_async(&mut connection).await.unwrap();
    assert_eq!(bridge.append(position + 2, &batch).await.unwrap(), [1]);
    let refused = bridge.append(position + 4, &batch).await;
    assert!(matches!(refused, Err(EngineError::Unavailable(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_entries_that_are_lost_are_logged_and_not_counted() {
    let (engine, upstream) = (Engine::start(Kind::Redis).await, Upstream::start(EVENTS).await);
    let bridge = Bridge::start(&engine, upstream.url(), &[]);
    until("events arrive", async || engine.entries().await > 0).await;
    let mut connection = redis::Client::open(engine.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let key = stream_key("default", "demo");
    let _: () = redis::cmd("SET").arg(&key).arg("text").query_async(&mut connection).await.unwrap();
    let loss = format!(" entries for {key} are lost: ");
    bridge.logs(&loss).await;
    bridge.is(503, "engine away").await;
    let _: () = redis::cmd("DEL").arg(&key).query_async(&mut connection).await.unwrap();
    upstream.hurry();
    let log = bridge.log();
    let lost: u64 = log.split(&loss).next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    let counted = async || bridge.metric("entries_total demo").await;
    until("all others are counted", async || counted().await >= (EVENTS - lost) as f64).await;
    assert_eq!(counted().await, (EVENTS - lost) as f64);
    assert_eq!(bridge.log().matches(&loss).count(), 1);
    assert!(!bridge.has_logged("had been appended"), "{}", bridge.log());
}
