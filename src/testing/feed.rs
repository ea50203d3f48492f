//! [`Feed`]: what a publisher, its transport and the body of the open response share.
//!
//! The publisher appends to a line, and the body takes from it, in the connection task: one entry
//! at a time, since the transport may hold back what it has taken. An entry has reached the
//! subscribers when the turn of reading is over that its bytes were read in. The task counts the
//! bytes of a turn last, so its statistics tell.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::Full;
use tokio::sync::watch;
use tokio::task::yield_now;

use crate::connection::Connection;
use crate::error::{Error, ErrorKind};
use crate::event::Gap;
use crate::handle::{Monitor, closed_error};

/// Maximum number of requests that are recorded. A stream without waits makes them without end.
pub(super) const MAX_REQUESTS: usize = 10_000;

/// One entry of the line between a publisher and the open response.
pub(super) enum Sent {
    Bytes(Bytes),
    /// Goes to the subscribers without being read from a body.
    Gap(Gap),
    /// The response ends, or breaks.
    End(Option<Error>),
}

/// Why an attempt gets no stream.
pub(super) type Refused = Result<Response<Bytes>, Error>;

#[derive(Default)]
pub(super) struct Feed {
    line: Mutex<Line>,
    progress: watch::Sender<Progress>,
}

#[derive(Default)]
struct Line {
    sent: VecDeque<Sent>,
    /// How many entries there ever were.
    total: u64,
    /// The number of the newest response, which alone takes entries.
    response: u64,
    /// Of the task that reads it.
    reader: Option<Waker>,
    refusals: VecDeque<Refused>,
    requests: Vec<Request<Bytes>>,
    /// The publisher is gone.
    is_over: bool,
}

/// How far the streams have come.
#[derive(Default, Clone)]
struct Progress {
    /// In the order in which they were built.
    streams: Vec<Arc<Connection>>,
    /// How many entries of the line were taken.
    taken: u64,
    /// How many bytes the streams have read when the last entry that was taken is published.
    due: u64,
    /// How many responses were over when the last one was ended.
    over: u64,
}

impl Progress {
    /// Returns how many bytes the streams have read, up to the end of a turn.
    fn read(&self) -> u64 {
        self.streams.iter().map(|stream| stream.counters.stats().bytes).sum()
    }

    /// Returns true if all that was taken has been published.
    fn is_published(&self) -> bool {
        self.read() >= self.due
    }

    /// Returns how many responses are over.
    fn over(&self) -> u64 {
        let over = |stream: &Arc<Connection>| {
            let status = stream.published.watch();
            let status = status.borrow();
            status.accepted - u64::from(status.state.is_open())
        };
        self.streams.iter().map(over).sum()
    }
}

impl Feed {
    /// Goes on with a stream that has just been built.
    pub(super) fn attach(&self, stream: &Arc<Connection>) {
        // What a stream before has left is not for this one.
        let is_next = self.newest().is_some_and(|newest| newest.published.close_reason().is_some());
        let left = if is_next { std::mem::take(&mut self.line().sent) } else { VecDeque::new() };
        self.progress.send_modify(|progress| {
            progress.streams.push(Arc::clone(stream));
            progress.taken += left.len() as u64;
        });
    }

    /// Sends an entry, and waits until it has had its effect.
    pub(super) async fn deliver(&self, sent: Sent) -> Result<(), Error> {
        let number = self.push(sent);
        let stream = self.built().await;
        let mut progress = self.progress.subscribe();
        loop {
            let taken = async { drop(progress.wait_for(|progress| progress.taken >= number).await) };
            tokio::select! {
                // An entry may be the one that ends the stream.
                biased;
                () = taken => {}
                reason = Monitor::new(Arc::clone(&stream)).closed() => return Err(closed_error(reason)),
            }
            let now = self.progress();
            // It may have been given back.
            if now.taken >= number && now.is_published() {
                return Ok(());
            }
            // The turn is about to begin, or under way on another thread. It never waits.
            yield_now().await;
        }
    }

    /// Ends the open response, and waits until the stream has noticed.
    pub(super) async fn end(&self, error: Option<Error>) -> Result<(), Error> {
        self.deliver(Sent::End(error)).await?;
        let stream = self.built().await;
        // On another thread the turn may still be under way. It never waits.
        let is_noticed = |progress: Progress| progress.over() > progress.over;
        while !is_noticed(self.progress()) && stream.published.close_reason().is_none() {
            yield_now().await;
        }
        Ok(())
    }

    /// Waits until a stream was built, and returns the newest.
    pub(super) async fn built(&self) -> Arc<Connection> {
        let mut progress = self.progress.subscribe();
        loop {
            if let Some(stream) = self.newest() {
                return stream;
            }
            // The sender lives as long as `self`.
            let _ = progress.changed().await;
        }
    }

    pub(super) fn refuse(&self, refused: Refused) {
        self.line().refusals.push_back(refused);
    }

