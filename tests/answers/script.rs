//! Bodies that a test writes piece by piece, and what a stream makes of them.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use sseclient::{Delivery, Error, Event, EventStream};
use tokio::sync::mpsc;

/// What a body does when it is polled.
#[derive(Debug)]
pub enum Step {
    Bytes(Bytes),
    Fail,
    /// It stays without bytes, and does not end.
    Hang,
}

pub fn text(text: impl Into<Bytes>) -> Step {
    Step::Bytes(text.into())
}

/// A body that does these steps and then ends, and counts the bytes that it gave away.
#[derive(Debug)]
pub struct Script {
    steps: VecDeque<Step>,
    pub read: Arc<AtomicUsize>,
}

pub fn script(steps: impl IntoIterator<Item = Step>) -> Script {
    Script { steps: steps.into_iter().collect(), read: Arc::default() }
}

/// A body of these chunks.
pub fn chunks<'a>(chunks: impl IntoIterator<Item = &'a str>) -> Script {
    script(chunks.into_iter().map(|chunk| text(chunk.to_owned())))
}

/// A body of one byte at a time.
pub fn bytewise(bytes: &[u8]) -> Script {
    script(bytes.iter().map(|&byte| text(vec![byte])))
}

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.steps.front() {
            Some(Step::Hang) => return Poll::Pending,
            Some(_) => {}
            None => return Poll::Ready(None),
        }
        Poll::Ready(self.steps.pop_front().and_then(|step| match step {
            Step::Bytes(bytes) => {
                self.read.fetch_add(bytes.len(), Ordering::Relaxed);
                Some(Ok(Frame::data(bytes)))
            }
            Step::Fail => Some(Err(io::Error::other("cut"))),
            Step::Hang => None,
        }))
    }
}

/// A body whose bytes come when they are sent, and which ends when the sender is dropped.
pub struct Live(mpsc::UnboundedReceiver<Step>);

pub fn live() -> (mpsc::UnboundedSender<Step>, Live) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Live(receiver))
}

impl Body for Live {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|step| match step? {
            Step::Bytes(bytes) => Some(Ok(Frame::data(bytes))),
            Step::Fail => Some(Err(io::Error::other("cut"))),
            Step::Hang => None,
        })
    }
}

/// The next item in short: the data, the gap, the kind of the error, or `end`.
pub async fn next<B: Body<Error = io::Error>>(events: &mut EventStream<B>) -> String {
    in_short(events.recv().await)
}

pub fn in_short(item: Option<Result<Delivery<Event>, Error>>) -> String {
    match item {
        Some(Ok(Delivery::Event(event))) => event.data().to_owned(),
        Some(Ok(Delivery::Gap(gap))) => gap.to_string(),
        Some(Err(error)) => error.kind().as_str().to_owned(),
        None => "end".to_owned(),
    }
}

/// All items, up to `end`, which must stay.
pub async fn all<B: Body<Error = io::Error>>(events: &mut EventStream<B>) -> Vec<String> {
    let mut items = Vec::new();
    while items.last().is_none_or(|item| item != "end") {
        items.push(next(events).await);
    }
    assert_eq!(next(events).await, "end");
    items
}
