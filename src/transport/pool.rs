//! [`Pool`]: the HTTP/2 connections of a client, by origin.
//!
//! HTTP/1.1 is never pooled: each of its streams has a connection to itself.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::timeout;

use crate::error::{Error, ErrorKind};
use crate::transport::target::Target;

use super::http2::{Lease, Shared};
use super::{HttpConnection, Io};

/// So many origins, and those without a connection are forgotten.
const MOST_IDLE: usize = 64;

/// How long others wait for a connection that is being made, before the next of them makes one as well: it may hang for
/// as long as its stream lets it, which is not theirs to wait for.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone, Default)]
pub(crate) struct Pool {
    origins: Arc<Mutex<HashMap<String, Arc<Origin>>>>,
}

/// What is known of one origin.
#[derive(Default)]
struct Origin {
    /// It has chosen HTTP/1.1, so that nobody need wait for a connection to share.
    speaks_http1: AtomicBool,
    /// Held while a connection is made that others may share, but not for long.
    dialing: tokio::sync::Mutex<()>,
    connections: Mutex<Vec<Weak<Shared>>>,
    /// How many dials have failed, and how the last one did.
    failures: Mutex<(u64, Option<Error>)>,
}

impl Pool {
    /// A connection to `target`'s origin: a share of one that is there, or what `dial` makes,
    /// which says as well whether HTTP/2 is spoken there.
    ///
    /// # Cancel safety
    ///
    /// Whoever waits for a connection that another stream is making, makes it instead if that stream goes away.
    pub(super) async fn link(
        &self,
        target: &Target,
        dial: impl Future<Output = Result<(Box<dyn Io>, bool), Error>>,
    ) -> Result<HttpConnection, Error> {
        let origin = self.origin(target);
        if origin.speaks_http1.load(Ordering::Relaxed) {
            return origin.take_in(dial.await?).await;
        }
        if let Some(lease) = origin.lease() {
            return Ok(HttpConnection::shared(lease));
        }
        let (failures_before, _) = origin.failures();
        // Longer than whoever is before has it, unless that is not run any more: its runtime may stand still.
        let alone = timeout(2 * PATIENCE, origin.dialing.lock()).await.ok();
        if let Some(lease) = origin.lease() {
            return Ok(HttpConnection::shared(lease));
        }
        match origin.failures() {
            // This one has waited for a dial that failed: all who did would only fail one after the other.
            (failures, Some(error)) if failures != failures_before => return Err(error),
            _ => {}
        }
        // Whoever was before may have found out that there is nothing to share: then nobody waits for this one.
        let alone = alone.filter(|_| !origin.speaks_http1.load(Ordering::Relaxed));
        let mut dial = pin!(dial);
        match timeout(PATIENCE, &mut dial).await {
            Ok(Ok(fresh)) => origin.take_in(fresh).await,
            Ok(Err(error)) => Err(origin.failed(error)),
            Err(_) => {
                drop(alone);
                origin.take_in(dial.await?).await
            }
        }
    }

    fn origin(&self, target: &Target) -> Arc<Origin> {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if origins.len() >= MOST_IDLE {
            origins.retain(|_, origin| Arc::strong_count(origin) > 1 || origin.lives());
        }
        Arc::clone(origins.entry(target.origin()).or_default())
    }
}

impl Origin {
    /// Takes in a new connection.
    async fn take_in(&self, (io, speaks_http2): (Box<dyn Io>, bool)) -> Result<HttpConnection, Error> {
        self.speaks_http1.store(!speaks_http2, Ordering::Relaxed);
        if !speaks_http2 {
            return Ok(HttpConnection::own(io));
        }
        let shared = Shared::greet(io).await?;
        let lease = shared.lease();
        self.connections().push(Arc::downgrade(&shared));
        match lease {
            Some(lease) => Ok(HttpConnection::shared(lease)),
            None => Err(gone()),
        }
    }

    fn failures(&self) -> (u64, Option<Error>) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failed(&self, error: Error) -> Error {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures = (failures.0 + 1, Some(error.clone()));
        error
    }

    fn lease(&self) -> Option<Lease> {
        let mut connections = self.connections();
        connections.retain(is_alive);
        connections.iter().filter_map(Weak::upgrade).find_map(|shared| shared.lease())
    }

    fn lives(&self) -> bool {
        self.connections().iter().any(is_alive)
    }

    fn connections(&self) -> MutexGuard<'_, Vec<Weak<Shared>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_alive(connection: &Weak<Shared>) -> bool {
    connection.upgrade().is_some_and(|shared| shared.is_alive())
}

