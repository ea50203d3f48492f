//! [`Feed`]: what a publisher, its transport and the bodies of open responses share.
//!
//! The publisher appends to a line. The body of the newest open response takes from it, in the
//! connection task: one entry at a time, since the transport may hold back what it has taken. An
//! entry has reached the subscribers when the turn of reading is over that its bytes were read in.
//! The task counts the bytes of a turn last, so the statistics of the stream tell, and a call that
//! waits is woken then. The body cannot wake it: while a queue is full, nothing polls a body.

use std::collections::VecDeque;
use std::future::ready;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::Full;
use tokio::sync::watch;

use crate::connection::Connection;
use crate::error::{Error, ErrorKind};
use crate::event::Gap;
use crate::handle::Monitor;
use crate::state::CloseReason;
use crate::transport::BoxedTransport;

/// Maximum number of requests that are recorded. A stream without waits makes them without end.
pub(super) const MAX_REQUESTS: usize = 10_000;

/// One entry of the line between a publisher and the open response.
pub(super) enum Sent {
    Bytes(Bytes),
    /// Goes to the subscribers without being read from a body.
    Gap(Gap),
    /// The response ends, or breaks.
    End(Option<Error>),
    /// The response ends, and the stream's next attempt gets a 204.
    Close,
}

/// An entry, and who waits for it.
struct Entry {
    sent: Sent,
    waiting: Waiting,
}

/// Is told what becomes of an entry. The publisher may have given up.
type Waiting = watch::Sender<EntryState>;

/// What has become of an entry.
#[derive(Default, Clone)]
enum EntryState {
    #[default]
    InLine,
    /// It has had its effect when the stream has read so many bytes.
    UnderWay(Arc<Connection>, u64),
    Taken(Effect),
    /// The streams before have closed for this reason, and the next one does not get it.
    Discarded(CloseReason),
}

/// An entry has had its effect.
#[derive(Clone)]
pub(super) struct Effect {
    pub(super) stream: Arc<Connection>,
    /// The stream is about to close.
    pub(super) is_closing: bool,
}

/// Why an attempt gets no stream.
pub(super) type Refused = Result<Response<Bytes>, Error>;

#[derive(Default)]
pub(super) struct Feed {
    line: Mutex<FeedState>,
    /// In the order in which they were built. Closed ones go when another is built.
    streams: watch::Sender<Vec<Arc<Connection>>>,
}

#[derive(Default)]
struct FeedState {
    entries: VecDeque<Entry>,
    /// How many responses there were.
    responses: u64,
    /// The responses that are open. The last one takes entries.
    open: Vec<OpenResponse>,
    refusals: VecDeque<Refused>,
    requests: Vec<Request<Bytes>>,
    /// The publisher is gone.
    is_over: bool,
}

/// A stream of the publisher.
struct Fed {
    connection: Arc<Connection>,
    /// Its attempts get a 204.
    is_closing: AtomicBool,
}

struct OpenResponse {
    number: u64,
    /// Of the task that reads it.
    reader: Option<Waker>,
}

impl Feed {
    /// Goes on with a stream that has just been built, and answers its requests.
    pub(super) fn attach(self: &Arc<Self>, stream: &Arc<Connection>) {
        // Each stream has its own, so that a response knows whose it is.
        let fed = Arc::new(Fed { connection: Arc::clone(stream), is_closing: AtomicBool::new(false) });
        let feed = Arc::clone(self);
        let transport = move |request: Request<Bytes>| ready(feed.answer(&fed, request));
        stream.task.set_connector(Arc::new(BoxedTransport::new(transport)));
        let mut before = Vec::new();
        self.streams.send_modify(|streams| {
            before = std::mem::take(streams);
            streams.extend(before.iter().filter(|stream| stream.published.close_reason().is_none()).cloned());
            streams.push(Arc::clone(stream));
        });
        let reasons: Option<Vec<_>> = before.iter().map(|stream| stream.published.close_reason()).collect();
        // What streams before that have all closed have left is not for this one.
        let Some(reason) = reasons.and_then(|reasons| reasons.last().cloned()) else { return };
        let left = std::mem::take(&mut self.line().entries);
        left.into_iter().for_each(|entry| drop(entry.waiting.send_replace(EntryState::Discarded(reason.clone()))));
    }

