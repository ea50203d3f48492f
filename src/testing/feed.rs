//! [`Feed`]: what a publisher, its transport and the body of the open response share.
//!
//! The publisher appends to a line, and the body takes from it, in the connection task. What was
//! taken has reached the subscribers when the turn of reading is over: the task counts the bytes of
//! a turn last, so its statistics tell.

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

/// How far the stream has come.
#[derive(Default, Clone)]
pub(super) struct Progress {
    /// The stream that was built last.
    connection: Option<Arc<Connection>>,
    /// How many entries of the line were taken.
    taken: u64,
    /// The bytes that this stream has taken.
    bytes: u64,
    /// How many responses had been accepted when one was ended.
    accepted: u64,
}

impl Feed {
    /// Goes on with a stream that has just been built.
    pub(super) fn attach(&self, connection: &Arc<Connection>) {
        let mut line = self.line();
        self.progress.send_modify(|progress| {
            // What an earlier stream has left is not for this one.
            if progress.connection.replace(Arc::clone(connection)).is_some() {
                line.sent.clear();
                progress.taken = line.total;
            }
            progress.bytes = 0;
        });
    }

    /// Sends an entry, and waits until it has had its effect. Returns the stream.
    pub(super) async fn deliver(&self, sent: Sent) -> Result<Arc<Connection>, Error> {
        let number = self.push(sent);
        let connection = self.built().await;
        let mut progress = self.progress.subscribe();
        let taken = async { progress.wait_for(|progress| progress.taken >= number).await.map_or(0, |now| now.bytes) };
        let bytes = tokio::select! {
            // An entry may be the one that ends the stream.
            biased;
            bytes = taken => bytes,
            reason = Monitor::new(Arc::clone(&connection)).closed() => return Err(closed_error(reason)),
        };
        // On another thread the turn may still be under way. It never waits.
        while connection.counters.stats().bytes < bytes && connection.published.close_reason().is_none() {
            yield_now().await;
        }
        Ok(connection)
    }

    /// Ends the open response, and waits until the stream has noticed.
    pub(super) async fn end(&self, error: Option<Error>) -> Result<(), Error> {
        let connection = self.deliver(Sent::End(error)).await?;
        let accepted = self.progress.borrow().accepted;
        let is_noticed = move |state_is_open: bool, now: u64| !state_is_open || now > accepted;
        // A stream that closes has noticed, too.
        let _ = Monitor::new(connection)
            .outcome(move |status| is_noticed(status.state.is_open(), status.accepted).then_some(()))
            .await;
        Ok(())
    }

    /// Waits until a stream was built.
    pub(super) async fn built(&self) -> Arc<Connection> {
        let mut progress = self.progress.subscribe();
        loop {
            if let Some(connection) = self.connection() {
                return connection;
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
        let mut response = Response::new(FeedBody::Fed { feed: Arc::clone(self), number: line.response });
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        Ok(response)
    }

    fn connection(&self) -> Option<Arc<Connection>> {
        self.progress.borrow().connection.clone()
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
            progress.bytes += bytes as u64;
        });
    }

    /// Publishes a gap, behind everything that was taken before it.
    fn publish(&self, gap: &Gap) {
        let Some(connection) = self.connection() else { return };
        connection.hub.publisher().gap(None, gap);
        connection.hub.wake();
        if matches!(gap, Gap::Reconnected { .. }) {
            connection.counters.count(|stats| stats.gaps += 1);
        }
    }

    /// Notes which response is ended.
    fn note_end(&self) {
        let accepted = self.connection().map_or(0, |connection| connection.published.watch().borrow().accepted);
        self.progress.send_modify(|progress| progress.accepted = accepted);
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

/// The body of a response: what a publisher sends, or a refusal's text.
pub(super) enum FeedBody {
    Fed { feed: Arc<Feed>, number: u64 },
    Whole(Full<Bytes>),
}

impl Body for FeedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let (feed, number) = match self.get_mut() {
            Self::Fed { feed, number } => (feed, *number),
            Self::Whole(body) => {
                return Pin::new(body)
                    .poll_frame(cx)
                    .map(|frame| frame.map(|frame| frame.map_err(|never| match never {})));
            }
        };
        loop {
            match ready!(feed.poll_take(number, cx)) {
                Sent::Bytes(bytes) => {
                    feed.taken(bytes.len());
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Sent::Gap(gap) => {
                    feed.publish(&gap);
                    feed.taken(0);
                }
                Sent::End(error) => {
                    feed.note_end();
                    feed.taken(0);
                    return Poll::Ready(error.map(Err));
                }
            }
        }
    }
}
