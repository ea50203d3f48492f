//! [`Tcp`]: TCP connections to a host's addresses, and how their sockets are set up.
//!
//! hyper-util's connector does the work (RFC 8305, "happy eyeballs"). This file sets it up, and
//! turns its errors into `Dns`, `Connect` or `ConnectTimeout`.
//!
//! | what happened | kind |
//! |---|---|
//! | the resolver failed, or returns no address | `Dns` |
//! | the addresses refused, or are unreachable | `Connect` |
//! | an address did not answer within its share of the timeout | `ConnectTimeout` |

use std::error::Error as StdError;
use std::net::IpAddr;
use std::time::Duration;
use std::{io, iter};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tower_service::Service as _;

use crate::error::{Error, ErrorKind};

use super::resolver::{Resolver, Unresolved};

/// How long the addresses of the preferred family are tried alone. RFC 8305, section 8, says
/// 250 ms; hyper's connector has 300.
const HAPPY_EYEBALLS: Duration = Duration::from_millis(300);

/// A link that dies without a word (a rebooted router, a pulled cable) is noticed after
/// `KEEPALIVE_IDLE` of silence and [`KEEPALIVE_PROBES`] unanswered probes.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// The range that systems accept. Linux refuses a value outside of it, and then does not probe at
/// all.
const MIN_KEEPALIVE_TIME: Duration = Duration::from_secs(1);
const MAX_KEEPALIVE_TIME: Duration = Duration::from_secs(32_767);
const MAX_KEEPALIVE_PROBES: u32 = 127;

/// When the system probes a silent peer (RFC 9293, section 3.8.4): by default after 60 s of
/// silence, then three times, 10 s apart.
///
/// Set with [`ClientBuilder::tcp_keepalive`](crate::ClientBuilder::tcp_keepalive). Times are in
/// whole seconds, from 1 s to nine hours; the number of probes is from 1 to 127. A value outside of
/// its range is moved to the nearest limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it takes effect in a client's builder"]
pub struct TcpKeepalive {
    idle: Duration,
    interval: Duration,
    probes: u32,
}

impl TcpKeepalive {
    /// Returns the defaults.
    pub const fn new() -> Self {
        Self { idle: KEEPALIVE_IDLE, interval: KEEPALIVE_INTERVAL, probes: KEEPALIVE_PROBES }
    }

    /// Sets how long the peer may be silent before the first probe; 60 s by default.
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle: idle.clamp(MIN_KEEPALIVE_TIME, MAX_KEEPALIVE_TIME), ..self }
    }

    /// Sets the time between two probes; 10 s by default.
    pub fn interval(self, interval: Duration) -> Self {
        Self { interval: interval.clamp(MIN_KEEPALIVE_TIME, MAX_KEEPALIVE_TIME), ..self }
    }

    /// Sets how many unanswered probes break the connection; 3 by default.
    pub fn probes(self, probes: u32) -> Self {
        Self { probes: probes.clamp(1, MAX_KEEPALIVE_PROBES), ..self }
    }
}

impl Default for TcpKeepalive {
    fn default() -> Self {
        Self::new()
    }
}

/// The settings of a client's sockets.
#[derive(Debug, Clone)]
pub(crate) struct TcpSettings {
    pub(crate) local_address: Option<IpAddr>,
    /// On by default: a request is one write, with nothing to wait for.
    pub(crate) nodelay: bool,
    pub(crate) keepalive: Option<TcpKeepalive>,
    pub(crate) happy_eyeballs: Option<Duration>,
    pub(crate) resolver: Resolver,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            local_address: None,
            nodelay: true,
            keepalive: Some(TcpKeepalive::new()),
            happy_eyeballs: Some(HAPPY_EYEBALLS),
            resolver: Resolver::default(),
        }
    }
}

/// Connects to the addresses of a name in turn, IPv6 and IPv4 side by side (RFC 8305).
#[derive(Clone)]
pub(super) struct Tcp(HttpConnector<Resolver>);

