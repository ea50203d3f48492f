//! For whom the publisher waits, for how long, and what it says meanwhile.

use std::future::poll_fn;

use tokio::time::advance;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn reader(hub: &Hub, name: &str, filter: impl Into<Filter>, overflow: Overflow) -> Subscribed {
    let joining = Joining { name: name.into(), ..Joining::default() };
    hub.subscribe_with(filter.into(), &QueueLimits::of(16, overflow), joining)
}

fn is_ready(backpressure: &mut Backpressure, hub: &Hub) -> bool {
    backpressure.poll_ready(&mut Context::from_waker(Waker::noop()), hub).is_ready()
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_holds_up_no_other_is_waited_for_without_limit() {
    let hub = Hub::new(Arc::default());
    let mut slow = reader(&hub, "slow", Filter::all(), Overflow::default());
    let mut behind = reader(&hub, "behind", Filter::all(), Overflow::default());
    let mut backpressure = Backpressure::default();
    publish(&hub, 16);
    for _ in 0..1200 {
        assert!(!is_ready(&mut backpressure, &hub));
        advance(SECOND / 20).await;
    }
    // The clock begins when the other one has taken everything.
    while take(&mut behind).is_ready() {}
    let begun = Instant::now();
    while !is_ready(&mut backpressure, &hub) {
        advance(SECOND / 100).await;
    }
    let waited = begun.elapsed();
    assert!((SECOND * 9 / 10..=SECOND * 11 / 10).contains(&waited), "{waited:?}");
    assert_eq!(backpressure.take_stuck(), ["slow".into()]);
    publish(&hub, 1);
    assert!(matches!(take(&mut slow), Poll::Ready(Some(Delivery::Gap(Gap::Lagged { missed: 1 })))));
}

#[tokio::test(start_paused = true)]
async fn readers_of_all_kinds_are_held_up_unless_they_have_something_to_take() {
    type Other = fn(&Hub) -> Box<dyn std::any::Any>;
    let others: [(&str, bool, Other); 6] = [
        ("none", false, |_| Box::new(())),
        ("empty", true, |hub| Box::new(reader(hub, "", "other", Overflow::Block))),
        ("lossy", true, |hub| Box::new(reader(hub, "", "other", Overflow::DropOldest))),
        ("conflating", true, |hub| Box::new(reader(hub, "", "other", Overflow::Conflate))),
        ("with a gap", false, |hub| {
            let other = reader(hub, "", "other", Overflow::Block);
            hub.publisher().gap(Some("other"), &Gap::reconnected(None));
            Box::new(other)
        }),
        ("a transcript", true, |hub| {
            Box::new(hub.transcript(&"other".into(), "".into(), QueueLimits::of(16, Overflow::default())))
        }),
    ];
    for (what, is_held_up, other) in others {
        let hub = Hub::new(Arc::default());
        let _slow = reader(&hub, "slow", Filter::all(), Overflow::default());
        let mut backpressure = Backpressure::default();
        publish(&hub, 16);
        let _other = other(&hub);
        hub.wake();
        for _ in 0..40 {
            is_ready(&mut backpressure, &hub);
            advance(SECOND / 20).await;
        }
        assert_eq!(is_ready(&mut backpressure, &hub), is_held_up, "{what}");
    }
}

/// As with SIGSTOP, or a reader that blocks the runtime's only thread.
#[tokio::test(start_paused = true)]
async fn a_stopped_program_uses_up_little_of_its_readers_patience() {
    const HOUR: Duration = Duration::from_secs(3600);
    for stops in [1, 5] {
        let hub = Hub::new(Arc::default());
        let _slow = reader(&hub, "slow", Filter::all(), Overflow::default());
        let _held_up = reader(&hub, "other", "other", Overflow::default());
        let mut backpressure = Backpressure::default();
        publish(&hub, 16);
        for _ in 0..stops {
            assert!(!is_ready(&mut backpressure, &hub));
            advance(HOUR).await;
        }
        assert!(!is_ready(&mut backpressure, &hub), "{stops}");
        let begun = Instant::now();
        while !is_ready(&mut backpressure, &hub) {
            advance(SECOND / 100).await;
        }
        // Of each stop two pauses of a sixteenth may count.
        let (waited, left) = (begun.elapsed(), SECOND * (8 - stops) / 8);
        assert!((left..=left + SECOND / 20).contains(&waited), "{stops}: {waited:?}");
        assert_eq!(backpressure.take_stuck(), ["slow".into()]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_smallest_patience_ends_under_a_paused_clock() {
    let hub = Hub::new(Arc::default());
    let patience = Duration::from_nanos(1);
    let _slow = reader(&hub, "slow", Filter::all(), Overflow::Wait { patience });
    let _held_up = reader(&hub, "other", "other", Overflow::Wait { patience });
    let mut backpressure = Backpressure::default();
    publish(&hub, 16);
    let begun = Instant::now();
    poll_fn(|cx| backpressure.poll_ready(cx, &hub)).await;
    assert_eq!(backpressure.take_stuck(), ["slow".into()]);
    assert!(begun.elapsed() <= Duration::from_millis(20), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_is_reported_after_a_second_and_then_each_minute() {
    for overflow in [Overflow::default(), Overflow::Block] {
        let hub = Hub::new(Arc::default());
        let mut slow = reader(&hub, "slow", Filter::all(), overflow);
        let mut backpressure = Backpressure::default();
        publish(&hub, 16);
        let mut reported = Vec::new();
        for half_seconds in 0..250 {
            assert!(!is_ready(&mut backpressure, &hub));
            if let Some(Stalled { subscriptions, lasted }) = backpressure.take_stalled() {
                assert_eq!((subscriptions, lasted), (vec!["slow".into()], SECOND / 2 * half_seconds));
                reported.push(lasted.as_secs());
            }
            assert_eq!(hub.stalled_for(), Some(SECOND / 2 * half_seconds));
            advance(SECOND / 2).await;
        }
        assert_eq!(reported, [1, 61, 121]);
        while take(&mut slow).is_ready() {}
        assert!(is_ready(&mut backpressure, &hub));
        assert_eq!(hub.stalled_for(), None);
        // The next wait is reported a minute after the last report.
        publish(&hub, 16);
        for _ in 0..20 {
            assert!(!is_ready(&mut backpressure, &hub) && backpressure.take_stalled().is_none());
            advance(SECOND / 2).await;
        }
    }
}