    pub(super) fn requests(&self) -> Vec<Request<Bytes>> {
        self.line().requests.clone()
    }

    /// Ends the stream after what was sent: the publisher is gone.
    pub(super) fn finish(&self) {
        let mut line = self.line();
        line.is_over = true;
        let reader = line.reader.take();
        drop(line);
        reader.into_iter().for_each(Waker::wake);
    }

    /// Answers a request as a transport does.
    pub(super) fn answer(self: &Arc<Self>, request: Request<Bytes>) -> Result<Response<FeedBody>, Error> {
        let mut line = self.line();
        if line.requests.len() < MAX_REQUESTS {
            line.requests.push(request);
        }
        if let Some(refused) = line.refusals.pop_front() {
            return refused.map(|response| response.map(|body| FeedBody::Whole(Full::new(body))));
        }
        if line.is_over {
            return Err(gone());
        }
        line.response += 1;
        let fed = FedBody { feed: Arc::clone(self), number: line.response, in_flight: None };
        let mut response = Response::new(FeedBody::Fed(fed));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        Ok(response)
    }

    fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    fn newest(&self) -> Option<Arc<Connection>> {
        self.progress.borrow().streams.last().cloned()
    }

    /// Appends an entry, and returns its number.
    fn push(&self, sent: Sent) -> u64 {
        let mut line = self.line();
        line.sent.push_back(sent);
        line.total += 1;
        let (number, reader) = (line.total, line.reader.take());
        drop(line);
        // A waker is the runtime's code, and may come back here.
        reader.into_iter().for_each(Waker::wake);
        number
    }

    /// Takes the next entry for the response of this number.
    fn poll_take(&self, number: u64, cx: &Context<'_>) -> Poll<Sent> {
        let mut line = self.line();
        // A response that was replaced gets no more, and is about to be dropped.
        if line.response == number {
            if let Some(sent) = line.sent.pop_front() {
                return Poll::Ready(sent);
            }
            if line.is_over {
                return Poll::Ready(Sent::End(Some(gone())));
            }
            line.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Notes that an entry was taken.
    fn taken(&self, bytes: usize) {
        self.progress.send_modify(|progress| {
            progress.taken += 1;
            progress.due = progress.read() + bytes as u64;
        });
    }

    /// Takes back the last entry that a response has taken, unless that was published.
    fn give_back(&self, bytes: Bytes) {
        if self.progress().is_published() {
            return;
        }
        self.line().sent.push_front(Sent::Bytes(bytes));
        self.progress.send_modify(|progress| {
            progress.taken -= 1;
            progress.due = 0;
        });
    }

    /// Publishes a gap, behind everything that was taken before it.
    fn publish(&self, gap: &Gap) {
        let Some(stream) = self.newest() else { return };
        stream.hub.publisher().gap(None, gap);
        stream.hub.wake();
        if matches!(gap, Gap::Reconnected { .. }) {
            stream.counters.count(|stats| stats.gaps += 1);
        }
    }

    /// Notes that a response is about to end.
    fn note_end(&self) {
        let over = self.progress().over();
        self.progress.send_modify(|progress| progress.over = over);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // Nothing that can panic runs under this lock.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of a stream whose publisher is gone. Its kind is final under every policy.
fn gone() -> Error {
    Error::new(ErrorKind::Closed, "the publisher of this stream was dropped")
}

/// The body of a response.
pub(super) enum FeedBody {
    Fed(FedBody),
    /// Of a refusal.
    Whole(Full<Bytes>),
}

/// The body of an open stream.
///
/// # Drop behavior
///
/// What it has taken without effect comes again in the next response.
pub(super) struct FedBody {
    feed: Arc<Feed>,
    number: u64,
    /// What was taken last, until it is known to be published.
    in_flight: Option<Bytes>,
}

impl Body for FeedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Fed(body) => body.poll_bytes(cx).map(|bytes| bytes.map(|bytes| bytes.map(Frame::data))),
            Self::Whole(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
        }
    }
}

impl FedBody {
    fn poll_bytes(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if !self.feed.progress().is_published() {
            // The turn ends when there is no more, and the next one asks again.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.in_flight = None;
        loop {
            match ready!(self.feed.poll_take(self.number, cx)) {
                Sent::Bytes(bytes) => {
                    self.feed.taken(bytes.len());
                    self.in_flight = Some(bytes.clone());
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Sent::Gap(gap) => {
                    self.feed.publish(&gap);
                    self.feed.taken(0);
                }
                Sent::End(error) => {
                    self.feed.note_end();
                    self.feed.taken(0);
                    return Poll::Ready(error.map(Err));
                }
            }
        }
    }
}

impl Drop for FedBody {
    fn drop(&mut self) {
        if let Some(bytes) = self.in_flight.take() {
            self.feed.give_back(bytes);
        }
    }
}
