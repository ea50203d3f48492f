//! [`Connector`]: TCP, and TLS over it for https.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use tower_service::Service;

use crate::error::{Error, ErrorKind};
use crate::target::Target;

#[cfg(feature = "http2")]
use super::Pool;
#[cfg(feature = "tls")]
use super::tls::Tls;
use super::{BoxFuture, Connect, Io, Link};

/// A link that went dead without a word (a rebooted router, a pulled cable) is noticed after this
/// much silence and [`KEEPALIVE_PROBES`] probes more.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// Connects over TCP: to the addresses of a name in turn, IPv6 and IPv4 side by side (RFC 8305).
#[derive(Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector<Resolver>,
    #[cfg(feature = "tls")]
    tls: Tls,
    #[cfg(feature = "http2")]
    pool: Pool,
    #[cfg(feature = "http2")]
    prior_knowledge: bool,
}

impl Connector {
    pub(crate) fn new(#[cfg(feature = "tls")] tls: Tls) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE_IDLE));
        tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
        tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
        Self {
            tcp,
            #[cfg(feature = "tls")]
            tls,
            #[cfg(feature = "http2")]
            pool: Pool::default(),
            #[cfg(feature = "http2")]
            prior_knowledge: false,
        }
    }

    #[cfg(feature = "http2")]
    pub(crate) fn http2_prior_knowledge(self, known: bool) -> Self {
        Self { prior_knowledge: known, ..self }
    }

    /// A connection to `target`, and whether HTTP/2 is spoken on it.
    async fn dial(mut self, target: &Target) -> Result<(Box<dyn Io>, bool), Error> {
        // HttpConnector is always ready.
        let tcp = self.tcp.call(target.uri().clone()).await;
        let tcp = tcp.map_err(|error| connect_error(target, error))?.into_inner();
        #[cfg(feature = "tls")]
        if target.is_https() {
            let tls = self.tls.handshake(target.host(), tcp).await?;
            let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
            return Ok((Box::new(tls), http2));
        }
        #[cfg(feature = "http2")]
        if self.prior_knowledge {
            return Ok((Box::new(tcp), true));
        }
        Ok((Box::new(tcp), false))
    }

    /// Whether a connection to `target` may be one to share.
    #[cfg(feature = "http2")]
    fn may_share(&self, target: &Target) -> bool {
        self.prior_knowledge || target.is_https()
    }
}

impl Connect for Connector {
    fn connect(&self, target: &Target, timeout: Duration) -> BoxFuture<Result<Link, Error>> {
        let mut connector = self.clone();
        // Shared out between the addresses, so that one that never answers does not keep us from the next.
        connector.tcp.set_connect_timeout(Some(timeout));
        let target = target.clone();
        Box::pin(async move {
            #[cfg(feature = "http2")]
            if connector.may_share(&target) {
                let pool = connector.pool.clone();
                return pool.link(&target, connector.dial(&target)).await;
            }
            let (io, _) = connector.dial(&target).await?;
            Ok(Link::own(io))
        })
    }
}

fn connect_error(target: &Target, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    let error = error.into();
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&*error);
    while let Some(error) = cause {
        if error.is::<Unresolved>() {
            let message = format!("the name in {} does not resolve", target.authority());
            return Error::with_source(ErrorKind::Dns, message, Unresolved(error.to_string()));
        }
        cause = error.source();
    }
    Error::with_source(ErrorKind::Connect, format!("could not connect to {}", target.authority()), error)
}

/// The system's resolver, with errors that can be told from those of connecting.
#[derive(Clone)]
struct Resolver(GaiResolver);

#[derive(Debug)]
struct Unresolved(String);

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Unresolved {}

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<GaiAddrs, Unresolved>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        self.0.poll_ready(cx).map_err(unresolved)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let addresses = self.0.call(name);
        Box::pin(async { addresses.await.map_err(unresolved) })
    }
}

fn unresolved(error: io::Error) -> Unresolved {
    Unresolved(error.to_string())
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;
    use tokio::net::TcpListener;

    use super::*;

    /// What the system has been told, not what we meant to tell it.
    #[tokio::test]
    async fn a_connection_asks_a_silent_peer_whether_it_is_there_and_sends_without_delay() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/", server.local_addr().unwrap()).parse().unwrap();
        let mut connector = Connector::new(
            #[cfg(feature = "tls")]
            Tls::default(),
        );
        let tcp = connector.tcp.call(uri).await.unwrap().into_inner();
        let socket = SockRef::from(&tcp);
        assert!(socket.keepalive().unwrap());
        assert!(socket.tcp_nodelay().unwrap());
        #[cfg(not(windows))]
        {
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(10));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        }
    }
}
