//! A server that does something wrong on each connection: its client misses nothing.

use std::time::Duration;

use sseclient::testing::{Faults, Log, Script, Server};
use sseclient::{CloseReason, ErrorKind, Event, Filter, Gap, TranscriptItem};

const EVENTS: u64 = 150;

fn log() -> Log {
    Log::new((1..=EVENTS).map(|id| {
        let text = "€ \n".repeat(id as usize % 5);
        Event::builder().event_type(["a", "b"][id as usize % 2]).id(id.to_string()).data(text).build().unwrap()
    }))
}

/// Follows the log to its end. Returns every failure, in order.
async fn follow(server: Server) -> Vec<ErrorKind> {
    let stream = server.client().stream(server.url()).reconnection_time(Duration::from_millis(1));
    let handle = stream.idle_timeout(Duration::from_secs(3600)).build().unwrap();
    let (mut events, mut transcript) = (handle.subscribe(Filter::all()), handle.transcript());
    handle.connect();
    let (mut next, mut kinds) = (1, Vec::new());
    let reading = async {
        while let Some(delivery) = events.recv().await {
            match delivery {
                sseclient::Delivery::Event(event) => {
                    assert_eq!(event.id(), Some(&*next.to_string()));
                    next += 1;
                }
                // A response may break before it has brought an event with an ID.
                sseclient::Delivery::Gap(Gap::Reconnected { sent, .. }) => assert!(sent.is_some() || next == 1),
                sseclient::Delivery::Gap(gap) => panic!("{gap}"),
            }
        }
    };
    let watching = async {
        while let Some(item) = transcript.recv().await {
            if let TranscriptItem::State(sseclient::State::Waiting { cause, .. }) = item {
                kinds.push(cause.kind());
            }
        }
    };
    tokio::join!(reading, watching);
    assert_eq!(next, EVENTS + 1);
    assert!(matches!(handle.closed().await, CloseReason::NoContent));
    server.finish().await;
    kinds
}

#[tokio::test(start_paused = true)]
async fn a_client_gets_every_event_once_and_in_order_through_all_faults() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..20 {
        seen.extend(follow(Server::in_memory(log().faults(Faults::seed(seed)))).await);
    }
    let expected =
        [ErrorKind::Connect, ErrorKind::Protocol, ErrorKind::Status, ErrorKind::Body, ErrorKind::EndOfStream];
    assert!(expected.iter().all(|kind| seen.contains(kind)), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_has_the_same_faults() {
    let run = |seed| follow(Server::in_memory(log().faults(Faults::seed(seed))));
    let first = run(7).await;
    assert_eq!(first, run(7).await);
    assert_ne!(first, run(8).await);
}

#[tokio::test(start_paused = true)]
async fn a_long_stall_shows_an_idle_timeout() {
    let faults = Faults::seed(7).stall(Duration::from_secs(2 * 3600));
    let kinds = follow(Server::in_memory(log().faults(faults))).await;
    assert!(kinds.contains(&ErrorKind::IdleTimeout), "{kinds:?}");
}

#[tokio::test]
async fn faults_on_loopback_lose_nothing_either() {
    let faults = Faults::seed(7).stall(Duration::from_millis(10));
    // Long waits would only take time.
    let server = Server::start(log().faults(faults)).await;
    let stream = server.client().stream(server.url());
    let policy =
        sseclient::ReconnectPolicy::daemon().decide_with(|_| sseclient::Decision::RetryAfter(Duration::from_millis(1)));
    let mut events = stream.reconnect_policy(policy).build().unwrap();
    let mut ids = events.subscribe(Filter::all());
    events.connect();
    let mut next = 1;
    while let Some(delivery) = ids.recv().await {
        if let Some(event) = delivery.event() {
            assert_eq!(event.id(), Some(&*next.to_string()));
            next += 1;
        }
    }
    events = ids.handle();
    assert!(matches!(events.close_reason(), Some(CloseReason::NoContent)));
    assert_eq!(next, EVENTS + 1);
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_without_faults_is_sent_at_once_and_ends() {
    let kinds = follow(Server::in_memory(log())).await;
    assert_eq!(kinds, [ErrorKind::EndOfStream]);
}

#[tokio::test(start_paused = true)]
async fn resuming_from_an_id_that_was_never_sent_fails_the_test() {
    let server = Server::in_memory(log());
    let stream = server.client().stream(server.url()).last_event_id("x");
    let handle = stream.build().unwrap();
    handle.connect();
    let panic = tokio::spawn(server.finish()).await.unwrap_err().into_panic();
    let complaint = panic.downcast_ref::<String>().unwrap();
    assert!(complaint.contains("it resumed from \"x\", which was never sent"), "{complaint}");
}

#[test]
#[should_panic(expected = "event 0 of the log has no ID")]
fn a_log_of_events_without_ids_panics() {
    let _log = Log::new([Event::builder().data("x").build().unwrap()]);
}

#[test]
#[should_panic(expected = "this script has no head to set headers in")]
fn a_raw_script_has_no_headers() {
    let _script = Script::raw().header("a", "b");
}
