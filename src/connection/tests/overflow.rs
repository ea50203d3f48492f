//! Queues that are full, under paused time: who is waited for, for how long, and what goes on
//! meanwhile.

use super::row::opened;
use super::*;
use crate::{Drain, Event, Gap, Overflow, SubscribeOptions, Subscription, TryRecvError};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// So many numbered events in one response, which stays open.
fn numbered(events: u64) -> Script {
    let events: String = (0..events).map(|number| format!("data: {number}\n\n")).collect();
    Script::Answer(format!("{EMPTY}{events}").leak(), HOUR)
}

fn queue(capacity: usize, overflow: Overflow) -> SubscribeOptions {
    SubscribeOptions::default().capacity(capacity).overflow(overflow)
}

/// The next delivery: an event's data, or `-` and how many were missed.
async fn next(subscription: &mut Subscription) -> String {
    shown(subscription.recv().await.unwrap())
}

fn shown(delivery: Delivery) -> String {
    match delivery {
        Delivery::Event(event) => event.data().to_owned(),
        Delivery::Gap(Gap::Lagged { missed }) => format!("-{missed}"),
        Delivery::Gap(gap) => gap.to_string(),
    }
}

async fn expect(subscription: &mut Subscription, events: std::ops::Range<u64>) {
    for number in events {
        assert_eq!(next(subscription).await, number.to_string());
    }
}

