//! What a program with a [`HeadMonitor`] sees on each fault of a node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use head_monitor::{BeaconNode, Head, HeadMonitor, Health, NewHead, Source};
use sseclient::http::StatusCode;
use sseclient::testing::{Faults, Log, Plan, Script, Server};
use sseclient::{ErrorKind, Event, EventBuilder, State};
use tokio::time::{Instant, sleep, timeout};

const SLOT: Duration = Duration::from_secs(12);

fn head(slot: u64) -> EventBuilder {
    let data = format!(r#"{{"slot":"{slot}","block":"0x{slot}","state":"0x0","execution_optimistic":false}}"#);
    Event::builder().event_type("head").data(data)
}

fn server(plan: impl Into<Plan>) -> Server {
    Server::in_memory(plan)
}

/// Follows these nodes. The REST API of each answers as `asked` says: with the head's slot, if it
/// has one.
fn start<const N: usize>(servers: &[Server; N], asked: [Option<u64>; N]) -> HeadMonitor {
    let node =
        |(index, server): (usize, &Server)| BeaconNode { url: format!("http://node{index}"), client: server.client() };
    HeadMonitor::start(servers.iter().enumerate().map(node).collect(), move |url| async move {
        let place = url.strip_prefix("http://node").and_then(|rest| rest.strip_suffix("/eth/v1/beacon/headers/head"));
        match asked[place.unwrap().parse::<usize>().unwrap()] {
            Some(slot) => Ok(header(slot)),
            None => Err("no answer"),
        }
    })
    .unwrap()
}

fn header(slot: u64) -> Vec<u8> {
    let message = format!(r#""header":{{"message":{{"slot":"{slot}","proposer_index":"1"}},"signature":"0x0"}}"#);
    format!(r#"{{"execution_optimistic":false,"data":{{"root":"0x{slot}","canonical":true,{message}}}}}"#).into_bytes()
}

fn new(node: usize, slot: u64, source: Source) -> NewHead {
    NewHead { node, head: Head { slot, block: format!("0x{slot}"), execution_optimistic: false }, source }
}

/// Waits for a newer head.
async fn next(monitor: &mut HeadMonitor) -> NewHead {
    timeout(1000 * SLOT, monitor.changed()).await.unwrap()
}

/// Waits until the newest head has this slot, and returns the ones before, too.
async fn heads_until(monitor: &mut HeadMonitor, slot: u64) -> Vec<NewHead> {
    let mut heads = vec![next(monitor).await];
    while heads.last().unwrap().head.slot < slot {
        heads.push(next(monitor).await);
    }
    heads
}

/// Waits until the health of a node is as wanted.
async fn health(monitor: &HeadMonitor, node: usize, is_wanted: impl Fn(&Health) -> bool) -> Health {
    let begin = Instant::now();
    loop {
        let health = monitor.health().swap_remove(node).health;
        if is_wanted(&health) {
            return health;
        }
        assert!(begin.elapsed() < 100 * SLOT, "{health:?}");
        // The clock is paused: this lets the tasks run.
        sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a node is offline for this cause.
async fn offline(monitor: &HeadMonitor, node: usize, kind: ErrorKind) {
    let has_kind = |state: &State| match state {
        State::Waiting { cause, .. } => cause.kind() == kind,
        State::Closed(reason) => reason.error().is_some_and(|error| error.kind() == kind),
        _ => false,
    };
    health(monitor, node, |health| matches!(health, Health::Offline(state) if has_kind(state))).await;
}

#[tokio::test(start_paused = true)]
async fn the_newest_head_of_any_node_wins_once() {
    let late = head(2).build().unwrap().encode().into_bytes();
    let servers = [
        server(Script::open().event(head(1)).stall(SLOT).event(head(2))),
        server(
            Script::open()
                .stall(SLOT / 4)
                .event(head(1))
                .stall(SLOT)
                .pieces(late.chunks(9).map(<[u8]>::to_vec))
                .stall(SLOT)
                .event(head(3)),
        ),
    ];
    let mut monitor = start(&servers, [None, None]);
    let heads = heads_until(&mut monitor, 3).await;
    assert_eq!(heads, [new(0, 1, Source::Event), new(0, 2, Source::Event), new(1, 3, Source::Event)]);
    for server in servers {
        server.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_may_change_its_mind_but_another_node_is_no_news() {
    let fork = |slot: u64| head(slot).data(format!(r#"{{"slot":"{slot}","block":"fork"}}"#));
    let servers = [
        server(Script::open().event(head(5)).stall(2 * SLOT).event(fork(5))),
        server(Script::open().stall(SLOT).event(fork(5)).event(head(4))),
    ];
    let mut monitor = start(&servers, [None, None]);
    assert_eq!(next(&mut monitor).await, new(0, 5, Source::Event));
    let begin = Instant::now();
    let reorganized = next(&mut monitor).await;
    assert_eq!((reorganized.node, reorganized.head.block.as_str()), (0, "fork"));
    assert_eq!(begin.elapsed(), 2 * SLOT);
    for server in servers {
        server.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_breaks_says_why_and_is_asked_when_it_is_back() {
    let half = head(6).build().unwrap().encode().into_bytes()[..20].to_vec();
    let servers = [
        server([
            Script::open().event(head(5)).bytes(half).stall(SLOT).reset(),
            Script::refuse(),
            Script::answer(StatusCode::SERVICE_UNAVAILABLE).header("retry-after", "30"),
            Script::open().stall(SLOT).event(head(9)),
        ]),
        server(Script::open().event(head(4)).stall(4 * SLOT).bytes(":\n")),
    ];
    let mut monitor = start(&servers, [Some(5), None]);
    assert_eq!(next(&mut monitor).await, new(0, 5, Source::Asked), "it is asked at the beginning, too");
    assert_eq!(monitor.best(), Some(0));
    for cause in [ErrorKind::Body, ErrorKind::Connect, ErrorKind::Status] {
        offline(&monitor, 0, cause).await;
        assert_eq!(monitor.best(), Some(1), "a slot behind is normal");
    }
    let begin = Instant::now();
    health(&monitor, 0, |health| matches!(health, Health::Synced)).await;
    assert!(begin.elapsed() >= Duration::from_secs(30));
    assert_eq!(next(&mut monitor).await, new(0, 9, Source::Event));
    for server in servers {
        server.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_are_down_at_the_start_join_when_they_are_up() {
    let servers = [
        server([Script::refuse(), Script::refuse(), Script::open().event(head(7))]),
        server([Script::refuse(), Script::open().stall(4 * SLOT).event(head(8))]),
    ];
    let mut monitor = start(&servers, [None, Some(6)]);
    assert_eq!((monitor.newest(), monitor.best()), (None, None));
    let heads = heads_until(&mut monitor, 8).await;
    assert_eq!(heads, [new(1, 6, Source::Asked), new(0, 7, Source::Event), new(1, 8, Source::Event)]);
    for server in servers {
        server.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn heads_missed_in_a_gap_are_asked_for() {
    let asked = Arc::new(AtomicU64::new(5));
    let servers = [server([
        Script::open().event(head(5)).end(),
        Script::open().stall(SLOT).event(("head", "nonsense")).stall(SLOT).event(head(20)),
    ])];
    let answers = Arc::clone(&asked);
    let node = BeaconNode { url: "http://node".to_owned(), client: servers[0].client() };
    // Each time two slots later, and once too late.
    let mut monitor = HeadMonitor::start(vec![node], move |_| {
        let slot = answers.fetch_add(2, Ordering::Relaxed);
        async move { Ok::<_, std::io::Error>(header(slot)) }
    })
    .unwrap();
    let expected = [(5, Source::Asked), (7, Source::Asked), (9, Source::Asked), (20, Source::Event)];
    let heads = heads_until(&mut monitor, 20).await;
    assert_eq!(heads, expected.map(|(slot, source)| new(0, slot, source)));
    for server in servers {
        server.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_holds_nothing_up() {
    // The first node accepts connections and is silent; the second has a stream and no REST API.
    let servers = [server(Script::raw()), server(Script::open().stall(SLOT).event(head(6)))];
    let node = |server: &Server| BeaconNode { url: "http://node".to_owned(), client: server.client() };
    let get = |_| std::future::pending::<Result<_, std::io::Error>>();
    let mut monitor = HeadMonitor::start(servers.iter().map(node).collect(), get).unwrap();
    sleep(SLOT / 2).await;
    let [silent, mute]: [_; 2] = monitor.health().try_into().unwrap();
    assert!(matches!(silent.health, Health::Offline(State::Connecting { .. })));
    assert!(matches!(mute.health, Health::Unknown) && monitor.best().is_none());
    assert_eq!(mute.unanswered.as_deref(), Some("deadline has elapsed"));
    assert_eq!(next(&mut monitor).await, new(1, 6, Source::Event));
    assert_eq!(monitor.health().remove(1).unanswered, None);
    drop(monitor);
    for server in servers {
        server.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_behind_or_optimistic_is_not_the_best() {
    let optimistic = head(21).data(r#"{"slot":"21","block":"0x21","execution_optimistic":true}"#);
    let servers = [
        server(Script::open().event(head(10)).stall(2 * SLOT).event(head(20)).stall(SLOT).event(optimistic)),
        server(Script::open().event(head(14)).stall(SLOT).event(head(19))),
    ];
    let mut monitor = start(&servers, [None, None]);
    heads_until(&mut monitor, 14).await;
    health(&monitor, 0, |health| matches!(health, Health::Behind(4))).await;
    assert_eq!(monitor.best(), Some(1));
    heads_until(&mut monitor, 20).await;
    assert_eq!(monitor.best(), Some(0), "both are synced, and it is the first");
    health(&monitor, 0, |health| matches!(health, Health::Optimistic)).await;
    assert_eq!((monitor.best(), monitor.newest().unwrap().head.slot), (Some(1), 20));
    for server in servers {
        server.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_behind_and_optimistic_cannot_be_asked() {
    let optimistic = head(15).data(r#"{"slot":"15","block":"0x15","execution_optimistic":true}"#);
    let servers = [server(Script::open().event(head(20))), server(Script::open().event(optimistic))];
    let mut monitor = start(&servers, [None, None]);
    heads_until(&mut monitor, 20).await;
    health(&monitor, 1, |health| matches!(health, Health::Optimistic)).await;
    assert_eq!(monitor.best(), Some(0));
    for server in servers {
        server.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn heads_that_waited_while_the_node_was_asked_are_older() {
    let server = server(Script::open().stall(SLOT / 4).event(head(7)).event(head(8)).stall(SLOT).event(head(10)));
    let node = BeaconNode { url: "http://node".to_owned(), client: server.client() };
    let mut monitor = HeadMonitor::start(vec![node], |_| async {
        sleep(SLOT / 4 + Duration::from_secs(1)).await;
        Ok::<_, std::io::Error>(header(9))
    })
    .unwrap();
    assert_eq!(next(&mut monitor).await, new(0, 9, Source::Asked));
    sleep(SLOT / 4).await;
    assert_eq!(monitor.health()[0].head.as_ref().map(|head| head.slot), Some(9));
    assert_eq!(next(&mut monitor).await, new(0, 10, Source::Event));
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_left_and_a_refused_one_given_up() {
    let servers = [
        server([Script::open().event(head(5)).stall(10 * SLOT), Script::open()]),
        server(Script::answer(StatusCode::UNAUTHORIZED)),
    ];
    let mut monitor = start(&servers, [Some(12), None]);
    offline(&monitor, 1, ErrorKind::Status).await;
    next(&mut monitor).await;
    let begin = Instant::now();
    offline(&monitor, 0, ErrorKind::IdleTimeout).await;
    assert_eq!(begin.elapsed().as_secs(), 60);
    assert_eq!(monitor.best(), None);
    health(&monitor, 0, |health| matches!(health, Health::Synced)).await;
    for server in servers {
        server.finish().await;
    }
}

/// These servers can resume, so that not even a head is missed that no other node has told.
#[tokio::test(start_paused = true)]
async fn over_any_faults_the_last_head_comes_and_slots_only_grow() {
    for seed in 0..5 {
        let log = |seed| {
            let heads = (1..=100).map(|slot| head(slot).id(slot.to_string()).build().unwrap());
            Log::new(heads).faults(Faults::seed(seed).stall(10 * SLOT))
        };
        let servers = [0, 1, 2].map(|node| server(log(seed * 3 + node)));
        let mut monitor = start(&servers, [None, None, None]);
        let heads = heads_until(&mut monitor, 100).await;
        assert!(heads.is_sorted_by_key(|head| head.head.slot), "seed {seed}: {heads:?}");
        for (node, server) in servers.into_iter().enumerate() {
            health(&monitor, node, |health| matches!(health, Health::Offline(State::Closed(_)))).await;
            assert_eq!(monitor.health().swap_remove(node).head.map(|head| head.slot), Some(100), "seed {seed}");
            server.finish().await;
        }
    }
}
