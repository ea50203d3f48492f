//! How long a stream waits, by a paused clock.

use std::time::Duration;

use sseclient::{ErrorKind, EventStream};
use tokio::time::{Instant, advance, sleep};

use crate::script::{all, live, next, text};

const SECOND: Duration = Duration::from_secs(1);
/// A timer that is due looks twice more whether bytes have come.
const LOOKS: Duration = Duration::from_millis(40);

#[tokio::test(start_paused = true)]
async fn any_byte_ends_a_silence_and_a_longer_one_is_an_error() {
    let (sender, body) = live();
    let mut events = EventStream::new(body).idle_timeout(10 * SECOND);
    let begun = Instant::now();
    let server = tokio::spawn(async move {
        for piece in [": a comment\n", "da", "ta: a", "\n", "\n", "retry: 1\n"] {
            sleep(9 * SECOND).await;
            sender.send(text(piece)).unwrap();
        }
        // Frames without bytes are no bytes.
        loop {
            sleep(SECOND).await;
            if sender.send(text("")).is_err() {
                return;
            }
        }
    });
    assert_eq!(next(&mut events).await, "a");
    assert_eq!(begun.elapsed(), 45 * SECOND);
    let error = events.recv().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.is_final()), (ErrorKind::IdleTimeout, false));
    assert_eq!(error.to_string(), "the server was silent for 10s, the idle timeout");
    assert_eq!(begun.elapsed(), 64 * SECOND + LOOKS);
    assert_eq!(next(&mut events).await, "end");
    drop(events);
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_program_that_is_busy_elsewhere_hears_no_silence() {
    let (sender, body) = live();
    let mut events = EventStream::new(body).idle_timeout(10 * SECOND);
    assert!(tokio_test::task::spawn(events.recv()).poll().is_pending());
    sender.send(text("data: a\n\n")).unwrap();
    assert_eq!(next(&mut events).await, "a");
    advance(60 * SECOND).await;
    // Now it waits again, for as long as ever.
    let begun = Instant::now();
    assert_eq!(next(&mut events).await, "idle_timeout");
    assert_eq!(begun.elapsed(), 10 * SECOND + LOOKS);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_came_meanwhile_are_read_before_the_silence_is_judged() {
    let (sender, body) = live();
    let mut events = EventStream::new(body).idle_timeout(10 * SECOND).first_event_timeout(5 * SECOND);
    {
        let mut waiting = tokio_test::task::spawn(events.recv());
        assert!(waiting.poll().is_pending());
    }
    // The process was stopped. Both timers are due, and an event is there.
    advance(60 * SECOND).await;
    sender.send(text("data: a\n\n")).unwrap();
    assert_eq!(next(&mut events).await, "a");
}

/// A `select!` loop with an interval drops the future of `recv` again and again.
#[tokio::test(start_paused = true)]
async fn a_wait_that_is_given_up_and_begun_again_is_one_silence() {
    let (_sender, body) = live();
    let mut events = EventStream::new(body).idle_timeout(10 * SECOND);
    let begun = Instant::now();
    let item = loop {
        tokio::select! {
            item = next(&mut events) => break item,
            () = sleep(SECOND) => {}
        }
    };
    assert_eq!((item.as_str(), begun.elapsed()), ("idle_timeout", 10 * SECOND + LOOKS));
}

#[tokio::test(start_paused = true)]
async fn the_first_event_has_a_time_of_its_own() {
    let (sender, body) = live();
    let mut events = EventStream::new(body).first_event_timeout(10 * SECOND);
    let begun = Instant::now();
    let server = tokio::spawn(async move {
        // None of these is an event.
        for piece in [": x\n", "id: 1\n\n", "retry: 1\n\n", "event: a\n\n"].into_iter().cycle() {
            sleep(SECOND).await;
            if sender.send(text(piece)).is_err() {
                return;
            }
        }
    });
    let error = events.recv().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.is_final()), (ErrorKind::FirstEventTimeout, false));
    assert_eq!(error.to_string(), "no event came within 10s, the first-event timeout");
    assert_eq!(begun.elapsed(), 10 * SECOND + LOOKS);
    assert_eq!(next(&mut events).await, "end");
    drop(events);
    server.await.unwrap();
}