/// Until the task waits for a queue, or for the server.
async fn settled(handle: &Handle, events: u64) {
    while handle.stats().events < events {
        // Time passes when no task has anything to do.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_loss_behind_a_replay_is_reported_after_a_drains_deadline() {
    let by_data = Overflow::conflate_by(|event| event.data().to_owned());
    for overflow in [Overflow::DropOldest, by_data] {
        let scripted = Arc::new(Scripted { scripts: vec![numbered(1_000)], asked: watch::Sender::default() });
        let seed = Event::builder().event_type("seed").build().unwrap();
        let stream = Client::with_connector(scripted).stream("http://host/").retain("seed", 1).seed([seed]);
        let handle = stream.build().unwrap();
        let mut late = handle.subscribe_with(Filter::all(), queue(16, overflow.clone()).replay());
        handle.connect();
        settled(&handle, 1_000).await;
        let drained = handle.shutdown_with(Drain::new(Duration::ZERO)).await;
        assert_eq!((drained.delivered, drained.dropped), (0, 17), "{overflow:?}");
        assert_eq!(late.try_recv().map(shown).as_deref(), Ok("-984"), "{overflow:?}");
        assert_eq!((late.recv().await, late.missed()), (None, 984), "{overflow:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_is_never_read_holds_the_stream_once() {
    let (_, handle) = stream(vec![numbered(1_000)]);
    let mut healthy = handle.subscribe(Filter::all());
    let mut stuck = handle.subscribe_with(Filter::all(), queue(16, Overflow::Wait { patience: 5 * SECOND }));
    handle.connect();
    let begun = Instant::now();
    expect(&mut healthy, 0..1_000).await;
    assert_eq!(begun.elapsed().as_millis() / 100, 50, "five seconds, and the timer's millisecond");
    assert_eq!((next(&mut stuck).await, stuck.missed()), ("-984".to_owned(), 984));
    expect(&mut stuck, 984..1_000).await;
}

#[tokio::test(start_paused = true)]
async fn a_stuck_subscription_is_waited_for_again_only_after_it_has_been_empty() {
    let lines = |range: std::ops::Range<u64>| -> &'static str {
        range.map(|number| format!("data: {number}\n\n")).collect::<String>().leak()
    };
    let talk =
        vec![(AT_ONCE, EMPTY), (AT_ONCE, lines(0..100)), (HOUR, lines(100..200)), (HOUR, lines(200..300)), (HOUR, "")];
    let (_, handle) = stream(vec![Script::Talk(talk)]);
    let mut healthy = handle.subscribe(Filter::all());
    let mut slow = handle.subscribe_with(Filter::all(), queue(16, Overflow::default()));
    handle.connect();
    let begun = Instant::now();
    let minutes = |begun: Instant| begun.elapsed().as_secs() / 60;
    expect(&mut healthy, 0..100).await;
    assert_eq!(begun.elapsed().as_secs(), 1);
    // It takes all but one, and is not waited for.
    assert_eq!(next(&mut slow).await, "-84");
    expect(&mut slow, 84..99).await;
    expect(&mut healthy, 100..101).await;
    let second = Instant::now();
    expect(&mut healthy, 101..200).await;
    assert_eq!(second.elapsed(), Duration::ZERO);
    // Now it takes the last, too.
    assert_eq!(next(&mut slow).await, "99");
    assert_eq!(next(&mut slow).await, "-84");
    expect(&mut slow, 184..200).await;
    expect(&mut healthy, 200..216).await;
    let third = Instant::now();
    expect(&mut healthy, 216..300).await;
    assert_eq!((third.elapsed().as_secs(), minutes(begun)), (1, 120));
    assert_eq!(slow.missed(), 84 + 84);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_takes_an_event_within_its_patience_loses_nothing() {
    let (_, handle) = stream(vec![numbered(300)]);
    let mut slow = handle.subscribe_with(Filter::all(), queue(8, Overflow::default()));
    let mut healthy = handle.subscribe(Filter::all());
    handle.connect();
    let begun = Instant::now();
    let slowly = async {
        for number in 0..300 {
            assert_eq!(next(&mut slow).await, number.to_string());
            tokio::time::sleep(Duration::from_millis(990)).await;
        }
    };
    let healthily = async {
        expect(&mut healthy, 0..300).await;
        begun.elapsed()
    };
    let ((), took) = tokio::join!(slowly, healthily);
    assert!(took > Duration::from_millis(990) * (300 - 64 - 8 - 1), "{took:?}");
    assert_eq!(slow.missed(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_patience_begins_anew_with_each_event_taken() {
    let (_, handle) = stream(vec![numbered(300)]);
    // With acknowledgements nothing is in its hands: each event it takes is one less in the queue.
    let mut slow = handle.subscribe_with(Filter::all(), queue(8, Overflow::default()).acknowledging());
    let mut healthy = handle.subscribe(Filter::all());
    handle.connect();
    expect(&mut healthy, 0..8).await;
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_millis(900)).await;
    expect(&mut slow, 0..1).await;
    // It has still to come down to half, and takes nothing more.
    expect(&mut healthy, 8..300).await;
    let took = begun.elapsed().as_millis();
    assert!((1_900..1_970).contains(&took), "{took} ms: a second after the take, and a look");
    assert_eq!(next(&mut slow).await, "-291");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_given_up_is_still_to_be_taken() {
    let (_, handle) = stream(vec![numbered(300)]);
    let [mut slow, mut batched] =
        [(); 2].map(|()| handle.subscribe_with(Filter::all(), queue(16, Overflow::default())));
    handle.connect();
    settled(&handle, 16).await;
    let mut batch = Vec::new();
    let given_up = tokio::time::timeout(SECOND / 10, batched.recv_batch(&mut batch, 100, HOUR)).await;
    assert_eq!((given_up.is_err(), batched.queued()), (true, 16));
    // It waits for no event now, so the patience for the other one stands still.
    tokio::time::sleep(HOUR).await;
    assert_eq!(handle.stats().events, 16);
    // Now this one does.
    assert_eq!(batched.recv_many(&mut batch, 16).await, 16);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(handle.stats().events, 32);
    assert_eq!(next(&mut slow).await, "-16");
}

#[tokio::test(start_paused = true)]
async fn the_task_reads_on_when_each_queue_that_is_full_has_come_down_to_half() {
    let (_, handle) = stream(vec![numbered(300)]);
    // With acknowledgements nothing is in their hands.
    let blocked = || handle.subscribe_with(Filter::all(), queue(8, Overflow::Block).acknowledging());
    let (mut one, mut other) = (blocked(), blocked());
    handle.connect();
    settled(&handle, 8).await;
    let taken = [
        (true, 0..8, 8),
        (false, 0..3, 8),
        (false, 3..4, 12),
        (false, 4..8, 16),
        (true, 8..12, 16),
        (false, 8..12, 20),
    ];
    for (is_first, range, read) in taken {
        expect(if is_first { &mut one } else { &mut other }, range.clone()).await;
        tokio::time::sleep(SECOND).await;
        assert_eq!(handle.stats().events, read, "{is_first}, {range:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn handles_are_answered_while_the_task_waits_for_a_queue() {
    let (scripted, handle) = stream(vec![numbered(1_000)]);
    let mut full = handle.subscribe_with(Filter::all(), queue(4, Overflow::Block));
    let mut states = handle.state_changes();
    handle.connect();
    settled(&handle, 4).await;
    tokio::time::sleep(HOUR / 2).await;
    assert_eq!(handle.stats().events, 4, "nothing is read meanwhile");
    let begun = Instant::now();
    let other = handle.subscribe(Filter::all());
    drop(other);
    assert!(handle.state().is_open());
    handle.set_header("x-a", "b").unwrap();
    handle.reconnect();
    scripted.asked.subscribe().wait_for(|asked| asked.len() == 2).await.unwrap();
    while !matches!(states.recv().await, Some(State::Open { attempt: 1, .. })) {}
    handle.opened().await.unwrap();
    assert!(matches!(handle.shutdown().await, CloseReason::Shutdown));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    expect(&mut full, 0..4).await;
    assert!(full.recv().await.is_none_or(|delivery| matches!(delivery, Delivery::Gap(Gap::Reconnected { .. }))));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_outlives_its_response_and_its_patience_begins_anew() {
    let (_, handle) = stream(vec![numbered(50)]);
    let mut full = handle.subscribe_with(Filter::all(), queue(2, Overflow::Wait { patience: 20 * SECOND }));
    handle.connect();
    settled(&handle, 2).await;
    tokio::time::sleep(19 * SECOND).await;
    handle.reconnect();
    // Not by its states: a watch skips those that are soon over.
    while handle.stats().opens < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(19 * SECOND).await;
    expect(&mut full, 0..2).await;
    assert_eq!(next(&mut full).await, "reconnected without an ID: what came in between is lost");
    expect(&mut full, 0..50).await;
    assert_eq!(full.missed(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_idle_timeout_begins_anew_after_a_wait() {
    let scripted = Arc::new(Scripted { scripts: vec![numbered(10), Script::Hang], asked: watch::Sender::default() });
    let client = Client::with_connector(scripted.clone());
    let handle = client.stream("http://host/").idle_timeout(10 * SECOND).build().unwrap();
    let mut full = handle.subscribe_with(Filter::all(), queue(4, Overflow::Block));
    let mut states = handle.state_changes();
    handle.connect();
    settled(&handle, 4).await;
    tokio::time::sleep(HOUR / 2).await;
    assert!(handle.state().is_open(), "the task could not hear the server");
    expect(&mut full, 0..10).await;
    let drained = Instant::now();
    while !matches!(states.recv().await, Some(State::Waiting { .. })) {}
    assert_eq!(drained.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_awaits_one_queue_while_another_is_full_stalls() {
    for (overflow, stalls) in [(Overflow::default(), Some(1)), (Overflow::Block, None), (Overflow::DropOldest, Some(0))]
    {
        let text = format!("{EMPTY}{}event: a\ndata: at last\n\n", "event: b\ndata: x\n\n".repeat(10)).leak();
        let (_, handle) = stream(vec![Script::Answer(text, 2 * HOUR)]);
        let mut awaited = handle.subscribe("a");
        let full = handle.subscribe_with("b", queue(4, overflow));
        handle.connect();
        let begun = Instant::now();
        let came = tokio::time::timeout(HOUR, awaited.recv()).await;
        assert_eq!(came.is_ok().then(|| begun.elapsed().as_secs()), stalls);
        drop(full);
        // The subscription that held it is gone.
        if came.is_err() {
            assert_eq!(next(&mut awaited).await, "at last");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn several_kinds_on_one_filter_each_have_their_way() {
    let (_, handle) = stream(vec![numbered(2_000)]);
    let subscribe = |capacity, overflow| handle.subscribe_with(Filter::all(), queue(capacity, overflow));
    let mut one_by_one = subscribe(1, Overflow::Block);
    let mut patient = subscribe(1, Overflow::default());
    let mut lossy = subscribe(3, Overflow::DropOldest);
    let mut latest = subscribe(5, Overflow::Conflate);
    let mut twin = subscribe(3, Overflow::DropOldest);
    handle.connect();
    for number in 0..2_000 {
        assert_eq!(next(&mut one_by_one).await, number.to_string());
        assert_eq!(next(&mut patient).await, number.to_string());
    }
    settled(&handle, 2_000).await;
    for lossy in [&mut lossy, &mut twin] {
        assert_eq!(next(lossy).await, "-1997");
        expect(lossy, 1_997..2_000).await;
    }
    assert_eq!((next(&mut latest).await, latest.missed()), ("1999".to_owned(), 0));
    assert_eq!(latest.try_recv(), Err(TryRecvError::Empty));
}

#[tokio::test(start_paused = true)]
async fn a_queue_can_be_full_of_bytes_and_one_event_always_fits() {
    let large = |letter: char| format!("data: {}\n\n", String::from(letter).repeat(1_000));
    let text = format!("{EMPTY}{}{}{}{}", large('a'), large('b'), large('c'), large('d')).leak();
    for (bytes, held) in [(1, 1), (1_000, 1), (1_001, 2), (2_500, 3)] {
        let (_, handle) = stream(vec![Script::Answer(text, HOUR)]);
        let mut blocked = handle.subscribe_with(Filter::all(), queue(64, Overflow::Block).queue_bytes(bytes));
        handle.connect();
        settled(&handle, held).await;
        tokio::time::sleep(SECOND).await;
        assert_eq!((handle.stats().events, blocked.queued()), (held, held as usize));
        for letter in ["a", "b", "c", "d"] {
            assert_eq!(next(&mut blocked).await, letter.repeat(1_000));
        }
        let (_, handle) = stream(vec![Script::Answer(text, HOUR)]);
        let mut lossy = handle.subscribe_with(Filter::all(), queue(64, Overflow::DropOldest).queue_bytes(bytes));
        handle.connect();
        settled(&handle, 4).await;
        assert_eq!(lossy.queued() as u64, held);
        assert_eq!(next(&mut lossy).await, format!("-{}", 4 - held));
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflated_event_keeps_its_place_unless_a_gap_is_in_between() {
    let first = opened!("event: a\nid: 1\ndata: a1\n\nevent: b\ndata: b1\n\nevent: a\ndata: a2\n\n");
    let second = opened!("event: b\ndata: b2\n\nevent: a\ndata: a3\n\nevent: b\ndata: b3\n\n");
    let (_, handle) = stream(vec![Script::Answer(first, AT_ONCE), Script::Answer(second, HOUR)]);
    let conflated = |capacity| handle.subscribe_with(Filter::all(), queue(capacity, Overflow::Conflate));
    let (mut early, mut late, mut small) = (conflated(8), conflated(8), conflated(1));
    handle.connect();
    assert_eq!((next(&mut early).await, next(&mut early).await), ("a2".to_owned(), "b1".to_owned()));
    settled(&handle, 6).await;
    let resumed = "reconnected, resuming after ID \"1\"";
    for latest in [&mut early, &mut late] {
        assert_eq!(latest.queued(), 2);
        for expected in [resumed, "b3", "a3"] {
            assert_eq!(next(latest).await, expected);
        }
        assert_eq!(latest.missed(), 0);
    }
    // More keys than room: what waited longest is lost, at its place.
    let mut seen = Vec::new();
    while let Ok(delivery) = small.try_recv() {
        seen.push(shown(delivery));
    }
    assert_eq!(seen, ["-3", resumed, "-2", "b3"]);
    assert_eq!(small.missed(), 5);
}

#[tokio::test(start_paused = true)]
async fn recv_many_takes_queued_events_at_once_and_try_recv_never_waits() {
    let talk = vec![(AT_ONCE, EMPTY), (SECOND, opened_body()), (SECOND, "data: late\n\n"), (SECOND, "")];
    let (_, handle) = stream_with(ReconnectPolicy::never(), vec![Script::Talk(talk)]);
    let mut events = handle.subscribe(Filter::all());
    assert_eq!(events.try_recv(), Err(TryRecvError::Empty));
    handle.connect();
    let mut taken = Vec::new();
    assert_eq!(events.recv_many(&mut taken, 0).await, 0);
    // Given up while it waits: nothing is taken.
    assert!(tokio::time::timeout(SECOND / 2, events.recv_many(&mut taken, 9)).await.is_err());
    assert_eq!((events.recv_many(&mut taken, 70).await, taken.len(), events.queued()), (70, 70, 30));
    assert_eq!(events.try_recv().map(shown), Ok("70".to_owned()));
    assert_eq!(events.recv_many(&mut taken, usize::MAX).await, 29);
    assert_eq!((taken.len(), events.queued(), events.try_recv()), (99, 0, Err(TryRecvError::Empty)));
    // To ask does not take the place of who waits.
    let mut waiting = tokio_test::task::spawn(events);
    // After so many it looks once more before it sleeps.
    for _look in 0..2 {
        assert!(waiting.enter(|cx, events| tokio_stream::Stream::poll_next(events, cx)).is_pending());
    }
    assert_eq!(waiting.enter(|_, events| events.get_mut().try_recv()), Err(TryRecvError::Empty));
    settled(&handle, 101).await;
    assert!(waiting.is_woken());
    let mut events = waiting.into_inner();
    assert_eq!(next(&mut events).await, "late");
    assert_eq!(events.recv_many(&mut taken, 9).await, 0, "the end");
    assert_eq!(events.try_recv(), Err(TryRecvError::Closed));
    let seen: Vec<_> = taken.into_iter().map(shown).collect();
    assert_eq!(seen, (0..100).filter(|&number| number != 70).map(|number| number.to_string()).collect::<Vec<_>>());
}

fn opened_body() -> &'static str {
    (0..100).map(|number| format!("data: {number}\n\n")).collect::<String>().leak()
}

/// A replay is in no queue, but reading it counts: its reader is not stuck.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_a_replay_is_waited_for() {
    let lines = |range: std::ops::Range<u64>| -> &'static str {
        range.map(|number| format!("data: {number}\n\n")).collect::<String>().leak()
    };
    let talk = vec![(AT_ONCE, EMPTY), (AT_ONCE, lines(0..100)), (SECOND, lines(100..400)), (HOUR, "")];
    let client = Client::with_connector(Arc::new(Scripted {
        scripts: vec![Script::Talk(talk)],
        asked: watch::Sender::default(),
    }));
    let handle = client.stream("http://host/").retain(Filter::all(), 100).build().unwrap();
    let mut healthy = handle.subscribe(Filter::all());
    handle.connect();
    expect(&mut healthy, 0..100).await;
    let mut late = handle.subscribe_with(Filter::all(), queue(16, Overflow::default()).replay());
    let healthy = tokio::spawn(async move { expect(&mut healthy, 100..400).await });
    for number in 0..400 {
        tokio::time::sleep(SECOND / 10).await;
        assert_eq!(next(&mut late).await, number.to_string());
    }
    healthy.await.unwrap();
    assert_eq!(late.missed(), 0);
}