fn gone() -> Error {
    Error::new(ErrorKind::Protocol, "the server ended the HTTP/2 connection at once, or allows no request on it")
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use bytes::Bytes;
    use h2::server::SendResponse;
    use http::{Request, Response};
    use http_body_util::Full;
    use tokio::io::DuplexStream;

    use crate::transport::Exchange;

    use super::*;

    /// As much as any window holds, and more.
    const MUCH: usize = 16 * 1024 * 1024;

    async fn exchange(pool: &Pool, fresh: impl FnOnce() -> DuplexStream) -> Exchange {
        let target = Target::parse("http://host/".parse().unwrap()).unwrap();
        let dial = async { Ok((Box::new(fresh()) as Box<dyn Io>, true)) };
        let link = pool.link(&target, dial).await.unwrap();
        let request = Request::get("http://host/").body(Full::default()).unwrap();
        Exchange::begin(link.channel, request).await.unwrap().1
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
    async fn streams_that_nobody_reads_do_not_stop_another_on_the_same_connection() {
        let pool = Pool::default();
        let never = || unreachable!("one connection is enough");
        let mut stalled = vec![];
        let mut read = exchange(&pool, || {
            let (client, server) = tokio::io::duplex(64 * 1024);
            tokio::spawn(flood(server));
            client
        })
        .await;
        for _ in 0..20 {
            stalled.push(exchange(&pool, never).await);
        }
        let mut bytes = 0;
        while let Some(data) = poll_fn(|cx| read.poll_data(cx)).await {
            bytes += data.unwrap().len();
        }
        assert_eq!(bytes, MUCH);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_falls_silent_for_good_fails_all_its_streams_within_a_minute() {
        let pool = Pool::default();
        let (client, server) = tokio::io::duplex(64 * 1024);
        let mut client = Some(client);
        tokio::spawn(async move {
            let mut server = h2::server::handshake(server).await.unwrap();
            let mut kept = Vec::new();
            for _ in 0..2 {
                let (_, mut response) = server.accept().await.unwrap().unwrap();
                kept.push(open(&mut response));
            }
            // Says what it has to, and nothing more; answers no PING.
            let _ = timeout(Duration::from_secs(1), server.accept()).await;
            std::future::pending::<()>().await;
        });
        let mut exchanges = Vec::new();
        for _ in 0..2 {
            exchanges.push(exchange(&pool, || client.take().unwrap()).await);
        }
        let begun = tokio::time::Instant::now();
        for exchange in &mut exchanges {
            assert!(poll_fn(|cx| exchange.poll_data(cx)).await.unwrap().is_err());
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn once_a_server_is_known_to_speak_http_1_nobody_waits_for_another_ones_connection() {
        const CONNECTING: Duration = Duration::from_secs(1);
        let pool = Pool::default();
        let target = Target::parse("http://host/".parse().unwrap()).unwrap();
        let begun = tokio::time::Instant::now();
        let link = || async {
            let dial = async {
                tokio::time::sleep(CONNECTING).await;
                Ok((Box::new(tokio::io::duplex(1).0) as Box<dyn Io>, false))
            };
            pool.link(&target, dial).await.map(drop)
        };
        futures_util::future::try_join_all((0..100).map(|_| link())).await.unwrap();
        // The first finds it out.
        assert_eq!(begun.elapsed(), 2 * CONNECTING);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_waited_for_a_dial_that_failed_fails_with_it_and_who_comes_later_dials_anew() {
        let (pool, target) = (Pool::default(), Target::parse("http://host/".parse().unwrap()).unwrap());
        let failing = || async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Err(Error::new(ErrorKind::Connect, "refused"))
        };
        for _ in 0..2 {
            let begun = tokio::time::Instant::now();
            let (one, two, three) = tokio::join!(
                pool.link(&target, failing()),
                pool.link(&target, failing()),
                pool.link(&target, failing())
            );
            for outcome in [one, two, three] {
                assert_eq!(outcome.err().unwrap().kind(), ErrorKind::Connect);
            }
            assert_eq!(begun.elapsed(), Duration::from_millis(200));
        }
    }

    /// A client may be shared by runtimes, of which one stands still.
    #[tokio::test(start_paused = true)]
    async fn nobody_waits_long_for_a_connection_that_nobody_makes_any_more() {
        let pool = Pool::default();
        let target = Target::parse("http://host/".parse().unwrap()).unwrap();
        let mut frozen = tokio_test::task::spawn(pool.link(&target, std::future::pending()));
        assert!(frozen.poll().is_pending());
        let dial = async { Ok((Box::new(tokio::io::duplex(1).0) as Box<dyn Io>, false)) };
        timeout(10 * PATIENCE, pool.link(&target, dial)).await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_long_for_a_connection_that_does_not_come_about() {
        let pool = Pool::default();
        let target = Target::parse("http://host/".parse().unwrap()).unwrap();
        let begun = tokio::time::Instant::now();
        let hanging = timeout(10 * PATIENCE, pool.link(&target, std::future::pending()));
        let other = async {
            let dial = async { Ok((Box::new(tokio::io::duplex(1).0) as Box<dyn Io>, false)) };
            pool.link(&target, dial).await.map(|_| begun.elapsed())
        };
        let (hanging, other) = tokio::join!(hanging, other);
        assert!(hanging.is_err());
        assert_eq!(other.unwrap(), PATIENCE);
    }
}