/// Models think in silence before they answer, and longer than they pause within an answer.
#[tokio::test(start_paused = true)]
async fn up_to_the_first_event_its_own_limit_counts_alone() {
    let (sender, body) = live();
    // In either order.
    let slow = EventStream::new(body).idle_timeout(20 * SECOND).first_event_timeout(60 * SECOND);
    let (_sender, body) = live();
    let never = EventStream::new(body).first_event_timeout(60 * SECOND).idle_timeout(20 * SECOND);
    let begun = Instant::now();
    let server = tokio::spawn(async move {
        // Bytes that are no event change nothing.
        for (delay, piece) in [(5, ": x\n"), (50, "data: a\n\n")] {
            sleep(delay * SECOND).await;
            sender.send(text(piece)).unwrap();
        }
        sender
    });
    let in_turn = |mut events: EventStream<_>| async move {
        let mut items = Vec::new();
        while items.last().is_none_or(|(item, _)| item != "end") {
            items.push((next(&mut events).await, begun.elapsed()));
        }
        items
    };
    let (slow, never) = tokio::join!(in_turn(slow), in_turn(never));
    let item = |item: &str, at| (item.to_owned(), at);
    // The idle time begins with the first event.
    let idle_at = 75 * SECOND + LOOKS;
    assert_eq!(slow, [item("a", 55 * SECOND), item("idle_timeout", idle_at), item("end", idle_at)]);
    let first_at = 60 * SECOND + LOOKS;
    assert_eq!(never, [item("first_event_timeout", first_at), item("end", first_at)]);
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_its_first_event_a_stream_may_take_its_time() {
    let oversized = "1 event was skipped: over the size limit, 20 bytes";
    for (piece, item) in [("data: a\n\n", "a"), ("data: 01234567890123456789\n\n", oversized)] {
        let (sender, body) = live();
        let mut events = EventStream::new(body).first_event_timeout(10 * SECOND).max_event_size(15);
        let server = tokio::spawn(async move {
            sleep(9 * SECOND).await;
            sender.send(text(piece)).unwrap();
            sleep(3600 * SECOND).await;
        });
        assert_eq!(all(&mut events).await, [item, "end"]);
        server.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_a_stream_waits_as_long_as_the_body() {
    let (sender, body) = live();
    let mut events = EventStream::new(body).idle_timeout(SECOND).first_event_timeout(SECOND);
    events = events.idle_timeout(None).first_event_timeout(None);
    let server = tokio::spawn(async move {
        sleep(86_400 * SECOND).await;
        drop(sender);
    });
    assert_eq!(next(&mut events).await, "end");
    server.await.unwrap();
}

/// Other tasks run, but this body is ready at each poll.
#[tokio::test(start_paused = true)]
async fn a_flood_of_comments_does_not_put_off_the_first_event() {
    let body = tokio_stream::iter(std::iter::repeat(Ok::<_, std::convert::Infallible>(bytes::Bytes::from(": x\n"))));
    let mut events = EventStream::from_bytes_stream(body).first_event_timeout(SECOND).idle_timeout(SECOND);
    let clock = tokio::spawn(async {
        for _step in 0..30 {
            advance(SECOND / 10).await;
        }
    });
    assert_eq!(crate::script::in_short(events.recv().await), "first_event_timeout");
    clock.await.unwrap();
}

#[test]
#[should_panic(expected = "there is no reactor running")]
fn a_timeout_needs_a_runtime() {
    let (_sender, body) = live();
    let mut events = EventStream::new(body).idle_timeout(SECOND);
    let _ = tokio_test::task::spawn(events.recv()).poll();
}
