//! [`Lease`]: a stream's share of an HTTP/2 connection (RFC 9113), and the one task that drives it.
//!
//! Every stream of a client to one origin is a request on the same connection, up to the server's limit. The
//! connection ends with the last lease. One stream that is not read must not stop the others: each has a window of
//! its own, and the connection's is as large as all of theirs together.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream as _;
use futures_util::stream::FuturesUnordered;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::{Error, ErrorKind};

use super::{BoxFuture, Io};

/// How much of a stream may come that nobody has read yet.
const STREAM_WINDOW: u32 = 128 * 1024;

/// The most streams on one connection, whatever the server allows: so its window is all of theirs, and bounded.
const MOST_STREAMS: usize = 256;

const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MOST_STREAMS as u32;

/// How large the head of a response may be once it is unpacked, and a frame: hyper's own defaults. Named, since with the
/// windows they are what a server can make us keep.
const MOST_HEAD: u32 = 16 * 1024;
const MOST_FRAME: u32 = 16 * 1024;

/// Stands for the server's limit until it has said so: more than any, so that a limit of one is told from none.
const UNSETTLED: usize = usize::MAX - 1;

/// How long the server may take to say how many streams it allows, before it is taken for one.
const SETTLING_TIME: Duration = Duration::from_secs(1);

/// A connection that went dead without a word is noticed after so much silence, and so much time for the answer to a
/// PING: all its streams depend on it.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

type Driven = Connection<TokioIo<Box<dyn Io>>, Full<Bytes>, Spawned>;

/// One connection, held by its leases.
pub(super) struct Shared {
    sender: SendRequest<Full<Bytes>>,
    limit: Arc<Limit>,
    leases: AtomicUsize,
    /// Nobody else is to come: requests have gone without an answer.
    retired: AtomicBool,
    driver: JoinHandle<()>,
}

/// A stream's share: one request may be sent on it.
pub(crate) struct Lease {
    shared: Arc<Shared>,
    /// The connection has been there before.
    reused: bool,
}

impl Shared {
    /// Greets the server, and waits for it to say how many streams it allows.
    pub(super) async fn greet(io: Box<dyn Io>) -> Result<Arc<Self>, Error> {
        let spawned = Spawned::default();
        let greeting = Builder::new(spawned.clone())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MOST_HEAD)
            .max_frame_size(MOST_FRAME)
            .initial_max_send_streams(UNSETTLED)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(io));
        let (sender, connection) = greeting.await.map_err(|error| {
            Error::with_source(ErrorKind::Protocol, "the connection broke before HTTP/2 could be spoken", error)
        })?;
        let limit = Arc::new(Limit { streams: AtomicUsize::new(UNSETTLED), changed: Notify::new() });
        let driver = Driver {
            connection: Some(connection),
            spawned,
            futures: FuturesUnordered::new(),
            limit: Arc::clone(&limit),
        };
        let (leases, retired, driver) = (AtomicUsize::new(0), AtomicBool::new(false), tokio::spawn(driver));
        let shared = Self { sender, limit, leases, retired, driver };
        // A server that has not said so by then may be one that allows a single stream.
        let _ = timeout(SETTLING_TIME, shared.limit.is_known()).await;
        Ok(Arc::new(shared))
    }

    /// A share of this connection, if it lives and has one left.
    pub(super) fn lease(self: &Arc<Self>) -> Option<Lease> {
        if !self.is_alive() || self.retired.load(Ordering::Relaxed) {
            return None;
        }
        let limit = match self.limit.streams.load(Ordering::Relaxed) {
            UNSETTLED => 1,
            streams => streams.min(MOST_STREAMS),
        };
        let taken = self
            .leases
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |leases| (leases < limit).then_some(leases + 1));
        taken.ok().map(|before| Lease { shared: Arc::clone(self), reused: before > 0 })
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Leaves the connection to those that have a share of it. Whoever gives no answer on this one may well give one
    /// on another, as with HTTP/1.1, where each attempt has its own.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Nobody is left to read: the socket closes now, not when the server has answered a farewell.
        self.driver.abort();
    }
}

impl Lease {
    /// Whether the connection may have died unnoticed since it was made.
    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    pub(super) fn connection(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.shared.sender.clone().send_request(request).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.leases.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How many streams the server allows at once.
struct Limit {
    streams: AtomicUsize,
    changed: Notify,
}

impl Limit {
    fn set(&self, streams: usize) {
        if self.streams.swap(streams, Ordering::Relaxed) != streams {
            self.changed.notify_waiters();
        }
    }

    async fn is_known(&self) {
        loop {
            let changed = self.changed.notified();
            if self.streams.load(Ordering::Relaxed) != UNSETTLED {
                return;
            }
            changed.await;
        }
    }
}

/// All that there is to do for a connection, in one task: hyper wants to spawn a future for each request.
struct Driver {
    /// `None` once it takes no more requests; those that are open go on.
    connection: Option<Driven>,
    spawned: Spawned,
    futures: FuturesUnordered<BoxFuture<()>>,
    limit: Arc<Limit>,
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.connection.as_mut().is_some_and(|connection| Pin::new(connection).poll(cx).is_ready()) {
            this.connection = None;
            // Who waits to be told how many it allows, is told.
            this.limit.set(0);
        }
        loop {
            this.futures.extend(this.spawned.take());
            let polled = Pin::new(&mut this.futures).poll_next(cx);
            if let Some(connection) = &this.connection {
                this.limit.set(connection.current_max_send_streams());
            }
            match polled {
                Poll::Ready(Some(())) => {}
                _ if !this.spawned.is_empty() => {}
                Poll::Ready(None) if this.connection.is_none() => return Poll::Ready(()),
                _ => return Poll::Pending,
            }
        }
    }
}

/// Where hyper puts what it wants to have polled. It does so while it is polled by the [`Driver`] itself.
#[derive(Clone, Default)]
struct Spawned {
    futures: Arc<Mutex<Vec<BoxFuture<()>>>>,
}

impl Spawned {
    fn take(&self) -> Vec<BoxFuture<()>> {
        std::mem::take(&mut *self.futures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_empty(&self) -> bool {
        self.futures.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawned {
    fn execute(&self, future: F) {
        self.futures.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(future));
    }
}
