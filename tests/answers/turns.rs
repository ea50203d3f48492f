//! A body that is always ready lets other tasks run.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use sseclient::EventStream;

/// A body without an end, whose pieces are there at once.
struct Endless(Bytes);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(self.0.clone()))))
    }
}

/// Not in a runtime: nothing but the stream itself ends the poll.
#[test]
fn a_body_that_is_always_ready_and_says_nothing_keeps_no_poll_busy() {
    for piece in ["", "\n", ": x\n", "retry: 1\n", "foo: bar\n\n", "data: x\n", "id: 1\n\n"] {
        let mut events = EventStream::new(Endless(piece.into())).max_event_size(1000);
        let mut task = tokio_test::task::spawn(async move { events.recv().await });
        for _poll in 0..100 {
            assert!(task.poll().is_pending(), "{piece:?}");
            assert!(task.is_woken(), "{piece:?}: it goes on by itself");
        }
    }
}

#[test]
fn a_body_with_events_lets_other_tasks_run_between_them() {
    let mut events = EventStream::new(Endless("data: a\n\ndata: b\n\n".into()));
    // One poll of this task takes events as long as there are any.
    let mut taken = 0;
    let mut task = tokio_test::task::spawn(async {
        while let Some(event) = events.recv().await {
            event.unwrap();
            taken += 1;
        }
    });
    assert!(task.poll().is_pending());
    assert!(task.is_woken());
    drop(task);
    assert_eq!(taken, 128);
}

#[test]
fn what_follows_the_end_mark_keeps_no_poll_busy_either() {
    for piece in ["", ": x\n"] {
        let mark = Bytes::from("data: [DONE]\n\n");
        let chunks = [mark].into_iter().chain(std::iter::repeat(Bytes::from(piece)));
        let body = tokio_stream::iter(chunks.map(Ok::<_, Infallible>));
        let mut events = EventStream::from_bytes_stream(body).end_mark("[DONE]");
        let mut task = tokio_test::task::spawn(events.recv());
        assert!(matches!(task.poll(), Poll::Ready(None)), "{piece:?}");
    }
}

#[cfg(feature = "gzip")]
#[test]
fn a_bomb_is_decoded_in_turns() {
    let mut encoder = (crate::codings::CODINGS[0].encoder)();
    let comment = format!(":{}\n", " ".repeat(2 << 20));
    let bomb = [encoder.flush(&comment), encoder.finish()].concat();
    assert!(bomb.len() < 10_000);
    let response = http::Response::builder().header("content-type", "text/event-stream");
    let response = response.header("content-encoding", "gzip").body(http_body_util::Full::new(Bytes::from(bomb)));
    let mut events = EventStream::try_from_response(response.unwrap()).unwrap();
    let mut task = tokio_test::task::spawn(events.recv());
    let mut polls = 1;
    while task.poll().is_pending() {
        assert!(task.is_woken());
        polls += 1;
    }
    assert!((2..=4).contains(&polls), "{polls}: at most a MiB for each poll");
}
