//! 100,000 events over 100 kills of the bridge, and of the engine as well at every tenth.

use std::env;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::sleep;

use crate::support::engine::{Engine, Kind};
use crate::support::programs::{Bridge, consumed};
use crate::support::until;
use crate::support::upstream::{Upstream, assert_each_once};

const EVENTS: u64 = 100_000;
const KILLS: u32 = 100;

/// Leaders that are killed, and whose standby should lead soon.
const OPTIONS: [&str; 2] = ["--lease", "0.3"];

/// How long a leader lives at most.
const MAX_LIFE: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_has_each_event_once_after_100_kills() {
    each_event_is_there_once(Kind::Redis, 16).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn jetstream_has_each_event_once_after_100_kills() {
    each_event_is_there_once(Kind::Nats, 17).await;
}

async fn each_event_is_there_once(kind: Kind, seed: u64) {
    let seed = env::var("BRIDGE_SEED").map_or(seed, |seed| seed.parse().unwrap());
    println!("{kind:?}, BRIDGE_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let (mut engine, upstream) = (Engine::start(kind).await, Upstream::start(EVENTS).await);
    let start = |engine: &Engine| Bridge::start(engine, upstream.url(), &OPTIONS);
    let mut bridges = vec![start(&engine), start(&engine)];
    for kill in 1..=KILLS {
        until("a bridge leads", async || leader(&bridges).is_some()).await;
        sleep(MAX_LIFE.mul_f64(rng.f64())).await;
        if kill == KILLS {
            let events = engine.entries().await;
            println!("{events} events before the last kill");
            assert!(events < EVENTS, "the last kills had nothing to interrupt");
        }
        let with_engine = kill % 10 == 0;
        if with_engine {
            engine.kill().await;
            // Sometimes the bridge sees its engine go, and sometimes both go at once.
            sleep(MAX_LIFE.mul_f64(rng.f64() * f64::from(rng.u8(..2)))).await;
        }
        if let Some(leader) = leader(&bridges) {
            bridges.remove(leader).kill().await;
        }
        if with_engine {
            engine.restart().await;
        }
        bridges.push(start(&engine));
    }
    upstream.hurry();
    until("all events have arrived", async || engine.entries().await >= EVENTS).await;
    assert_each_once(&consumed(&engine, "demo").await, EVENTS);
}

fn leader(bridges: &[Bridge]) -> Option<usize> {
    bridges.iter().position(|bridge| bridge.has_logged("leading"))
}