    /// Sends an entry, and waits until it has had its effect.
    ///
    /// # Errors
    ///
    /// Why the newest stream has closed, if all have.
    pub(super) async fn deliver(&self, sent: Sent) -> Result<Effect, CloseReason> {
        let (waiting, mut course) = watch::channel(EntryState::InLine);
        self.change_line(|line| line.entries.push_back(Entry { sent, waiting }));
        loop {
            let now = course.borrow_and_update().clone();
            match now {
                EntryState::Taken(taken) => return Ok(taken),
                EntryState::Discarded(reason) => return Err(reason),
                EntryState::UnderWay(stream, due) => {
                    // Before the look: from here on it misses no turn.
                    let turn = stream.counters.turn();
                    if read(&stream) >= due {
                        return Ok(Effect { stream: Arc::clone(&stream), is_closing: false });
                    }
                    tokio::select! {
                        () = turn => {}
                        // The response was dropped before the turn.
                        Ok(()) = course.changed() => {}
                    }
                }
                EntryState::InLine => tokio::select! {
                    // An entry may be the one that ends the stream.
                    biased;
                    // Its sender is in the line, or with the response.
                    Ok(()) = course.changed() => {}
                    reason = self.closed() => return Err(reason),
                },
            }
        }
    }

    /// Ends the open response, and waits until the stream has noticed.
    pub(super) async fn end(&self, error: Option<Error>) -> Result<(), CloseReason> {
        let Effect { stream, is_closing } = self.deliver(Sent::End(error)).await?;
        if is_closing {
            Monitor::new(stream).closed().await;
        }
        Ok(())
    }

    /// Ends the open response for good, and waits until its stream has closed.
    pub(super) async fn close(&self) -> CloseReason {
        match self.deliver(Sent::Close).await {
            Ok(taken) => Monitor::new(taken.stream).closed().await,
            // It has its reason already.
            Err(reason) => reason,
        }
    }

    /// Waits until a stream was built and all are closed, and returns why the newest is.
    async fn closed(&self) -> CloseReason {
        let mut watched = self.streams.subscribe();
        loop {
            let streams = watched.borrow_and_update().clone();
            let mut reason = None;
            for stream in streams {
                reason = Some(Monitor::new(stream).closed().await);
            }
            if let (Some(reason), Ok(false)) = (reason, watched.has_changed()) {
                return reason;
            }
            // The sender lives as long as `self`. If it has changed, this is ready at once.
            let _ = watched.changed().await;
            watched.mark_changed();
        }
    }

    pub(super) fn refuse(&self, refused: Refused) {
        self.line().refusals.push_back(refused);
    }

    pub(super) fn requests(&self) -> Vec<Request<Bytes>> {
        self.line().requests.clone()
    }

    /// Ends the streams after what was sent: the publisher is gone.
    pub(super) fn finish(&self) {
        self.change_line(|line| line.is_over = true);
    }

    /// Answers a request of this stream as a transport does.
    fn answer(self: &Arc<Self>, stream: &Arc<Fed>, request: Request<Bytes>) -> Result<Response<FeedBody>, Error> {
        let mut line = self.line();
        if line.requests.len() < MAX_REQUESTS {
            line.requests.push(request);
        }
        if let Some(refused) = line.refusals.pop_front() {
            return refused.map(|response| response.map(|body| FeedBody::Whole(Full::new(body))));
        }
        if line.closes(stream) {
            let mut response = Response::new(FeedBody::Whole(Full::default()));
            *response.status_mut() = StatusCode::NO_CONTENT;
            return Ok(response);
        }
        if line.is_over {
            return Err(gone());
        }
        line.responses += 1;
        let number = line.responses;
        line.open.push(OpenResponse { number, reader: None });
        let fed = FedBody { feed: Arc::clone(self), stream: Arc::clone(stream), number, under_way: None };
        let mut response = Response::new(FeedBody::Fed(fed));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        Ok(response)
    }

