//! Proxies: which target is reached through which proxy, and tunnels through them.
//!
//! An HTTP proxy forwards a request for an http target as it is; for https, and for HTTP/2 with
//! prior knowledge, it opens a tunnel (`connect_tunnel`). A SOCKS5 proxy (`socks5`) always opens a
//! tunnel.

mod connect_tunnel;
mod environment;
mod proxy_server;
mod socks5;

use std::sync::Arc;

use crate::error::Error;
use crate::transport::target::Target;

use super::connector::Io;

use self::environment::EnvironmentProxies;
pub(super) use self::proxy_server::ProxyProtocol;
pub(crate) use self::proxy_server::ProxyServer;

/// Which targets are reached through which proxy.
#[derive(Debug, Clone)]
pub(crate) enum ProxyChoice {
    Never,
    Always(Arc<ProxyServer>),
    Environment(Arc<EnvironmentProxies>),
}

impl ProxyChoice {
    /// Reads the environment, as it is now.
    pub(super) fn from_environment() -> Self {
        Self::Environment(Arc::new(EnvironmentProxies::read()))
    }

    /// Returns the proxy for a target, if it has one.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` if the environment's variable for this target is no proxy's URL.
    pub(super) fn for_target(&self, target: &Target) -> Result<Option<Arc<ProxyServer>>, Error> {
        match self {
            Self::Never => Ok(None),
            Self::Always(proxy) => Ok(Some(Arc::clone(proxy))),
            Self::Environment(proxies) => proxies.for_target(target),
        }
    }
}

/// Asks the proxy at the other end of `io` for a byte stream to `target`.
pub(super) async fn open_tunnel(io: Box<dyn Io>, proxy: &ProxyServer, target: &Target) -> Result<Box<dyn Io>, Error> {
    match proxy.protocol() {
        ProxyProtocol::Socks5 => socks5::open_tunnel(io, proxy, target).await,
        ProxyProtocol::Http | ProxyProtocol::Https => connect_tunnel::open_tunnel(io, proxy, target).await,
    }
}
