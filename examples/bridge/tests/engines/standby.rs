//! Two bridges of one group: one leads, the other takes over.

use std::time::Instant;

use crate::support::engine::{Engine, Kind};
use crate::support::programs::{Bridge, consumed};
use crate::support::until;
use crate::support::upstream::{Upstream, assert_each_once};

const EVENTS: u64 = 20_000;

/// An engine, a leader and a standby, and two sources of numbered events.
struct Pair {
    engine: Engine,
    upstream: Upstream,
    leader: Bridge,
    standby: Bridge,
}

impl Pair {
    /// Starts both, and waits until the leader is at work.
    async fn start(kind: Kind, lease: &str) -> Self {
        let (engine, upstream) = (Engine::start(kind).await, Upstream::start(EVENTS).await);
        let other = format!("other={}", upstream.url());
        let start = || Bridge::start(&engine, upstream.url(), &["--lease", lease, "--stream", &other]);
        let leader = start();
        leader.logs("leading").await;
        let standby = start();
        standby.logs("standing by").await;
        until("events arrive", async || engine.entries().await > 0).await;
        Self { engine, upstream, leader, standby }
    }

    async fn finish(&self) {
        self.upstream.hurry();
        for source in ["demo", "other"] {
            until("all events have arrived", async || self.engine.entries_of(source).await >= EVENTS).await;
            assert_each_once(&consumed(&self.engine, source).await, EVENTS);
        }
    }
}

async fn killed(kind: Kind) {
    let mut pair = Pair::start(kind, "1").await;
    assert_eq!((pair.leader.metric("leading").await, pair.standby.metric("leading").await), (1.0, 0.0));
    pair.leader.is(200, "ready").await;
    pair.standby.is(200, "standing by").await;
    let started = Instant::now();
    pair.leader.kill().await;
    pair.standby.logs("leading").await;
    println!("{kind:?}: took over after {:?}, with a lease of 1 s", started.elapsed());
    pair.standby.is(200, "ready").await;
    assert_eq!(pair.standby.metric("leading").await, 1.0);
    pair.finish().await;
}

/// The leader is in the middle of its work when it is paused, and when it wakes.
async fn paused(kind: Kind) {
    let pair = Pair::start(kind, "0.5").await;
    pair.leader.signal("STOP").await;
    pair.standby.logs("leading").await;
    let before = pair.engine.entries().await;
    until("the new leader appends", async || pair.engine.entries().await > before).await;
    pair.leader.signal("CONT").await;
    pair.leader.logs("another bridge has written").await;
    pair.leader.is(200, "standing by").await;
    assert!(pair.leader.get("/").await.contains("<td>not followed"));
    pair.finish().await;
}

/// The other bridge has led and gone when the leader wakes, so the lease is free.
async fn paused_for_long(kind: Kind) {
    let mut pair = Pair::start(kind, "0.5").await;
    pair.leader.signal("STOP").await;
    pair.standby.logs("leading").await;
    let before = pair.engine.entries().await;
    until("the new leader appends", async || pair.engine.entries().await > before).await;
    pair.standby.signal("TERM").await;
    assert!(pair.standby.exit_status().await.success());
    pair.leader.signal("CONT").await;
    pair.leader.logs("another bridge has written").await;
    pair.finish().await;
}

/// With so long a lease, nothing else could make room for the standby.
async fn stopped(kind: Kind) {
    let mut pair = Pair::start(kind, "3000").await;
    pair.leader.signal("TERM").await;
    assert!(pair.leader.exit_status().await.success(), "{}", pair.leader.log());
    pair.standby.logs("leading").await;
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_a_standby_takes_over_from_a_killed_leader() {
    killed(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn jetstream_a_standby_takes_over_from_a_killed_leader() {
    killed(Kind::Nats).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_a_paused_leader_cannot_write_when_it_wakes() {
    paused(Kind::Redis).await;
    paused_for_long(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn jetstream_a_paused_leader_cannot_write_when_it_wakes() {
    paused(Kind::Nats).await;
    paused_for_long(Kind::Nats).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_a_leader_that_is_stopped_gives_up_its_lease() {
    stopped(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn jetstream_a_leader_that_is_stopped_gives_up_its_lease() {
    stopped(Kind::Nats).await;
}
