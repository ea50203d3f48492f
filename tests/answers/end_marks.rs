//! The end of an answer: its mark, and what is left of the body behind it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sseclient::{ErrorKind, EventStream};

use crate::script::{Step, all, bytewise, chunks, next, script, text};

#[tokio::test]
async fn the_mark_ends_the_stream_and_is_no_item_wherever_it_stands() {
    for input in [
        "data: a\n\ndata: [DONE]\n\n",
        // In the middle of a chunk, with events behind it, and twice.
        "data: a\n\ndata: [DONE]\n\ndata: b\n\n",
        "data: a\n\ndata: [DONE]\n\ndata: [DONE]\n\ndata: b\n\n",
        // Of any type, with comments around it.
        "data: a\n\n: x\nevent: done\nid: 7\ndata: [DONE]\n\n: x\n",
        "data: a\n\ndata:[DONE]\n\n",
        "data: a\r\rdata: [DONE]\r\r",
        // Without a blank line at the end of the body, or without any line end.
        "data: a\n\ndata: [DONE]\n",
        "data: a\n\nid: 7\ndata: [DONE]",
    ] {
        for body in [chunks([input]), bytewise(input.as_bytes()), chunks(input.split_inclusive('\n'))] {
            let mut events = EventStream::new(body).end_mark("[DONE]");
            assert_eq!(all(&mut events).await, ["a", "end"], "{input:?}");
            // The mark is no item, but its ID counts.
            assert_eq!(events.last_event_id(), if input.contains("id: 7") { "7" } else { "" }, "{input:?}");
        }
    }
}

#[tokio::test]
async fn a_body_that_ends_without_its_mark_is_incomplete() {
    for (input, items) in [
        ("", &["incomplete", "end"][..]),
        ("data: a\n\n", &["a", "incomplete", "end"]),
        // Near misses.
        ("data: [DONE] \n\n", &["[DONE] ", "incomplete", "end"]),
        ("data: [DONE]\ndata: [DONE]\n\n", &["[DONE]\n[DONE]", "incomplete", "end"]),
        (": [DONE]\n\nevent: [DONE]\n\n", &["incomplete", "end"]),
        // An unfinished block that is not the mark is dropped.
        ("data: a\n\nid: 7\ndata: b", &["a", "incomplete", "end"]),
        ("data: a\n\ndata: [DO", &["a", "incomplete", "end"]),
    ] {
        let mut events = EventStream::new(chunks([input])).end_mark("[DONE]");
        assert_eq!(all(&mut events).await, items, "{input:?}");
        assert_eq!(events.last_event_id(), "", "{input:?}");
    }
    let mut events = EventStream::new(chunks(["data: a\n\nid: 7\ndata: b"])).end_mark("[DONE]");
    events = events.dispatch_unfinished_at_end(true);
    assert_eq!(all(&mut events).await, ["a", "b", "incomplete", "end"]);
    assert_eq!(events.last_event_id(), "7");
    // Of two calls the last one counts.
    let mut events = EventStream::new(chunks(["data: a\n\ndata: b"])).end_mark("[DONE]");
    events = events.dispatch_unfinished_at_end(true).dispatch_unfinished_at_end(false);
    assert_eq!(all(&mut events).await, ["a", "incomplete", "end"]);
    let mut events = EventStream::new(chunks([""])).end_mark("[DONE]");
    let error = events.recv().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.is_final()), (ErrorKind::Incomplete, false));
    assert_eq!(error.to_string(), "the response ended without its end mark");
}

#[tokio::test]
async fn a_body_that_fails_before_its_mark_says_how_and_after_it_nothing() {
    let before = script([text("data: a\n\n"), Step::Fail]);
    assert_eq!(all(&mut EventStream::new(before).end_mark("[DONE]")).await, ["a", "body", "end"]);
    let unfinished = script([text("data: a\n\ndata: [DONE]"), Step::Fail]);
    assert_eq!(all(&mut EventStream::new(unfinished).end_mark("[DONE]")).await, ["a", "body", "end"]);
    let after = script([text("data: a\n\ndata: [DONE]\n\n"), Step::Fail]);
    assert_eq!(all(&mut EventStream::new(after).end_mark("[DONE]")).await, ["a", "end"]);
}

