//! [`Http2Pool`]: the HTTP/2 connections of a client, by origin.
//!
//! A stream that connects takes the first of these ways that works:
//!
//! 1. the origin chose HTTP/1.1 last time: a connection of its own;
//! 2. a connection with a free stream exists: a lease of it;
//! 3. another stream is dialing: wait for its result, for a while;
//! 4. dial, and share the connection if the server chooses HTTP/2.
//!
//! HTTP/1.1 is never pooled: each of its streams has a connection of its own. Streams that start
//! together share one dial: the first makes the connection and the others wait for it, but only
//! for [`DIAL_PATIENCE`], since it may hang for as long as its own stream allows.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::timeout;

use crate::error::{Error, ErrorKind};
use crate::transport::target::Target;

use super::connector::NegotiatedIo;
use super::http_connection::HttpConnection;
use super::http2::{Http2Connection, StreamLease};

/// Number of origins above which those without a connection are forgotten.
const MAX_IDLE_ORIGINS: usize = 64;

/// How long other streams wait for a connection that one stream is making, before the next of them
/// makes one as well.
const DIAL_PATIENCE: Duration = Duration::from_secs(2);

/// The pool. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Http2Pool {
    origins: Arc<Mutex<HashMap<String, Arc<Origin>>>>,
}

/// One origin of the pool.
#[derive(Default)]
struct Origin {
    /// Held, for a limited time, while a stream makes a connection that others may share.
    dialing: tokio::sync::Mutex<()>,
    state: Mutex<OriginState>,
}

#[derive(Default)]
struct OriginState {
    /// The origin chose HTTP/1.1 last time, so that there is no connection to wait for.
    speaks_http1: bool,
    connections: Vec<Weak<Http2Connection>>,
    /// Number of dials that failed.
    failed_dials: u64,
    last_failure: Option<Error>,
}

impl Http2Pool {
    /// Returns a connection to `target`'s origin: a stream of a connection that exists, or the one
    /// that `dial` makes.
    ///
    /// # Errors
    ///
    /// The error of `dial`. A stream that waited for another one's dial fails with that one's
    /// error, since dialing in turn would only repeat it.
    ///
    /// # Cancel safety
    ///
    /// If the stream that is making a connection goes away, one that waits for it makes it instead.
    pub(super) async fn connect(
        &self,
        target: &Target,
        dial: impl Future<Output = Result<NegotiatedIo, Error>>,
    ) -> Result<HttpConnection, Error> {
        let origin = self.origin(target);
        if origin.state().speaks_http1 {
            return origin.add(dial.await?).await;
        }
        if let Some(lease) = origin.lease() {
            return Ok(HttpConnection::Http2(lease));
        }
        // Counted before the wait: a dial that fails during it has failed for this stream as well.
        let failures_before = origin.state().failed_dials;
        // The holder lets go after `DIAL_PATIENCE`, unless its runtime is not running any more.
        let alone = timeout(2 * DIAL_PATIENCE, origin.dialing.lock()).await.ok();
        // The stream that dialed before this one may have made a connection with room.
        if let Some(lease) = origin.lease() {
            return Ok(HttpConnection::Http2(lease));
        }
        let alone = {
            let state = origin.state();
            if let Some(error) = state.last_failure.clone().filter(|_| state.failed_dials != failures_before) {
                return Err(error);
            }
            // If the origin turned out to speak HTTP/1.1, no other stream should wait for this one.
            alone.filter(|_| !state.speaks_http1)
        };
        let mut dial = pin!(dial);
        match timeout(DIAL_PATIENCE, &mut dial).await {
            Ok(Ok(io)) => origin.add(io).await,
            Ok(Err(error)) => {
                let mut state = origin.state();
                state.failed_dials += 1;
                state.last_failure = Some(error.clone());
                Err(error)
            }
            Err(_) => {
                // The dial goes on, but the others have waited long enough for it.
                drop(alone);
                origin.add(dial.await?).await
            }
        }
    }

