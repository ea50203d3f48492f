//! [`Http2Connection`]: an HTTP/2 connection (RFC 9113) that streams share, and the one task that
//! drives it.
//!
//! ```text
//! Http2Body ── StreamLease ─┐
//! Http2Body ── StreamLease ─┼─ Http2Connection ╌╌ drive (one task) ── socket
//! Http2Body ── StreamLease ─┘
//! ```
//!
//! Every stream of a client to one origin is a request on the same connection, up to the server's
//! limit. Each holds a [`StreamLease`]; the connection ends with the last one. A stream that is not
//! read does not stop the others: each has a window of its own, and the connection's window is as
//! large as all of them together.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream as _;
use futures_util::stream::FuturesUnordered;
use http::Request;
use http::response::Parts;
use http_body_util::Full;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::error::{Error, ErrorKind};

use super::connector::{BoxFuture, Io};

/// Maximum number of bytes that the server may send on a stream before the client has read them.
const STREAM_WINDOW: u32 = 128 * 1024;

/// Maximum number of streams on one connection, even if the server allows more. It bounds the
/// connection's window.
const MAX_STREAMS: usize = 256;

/// Maximum number of unread bytes of all streams together.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS as u32;

/// Maximum size of an unpacked response head, in which each field counts 32 bytes more than it has.
/// hyper's default of 16 KiB is too small for 500 fields, which curl and node take.
const MAX_HEAD: u32 = 64 * 1024;

/// Maximum size of a frame. It is hyper's default, named because, with the windows and the head, it
/// bounds the memory that a server can make the client use.
const MAX_FRAME: u32 = 16 * 1024;

/// Maximum number of frames without data in a row. More keep the client busy for nothing.
const MAX_EMPTY_FRAMES: usize = 1000;

/// The server's limit on streams until the server has sent it. It is larger than any real limit.
const UNKNOWN_LIMIT: usize = usize::MAX - 1;

/// How long the server may take to send its limit on streams, before the limit is taken to be one.
const SETTINGS_TIMEOUT: Duration = Duration::from_secs(1);

/// A dead connection is noticed after `PING_INTERVAL` of silence and `PING_TIMEOUT` without an
/// answer to a PING. All its streams depend on it.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection, held by its leases.
///
/// # Drop behavior
///
/// The driver task is aborted, which closes the socket at once.
pub(super) struct Http2Connection {
    sender: SendRequest<Full<Bytes>>,
    /// How many streams the server allows at once.
    limit: watch::Receiver<usize>,
    leases: AtomicUsize,
    /// No further streams are to use the connection: requests on it went without an answer.
    retired: AtomicBool,
    /// No stream is left when this is dropped: the socket closes then, not when the server has
    /// answered a GOAWAY.
    _driver: JoinSet<()>,
}

impl Http2Connection {
    /// Performs the handshake, and waits until the server has sent its limit on streams, for at
    /// most one second.
    ///
    /// # Errors
    ///
    /// `Protocol` if the connection breaks. A server that speaks HTTP/1.1 only is found out by the
    /// first request.
    pub(super) async fn handshake(io: Box<dyn Io>) -> Result<Arc<Self>, Error> {
        let (executor, spawned) = mpsc::unbounded_channel();
        let handshake = Builder::new(SpawnOnDriver(executor))
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD)
            .max_frame_size(MAX_FRAME)
            // hyper does not say when the server's settings have come. This value, which no server
            // sends, does.
            .initial_max_send_streams(UNKNOWN_LIMIT)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            // Covers the time between the handshake and the first request as well.
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(io));
        let (sender, connection) = handshake.await.map_err(|error| {
            Error::with_source(ErrorKind::Protocol, "the connection broke during the HTTP/2 handshake", error)
        })?;
        let (limit, mut known_limit) = watch::channel(UNKNOWN_LIMIT);
        // Spawned before the wait below: it is the driver that reads the server's settings.
        let mut driver = JoinSet::new();
        driver.spawn(drive(connection, spawned, limit));
        let connection = Self {
            sender,
            limit: known_limit.clone(),
            leases: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            _driver: driver,
        };
        // A server that sends no settings in time may be one that allows a single stream.
        let _ = timeout(SETTINGS_TIMEOUT, known_limit.wait_for(|&limit| limit != UNKNOWN_LIMIT)).await;
        Ok(Arc::new(connection))
    }

    /// Returns a lease of one stream, if the connection lives and has one left.
    pub(super) fn lease(self: &Arc<Self>) -> Option<StreamLease> {
        if !self.is_alive() || self.retired.load(Ordering::Relaxed) {
            return None;
        }
        let limit = match *self.limit.borrow() {
            // One is always allowed; more might be refused.
            UNKNOWN_LIMIT => 1,
            limit => limit.min(MAX_STREAMS),
        };
        // In one step, so that no two streams take the last place.
        let before = self
            .leases
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |leases| (leases < limit).then_some(leases + 1))
            .ok()?;
        Some(StreamLease { connection: Arc::clone(self), is_reused: before > 0 })
    }

    /// Returns true unless the connection is closed, as far as the client knows.
    pub(super) fn is_alive(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Keeps further streams off this connection; those that it has stay. The server may well
    /// answer on a new connection, as it may with HTTP/1.1, where each attempt makes one.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }
}