    /// Takes the next entry for the response of this number.
    fn poll_take(&self, number: u64, cx: &Context<'_>) -> Poll<Option<Entry>> {
        let mut line = self.line();
        let is_newest = line.open.last().is_some_and(|newest| newest.number == number);
        if let Some(entry) = is_newest.then(|| line.entries.pop_front()).flatten() {
            return Poll::Ready(Some(entry));
        }
        if line.is_over {
            return Poll::Ready(None);
        }
        if let Some(response) = line.open.iter_mut().find(|response| response.number == number) {
            response.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Changes the line, and wakes the readers of all open responses.
    fn change_line(&self, change: impl FnOnce(&mut FeedState)) {
        let mut line = self.line();
        change(&mut line);
        let readers: Vec<Waker> = line.open.iter_mut().filter_map(|response| response.reader.take()).collect();
        drop(line);
        // A waker is the runtime's code, and may come back here.
        readers.into_iter().for_each(Waker::wake);
    }

    fn line(&self) -> MutexGuard<'_, FeedState> {
        // Nothing that can panic runs under this lock.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FeedState {
    /// Returns true if this attempt of a stream is to be its last.
    fn closes(&mut self, stream: &Fed) -> bool {
        if stream.is_closing.load(Ordering::Relaxed) {
            return true;
        }
        let is_next = self.entries.front().is_some_and(|entry| matches!(entry.sent, Sent::Close));
        if !is_next || !self.open.is_empty() {
            return false;
        }
        // There is no response to end first.
        if let Some(entry) = self.entries.pop_front() {
            tell(entry.waiting, &stream.connection, true);
        }
        true
    }
}

/// The error of a stream whose publisher is gone. Its kind is final under every policy.
pub(super) fn gone() -> Error {
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
/// What it has taken without effect comes again in the newest response.
pub(super) struct FedBody {
    feed: Arc<Feed>,
    stream: Arc<Fed>,
    number: u64,
    under_way: Option<UnderWay>,
}

/// The entry that was taken last, until it is known to have had its effect.
enum UnderWay {
    Bytes {
        bytes: Bytes,
        /// How many bytes the stream has read when they are published.
        due: u64,
        waiting: Waiting,
    },
    End(Waiting),
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
        if let Some(UnderWay::Bytes { due, .. }) = self.under_way {
            if read(self.connection()) < due {
                // The turn ends when there is no more, and the next one asks again.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        self.settle();
        loop {
            let Some(Entry { sent, waiting }) = ready!(self.feed.poll_take(self.number, cx)) else {
                return Poll::Ready(Some(Err(gone())));
            };
            match sent {
                Sent::Bytes(bytes) => {
                    let due = read(self.connection()) + bytes.len() as u64;
                    waiting.send_replace(EntryState::UnderWay(Arc::clone(self.connection()), due));
                    self.under_way = Some(UnderWay::Bytes { bytes: bytes.clone(), due, waiting });
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Sent::Gap(gap) => {
                    self.publish(&gap);
                    tell(waiting, self.connection(), false);
                }
                Sent::End(error) => {
                    self.under_way = Some(UnderWay::End(waiting));
                    return Poll::Ready(error.map(Err));
                }
                Sent::Close => {
                    // Relaxed: the same task reads it.
                    self.stream.is_closing.store(true, Ordering::Relaxed);
                    self.under_way = Some(UnderWay::End(waiting));
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn connection(&self) -> &Arc<Connection> {
        &self.stream.connection
    }

    /// Publishes a gap, behind everything that was taken before it.
    fn publish(&self, gap: &Gap) {
        let stream = self.connection();
        stream.hub.publisher().gap(None, gap);
        stream.hub.wake();
        if matches!(gap, Gap::Reconnected { .. }) {
            stream.counters.count(|stats| stats.gaps += 1);
        }
    }

    /// Tells the waiting call what has become of the last entry, or gives the entry back.
    fn settle(&mut self) {
        match self.under_way.take() {
            Some(UnderWay::Bytes { bytes, due, waiting }) if read(self.connection()) < due => {
                waiting.send_replace(EntryState::InLine);
                self.feed.line().entries.push_front(Entry { sent: Sent::Bytes(bytes), waiting });
            }
            Some(UnderWay::Bytes { waiting, .. }) => tell(waiting, self.connection(), false),
            // A stream that goes on has another state by now.
            Some(UnderWay::End(waiting)) => {
                tell(waiting, self.connection(), self.connection().published.state().is_open())
            }
            None => {}
        }
    }
}

impl Drop for FedBody {
    fn drop(&mut self) {
        self.settle();
        let number = self.number;
        self.feed.change_line(|line| line.open.retain(|response| response.number != number));
    }
}

/// Tells the waiting call that its entry has had its effect on this stream.
fn tell(waiting: Waiting, stream: &Arc<Connection>, is_closing: bool) {
    waiting.send_replace(EntryState::Taken(Effect { stream: Arc::clone(stream), is_closing }));
}

/// Returns how many bytes a stream has read, up to the end of a turn.
fn read(stream: &Connection) -> u64 {
    stream.counters.stats().bytes
}