    /// Returns the state of `target`'s origin. Forgets origins without a connection when there are
    /// many, so that the map stays bounded.
    fn origin(&self, target: &Target) -> Arc<Origin> {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if origins.len() >= MAX_IDLE_ORIGINS {
            // Another stream may hold the origin at this moment, and be about to add a connection.
            origins
                .retain(|_, origin| Arc::strong_count(origin) > 1 || origin.state().connections.iter().any(is_alive));
        }
        Arc::clone(origins.entry(target.origin()).or_default())
    }
}

impl Origin {
    /// Adds a new connection, and returns a stream of it. One that speaks HTTP/1.1 is not shared.
    async fn add(&self, dialed: NegotiatedIo) -> Result<HttpConnection, Error> {
        // Noted with each connection, because a server may change what it speaks.
        self.state().speaks_http1 = !dialed.speaks_http2;
        if !dialed.speaks_http2 {
            return Ok(HttpConnection::Http1(dialed.io));
        }
        let connection = Http2Connection::handshake(dialed.io).await?;
        // Leased before it is published: another stream could take the only place.
        let lease = connection.lease();
        // Weak: the last lease closes the connection, though the pool knows it.
        self.state().connections.push(Arc::downgrade(&connection));
        lease.map(HttpConnection::Http2).ok_or_else(|| {
            let message = "the server ended the HTTP/2 connection at once, or allows no request on it";
            Error::new(ErrorKind::Protocol, message)
        })
    }

    /// Returns a stream of the first connection that has one left.
    fn lease(&self) -> Option<StreamLease> {
        let mut state = self.state();
        state.connections.retain(is_alive);
        state.connections.iter().filter_map(Weak::upgrade).find_map(|connection| connection.lease())
    }

    fn state(&self) -> MutexGuard<'_, OriginState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_alive(connection: &Weak<Http2Connection>) -> bool {
    connection.upgrade().is_some_and(|connection| connection.is_alive())
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use bytes::Bytes;
    use h2::server::SendResponse;
    use http::{Request, Response};
    use tokio::io::DuplexStream;

    use super::super::body::Body;
    use super::super::connector::boxed;
    use super::*;

    /// More than any window holds.
    const MUCH: usize = 16 * 1024 * 1024;

    async fn open_stream(pool: &Http2Pool, io: impl FnOnce() -> DuplexStream) -> Body {
        let target = Target::parse("http://host/".parse().unwrap()).unwrap();
        let dial = async { Ok(NegotiatedIo { io: boxed(io()), speaks_http2: true }) };
        let connection = pool.connect(&target, dial).await.unwrap();
        let request = Request::get("http://host/").body(Bytes::new()).unwrap();
        let (mut head, body) = connection.send(&target, request, None).await.unwrap();
        Body::new(body, &mut head.headers)
    }

    fn http1() -> NegotiatedIo {
        NegotiatedIo { io: boxed(tokio::io::duplex(1).0), speaks_http2: false }
    }

    fn open(response: &mut SendResponse<Bytes>) -> h2::SendStream<Bytes> {
        response.send_response(Response::new(()), false).unwrap()
    }

    /// Sends `MUCH` on each stream, as far as the windows let it.
    async fn flood(io: DuplexStream) {
        let mut server = h2::server::handshake(io).await.unwrap();
        while let Some(Ok((_, mut response))) = server.accept().await {
            open(&mut response).send_data(vec![0; MUCH].into(), true).unwrap();
        }
    }

