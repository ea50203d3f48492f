//! Proxies: which target is reached through which proxy, and tunnels through them.
//!
//! An HTTP proxy forwards a request for an http target as it is; for https, and for HTTP/2 with
//! prior knowledge, it opens a tunnel (`connect_tunnel`). A SOCKS5 proxy (`socks5`) always opens a
//! tunnel.

mod connect_tunnel;
mod proxies;
mod proxy_server;
mod socks5;

use crate::error::Error;
use crate::transport::target::Target;

use super::connector::Io;

pub(crate) use self::proxies::Proxies;
pub(super) use self::proxy_server::ProxyProtocol;
pub(crate) use self::proxy_server::ProxyServer;

/// Asks the proxy at the other end of `io` for a byte stream to `target`.
pub(super) async fn open_tunnel(io: Box<dyn Io>, proxy: &ProxyServer, target: &Target) -> Result<Box<dyn Io>, Error> {
    match proxy.protocol {
        ProxyProtocol::Socks5 => socks5::open_tunnel(io, proxy, target).await,
        _ => connect_tunnel::open_tunnel(io, proxy, target).await,
    }
}