/// A stream's share of a connection: one request may be sent on it.
pub(crate) struct StreamLease {
    pub(super) connection: Arc<Http2Connection>,
    /// True if the connection had other streams before, so that it may have died unnoticed.
    pub(super) is_reused: bool,
}

impl StreamLease {
    /// Sends the request and waits for the response head. The body keeps the lease.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future resets the stream and gives the lease back.
    pub(super) async fn send(self, request: Request<Full<Bytes>>) -> hyper::Result<(Parts, Http2Body)> {
        // Sending needs a sender of one's own. hyper's clones share the connection.
        let response = self.connection.sender.clone().send_request(request).await?;
        let (head, incoming) = response.into_parts();
        Ok((head, Http2Body { incoming, _lease: self, empty_frames: 0 }))
    }
}

impl Drop for StreamLease {
    fn drop(&mut self) {
        self.connection.leases.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The body of a response on a shared connection. Dropping it resets the stream.
pub(super) struct Http2Body {
    incoming: Incoming,
    _lease: StreamLease,
    /// Frames without data in a row.
    empty_frames: usize,
}

impl Http2Body {
    /// Polls for the next bytes of the body; `None` at its end. Trailers are skipped.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            match ready!(Pin::new(&mut self.incoming).poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) if data.is_empty() => {
                    self.empty_frames += 1;
                    if self.empty_frames > MAX_EMPTY_FRAMES {
                        let message = "the server sends HTTP/2 frames without data, and nothing else";
                        return Poll::Ready(Some(Err(Error::new(ErrorKind::Body, message))));
                    }
                }
                Some(Ok(Ok(data))) => {
                    self.empty_frames = 0;
                    return Poll::Ready(Some(Ok(data)));
                }
                // Trailers: the body ends after them.
                Some(Ok(Err(_))) => {}
                Some(Err(error)) => {
                    let error = Error::with_source(ErrorKind::Body, "the stream broke off", error);
                    return Poll::Ready(Some(Err(error)));
                }
                None => return Poll::Ready(None),
            }
        }
    }
}

/// hyper's part of the connection.
type HyperConnection = Connection<TokioIo<Box<dyn Io>>, Full<Bytes>, SpawnOnDriver>;

/// Does all the work of a connection in one task. hyper would spawn a task per request.
async fn drive(
    connection: HyperConnection,
    mut spawned: mpsc::UnboundedReceiver<BoxFuture<()>>,
    limit: watch::Sender<usize>,
) {
    // `None` once it accepts no more requests; the open ones go on.
    let mut connection = Some(connection);
    // The channel holds at most a few futures per stream, until the next poll.
    let mut futures = FuturesUnordered::new();
    let set_limit = |streams| limit.send_if_modified(|limit| std::mem::replace(limit, streams) != streams);
    let all_done = poll_fn(|cx| {
        if connection.as_mut().is_some_and(|connection| Pin::new(connection).poll(cx).is_ready()) {
            // A future must not be polled again after it has ended.
            connection = None;
            // Ends the wait for the server's limit.
            set_limit(0);
        }
        loop {
            // In each round again: a future that is polled may spawn others.
            while let Poll::Ready(Some(future)) = spawned.poll_recv(cx) {
                futures.push(future);
            }
            let polled = Pin::new(&mut futures).poll_next(cx);
            if let Some(connection) = &connection {
                // A server may change its limit at any time (RFC 9113, section 6.5).
                set_limit(connection.current_max_send_streams());
            }
            match polled {
                Poll::Ready(Some(())) => {}
                // The coop budget may have kept a future in the channel: the next poll takes it.
                Poll::Ready(None) if connection.is_none() && spawned.is_empty() => return Poll::Ready(()),
                _ => return Poll::Pending,
            }
        }
    });
    all_done.await;
}

/// hyper's executor: passes the futures that hyper wants to spawn to [`drive`].
#[derive(Clone)]
struct SpawnOnDriver(mpsc::UnboundedSender<BoxFuture<()>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for SpawnOnDriver {
    fn execute(&self, future: F) {
        // Without a driver the connection is closed, and the future has nothing to do.
        let _ = self.0.send(Box::pin(future));
    }
}