    #[tokio::test]
    async fn unread_streams_do_not_stop_another_on_the_same_connection() {
        let pool = Http2Pool::default();
        let never = || unreachable!("one connection is enough");
        let mut stalled = vec![];
        let mut read = open_stream(&pool, || {
            let (client, server) = tokio::io::duplex(64 * 1024);
            tokio::spawn(flood(server));
            client
        })
        .await;
        for _ in 0..20 {
            stalled.push(open_stream(&pool, never).await);
        }
        let mut bytes = 0;
        while let Some(data) = poll_fn(|cx| read.poll_data(cx)).await {
            bytes += data.unwrap().len();
        }
        assert_eq!(bytes, MUCH);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_fails_all_its_streams_within_a_minute() {
        let pool = Http2Pool::default();
        let (client, server) = tokio::io::duplex(64 * 1024);
        let mut client = Some(client);
        tokio::spawn(async move {
            let mut server = h2::server::handshake(server).await.unwrap();
            let mut kept = Vec::new();
            for _ in 0..2 {
                let (_, mut response) = server.accept().await.unwrap().unwrap();
                kept.push(open(&mut response));
            }
            // Sends its settings, then nothing more; answers no PING.
            let _ = timeout(Duration::from_secs(1), server.accept()).await;
            std::future::pending::<()>().await;
        });
        let mut streams = Vec::new();
        for _ in 0..2 {
            streams.push(open_stream(&pool, || client.take().unwrap()).await);
        }
        let begun = tokio::time::Instant::now();
        for stream in &mut streams {
            assert!(poll_fn(|cx| stream.poll_data(cx)).await.unwrap().is_err());
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn streams_of_an_http1_server_do_not_wait_for_each_other() {
        const CONNECTING: Duration = Duration::from_secs(1);
        let pool = Http2Pool::default();
        let target = Target::parse("http://host/".parse().unwrap()).unwrap();
        let begun = tokio::time::Instant::now();
        let connect = || async {
            let dial = async {
                tokio::time::sleep(CONNECTING).await;
                Ok(http1())
            };
            pool.connect(&target, dial).await.map(drop)
        };
        futures_util::future::try_join_all((0..100).map(|_| connect())).await.unwrap();
        // The first stream finds out.
        assert_eq!(begun.elapsed(), 2 * CONNECTING);
    }

    #[tokio::test(start_paused = true)]
    async fn streams_that_waited_for_a_failed_dial_fail_and_later_ones_dial_anew() {
        let (pool, target) = (Http2Pool::default(), Target::parse("http://host/".parse().unwrap()).unwrap());
        let failing = || async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Err(Error::new(ErrorKind::Connect, "refused"))
        };
        for _ in 0..2 {
            let begun = tokio::time::Instant::now();
            let (one, two, three) = tokio::join!(
                pool.connect(&target, failing()),
                pool.connect(&target, failing()),
                pool.connect(&target, failing())
            );
            for outcome in [one, two, three] {
                assert_eq!(outcome.err().unwrap().kind(), ErrorKind::Connect);
            }
            assert_eq!(begun.elapsed(), Duration::from_millis(200));
        }
    }

    /// Runtimes may share a client, and one of them may stand still.
    #[tokio::test(start_paused = true)]
    async fn a_dial_on_a_stopped_runtime_does_not_hold_up_other_streams() {
        let pool = Http2Pool::default();
        let target = Target::parse("http://host/".parse().unwrap()).unwrap();
        let mut frozen = tokio_test::task::spawn(pool.connect(&target, std::future::pending()));
        assert!(frozen.poll().is_pending());
        let dial = async { Ok(http1()) };
        timeout(10 * DIAL_PATIENCE, pool.connect(&target, dial)).await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_dial_that_hangs_does_not_hold_up_other_streams() {
        let pool = Http2Pool::default();
        let target = Target::parse("http://host/".parse().unwrap()).unwrap();
        let begun = tokio::time::Instant::now();
        let hanging = timeout(10 * DIAL_PATIENCE, pool.connect(&target, std::future::pending()));
        let other = async {
            let dial = async { Ok(http1()) };
            pool.connect(&target, dial).await.map(|_| begun.elapsed())
        };
        let (hanging, other) = tokio::join!(hanging, other);
        assert!(hanging.is_err());
        assert_eq!(other.unwrap(), DIAL_PATIENCE);
    }
}