#[tokio::test]
async fn an_oversized_event_is_never_the_mark_and_stands_before_it_as_a_gap() {
    let long = "data: 0123456789\n\n";
    let input = format!("{long}data: [DONE]\n\n");
    for mark in ["[DONE]", "0123456789"] {
        let mut events = EventStream::new(chunks([&*input])).max_event_size(8).end_mark(mark);
        let gap = "1 event was skipped: over the size limit, 10 bytes";
        let expected = if mark == "[DONE]" { &[gap, "end"][..] } else { &[gap, "[DONE]", "incomplete", "end"] };
        assert_eq!(all(&mut events).await, expected, "{mark}");
    }
}

#[tokio::test]
async fn the_mark_is_any_event_that_the_caller_says() {
    let input = "event: token\ndata: a\n\nevent: message_stop\ndata: {}\n\nevent: token\ndata: b\n\n";
    let is_stop = |event: &sseclient::Event| event.event_type() == "message_stop";
    let mut events = EventStream::new(bytewise(input.as_bytes())).ends_when(is_stop);
    assert_eq!(all(&mut events).await, ["a", "end"]);
    // Of two marks the last call counts.
    let mut events = EventStream::new(chunks([input])).ends_when(is_stop).end_mark("b");
    assert_eq!(all(&mut events).await, ["a", "{}", "end"]);
    let mut events = EventStream::new(chunks([input])).end_mark("a").ends_when(is_stop);
    assert_eq!(all(&mut events).await, ["a", "end"]);
}

const MARK: &str = "data: [DONE]\n\n";

#[tokio::test]
async fn the_body_is_read_to_its_end_after_the_mark_up_to_a_bound() {
    let rest = script([text(MARK), text("x".repeat(1000)), text("")]);
    let read = Arc::clone(&rest.read);
    assert_eq!(next(&mut EventStream::new(rest).end_mark("[DONE]")).await, "end");
    assert_eq!(read.load(Ordering::Relaxed), MARK.len() + 1000);

    let endless = (0..1000).map(|_| text("x".repeat(4096)));
    let endless = script([text(MARK)].into_iter().chain(endless));
    let read = Arc::clone(&endless.read);
    let mut events = EventStream::new(endless).end_mark("[DONE]");
    assert_eq!(next(&mut events).await, "end");
    assert_eq!(read.load(Ordering::Relaxed), MARK.len() + 68 * 1024, "one chunk more than the bound");
}

/// Without a clock, a body that does not end is not waited for.
#[test]
fn a_body_without_an_end_behind_the_mark_is_left_where_no_clock_is() {
    let hanging = || EventStream::new(script([text(MARK), text(": x\n"), Step::Hang])).end_mark("[DONE]");
    let mut events = hanging();
    let mut task = tokio_test::task::spawn(events.recv());
    assert!(matches!(task.poll(), std::task::Poll::Ready(None)), "no runtime");
    drop(task);
    let without_timers = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(without_timers.block_on(async { next(&mut hanging()).await }), "end");
}

#[cfg(feature = "client")]
#[tokio::test(start_paused = true)]
async fn the_end_behind_the_mark_is_waited_for_and_not_for_long() {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    for (delay, waited) in [(Duration::from_millis(50), 50), (Duration::from_secs(3600), 100)] {
        let (sender, body) = crate::script::live();
        sender.send(text(MARK)).unwrap();
        let begun = Instant::now();
        let server = tokio::spawn(async move {
            sleep(delay).await;
            drop(sender);
        });
        let mut events = EventStream::new(body).end_mark("[DONE]");
        assert_eq!(next(&mut events).await, "end");
        assert_eq!(begun.elapsed().as_millis(), waited);
        server.abort();
    }
    // A server that goes on sending is left as soon.
    let (sender, body) = crate::script::live();
    sender.send(text(MARK)).unwrap();
    let begun = Instant::now();
    let server = tokio::spawn(async move {
        while sender.send(text(": x\n")).is_ok() {
            sleep(Duration::from_millis(30)).await;
        }
    });
    let mut events = EventStream::new(body).end_mark("[DONE]");
    assert_eq!(next(&mut events).await, "end");
    assert_eq!(begun.elapsed().as_millis(), 100);
    server.abort();
}