impl Tcp {
    /// Sets hyper's connector up.
    pub(super) fn new(settings: TcpSettings) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(settings.resolver);
        // TLS, for https, is added on top of it.
        tcp.enforce_http(false);
        tcp.set_local_address(settings.local_address);
        tcp.set_nodelay(settings.nodelay);
        // hyper's connector respects the family of the local address only with a timeout set.
        let for_local_address = settings.local_address.map(|_| HAPPY_EYEBALLS);
        tcp.set_happy_eyeballs_timeout(settings.happy_eyeballs.or(for_local_address));
        if let Some(keepalive) = settings.keepalive {
            tcp.set_keepalive(Some(keepalive.idle));
            tcp.set_keepalive_interval(Some(keepalive.interval));
            tcp.set_keepalive_retries(Some(keepalive.probes));
        }
        Self(tcp)
    }

    /// Connects to the server of a URL; errors call it `name`. `timeout` is divided among the
    /// addresses, so that one that never answers does not keep the others from being tried.
    pub(super) async fn connect(&self, server: Uri, name: &str, timeout: Duration) -> Result<TcpStream, Error> {
        // The timeout belongs to this stream, and the connector to all streams of the client.
        let mut tcp = self.0.clone();
        tcp.set_connect_timeout(Some(timeout));
        // `HttpConnector` is always ready.
        match tcp.call(server).await {
            Ok(connected) => Ok(connected.into_inner()),
            Err(error) => Err(connect_error(name, timeout, error)),
        }
    }
}

/// Returns the error of a failed connection: `Dns`, `ConnectTimeout` or `Connect`.
fn connect_error(name: &str, timeout: Duration, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    let error = error.into();
    let cause: &(dyn StdError + 'static) = &*error;
    let mut causes = iter::successors(Some(cause), |&error| error.source());
    // hyper wraps the errors of lookups and connections alike; only the type tells.
    if let Some(unresolved) = causes.clone().find(|error| error.is::<Unresolved>()) {
        let message = format!("the name in {name} does not resolve");
        return Error::with_source(ErrorKind::Dns, message, Unresolved(unresolved.to_string()));
    }
    if causes.any(is_elapsed) {
        let message = format!("{name} did not answer within {timeout:?}, the connect timeout for all its addresses");
        return Error::with_source(ErrorKind::ConnectTimeout, message, error);
    }
    Error::with_source(ErrorKind::Connect, format!("could not connect to {name}"), error)
}

/// Returns true if an address ran out of time. The timer of the whole attempt fires at the same
/// moment, and either may win; users see the same kind. The system's own timeout is another error,
/// since it knows of no connect timeout.
fn is_elapsed(error: &(dyn StdError + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is_some_and(|error| error.is::<Elapsed>())
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;
    use tokio::net::TcpListener;

    use super::*;

    async fn connected(settings: TcpSettings) -> TcpStream {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/", server.local_addr().unwrap()).parse().unwrap();
        Tcp::new(settings).connect(uri, "here", Duration::from_secs(20)).await.unwrap()
    }

    /// Reads the options back from the system.
    #[tokio::test]
    async fn a_connection_probes_a_silent_peer_and_sends_without_delay() {
        let tcp = connected(TcpSettings::default()).await;
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

    #[tokio::test]
    async fn sockets_get_the_settings_of_the_client_within_range() {
        let quiet = connected(TcpSettings { nodelay: false, keepalive: None, ..TcpSettings::default() }).await;
        let socket = SockRef::from(&quiet);
        assert!(!socket.keepalive().unwrap());
        assert!(!socket.tcp_nodelay().unwrap());
        let absurd = TcpKeepalive::new().idle(Duration::ZERO).interval(Duration::MAX).probes(u32::MAX);
        let impatient = connected(TcpSettings { keepalive: Some(absurd), ..TcpSettings::default() }).await;
        let socket = SockRef::from(&impatient);
        assert!(socket.keepalive().unwrap(), "in the range that the system takes");
        #[cfg(not(windows))]
        {
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(1));
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(32_767));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 127);
        }
    }
}
