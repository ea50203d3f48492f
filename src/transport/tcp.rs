//! [`Tcp`]: connections over TCP.

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tower_service::Service as _;

use crate::error::{Error, ErrorKind};
use crate::transport::TcpKeepalive;

use super::resolver::{Resolver, Unresolved};

/// How long the addresses of the preferred family are tried alone: RFC 8305, section 8, has 250 ms, and hyper's
/// connector 300.
const HAPPY_EYEBALLS: Duration = Duration::from_millis(300);

/// What sockets are told.
#[derive(Debug, Clone)]
pub(crate) struct TcpSettings {
    pub(crate) local_address: Option<IpAddr>,
    /// On: a request is one write, and waits for nothing.
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
    pub(super) fn new(settings: TcpSettings) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(settings.resolver);
        tcp.enforce_http(false);
        tcp.set_local_address(settings.local_address);
        tcp.set_nodelay(settings.nodelay);
        // hyper's connector looks at the family of the local address only where it sorts by family.
        let sorting = settings.local_address.map(|_| HAPPY_EYEBALLS);
        tcp.set_happy_eyeballs_timeout(settings.happy_eyeballs.or(sorting));
        if let Some((idle, interval, probes)) = settings.keepalive.map(TcpKeepalive::settings) {
            tcp.set_keepalive(Some(idle));
            tcp.set_keepalive_interval(Some(interval));
            tcp.set_keepalive_retries(Some(probes));
        }
        Self(tcp)
    }

    /// Connects to the server of a URL, which errors call by its `name`. `timeout` is shared out between the
    /// addresses, so that one that never answers does not keep us from the next.
    pub(super) async fn connect(&self, server: Uri, name: &str, timeout: Duration) -> Result<TcpStream, Error> {
        let mut tcp = self.0.clone();
        tcp.set_connect_timeout(Some(timeout));
        // HttpConnector is always ready.
        match tcp.call(server).await {
            Ok(connected) => Ok(connected.into_inner()),
            Err(error) => Err(connect_error(name, timeout, error)),
        }
    }
}

fn connect_error(name: &str, timeout: Duration, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    let error = error.into();
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&*error);
    while let Some(error) = cause {
        if error.is::<Unresolved>() {
            let message = format!("the name in {name} does not resolve");
            return Error::with_source(ErrorKind::Dns, message, Unresolved(error.to_string()));
        }
        if is_elapsed(error) {
            break;
        }
        cause = error.source();
    }
    let (kind, message) = match cause {
        Some(_) => {
            let message = format!("{name} did not answer within {timeout:?}, shared out between its addresses");
            (ErrorKind::ConnectTimeout, message)
        }
        None => (ErrorKind::Connect, format!("could not connect to {name}")),
    };
    Error::with_source(kind, message, error)
}

/// Whether the timer of an address came first. That of the whole attempt comes at the same time, and either may win:
/// both are the same to users. Not the system's own, which knows of no connect timeout.
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

    /// What the system has been told, not what we meant to tell it.
    #[tokio::test]
    async fn a_connection_asks_a_silent_peer_whether_it_is_there_and_sends_without_delay() {
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
    async fn sockets_are_told_what_the_client_was_told() {
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
