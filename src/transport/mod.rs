//! HTTP: from a request to an open response. This layer does not know that events exist.
//!
//! One attempt passes through these files, in this order:
//!
//! 1. [`attempt`]: runs the attempt, follows redirects, decides what becomes of the response;
//! 2. [`target`]: the parsed URL;
//! 3. [`network`]: chooses the way to the server: a shared connection (`http2_pool`), a proxy
//!    (`proxy/`), the caller's [`connector`], a Unix socket, or `tcp` with `resolver`. The caller's
//!    own HTTP client ([`custom_transport`]) replaces this step and the next;
//! 4. `tls/`: the TLS handshake over that byte stream, for https (hyper-rustls);
//! 5. [`http_request`]: builds the request. A header that every request carries is added here;
//!    `cookies/` adds the cookies, [`header_values`] checks what the caller sets;
//! 6. [`http_connection`]: sends the request and waits for the response head, over `http1/` or
//!    `http2`;
//! 7. `response::judge` judges status and headers: an event stream, an end, a redirect or a
//!    refusal;
//! 8. [`redirect`]: computes the next request when the verdict is a redirect;
//! 9. [`body`]: reads the body; `response/coding/` removes its content coding.
//!
//! The time limits are in `attempt` (connect), `http_connection` (response head) and `body`
//! (the body of a refusal). To add a kind of proxy, see `proxy/proxy_server.rs`. Nothing here
//! decides whether an attempt is repeated; `reconnect` does. Errors and logs never hold header
//! values, cookies, userinfo or query values.

mod attempt;
mod body;
mod connector;
mod cookies;
mod custom_transport;
mod header_values;
mod http1;
#[cfg(feature = "http2")]
mod http2;
#[cfg(feature = "http2")]
mod http2_pool;
mod http_connection;
mod http_request;
mod into_url;
mod network;
mod proxy;
mod redirect;
mod resolver;
#[cfg(feature = "tower-service-0-3")]
mod service_connector;
pub(crate) mod target;
mod tcp;
#[cfg(feature = "tls")]
mod tls;

pub(crate) use self::attempt::{Attempt, Dialed, dial};
pub(crate) use self::body::Body;
pub use self::connector::Connector;
#[cfg(feature = "testing")]
pub(crate) use self::connector::Io;
pub(crate) use self::connector::{BoxFuture, BoxedConnector};
#[cfg(feature = "cookies")]
pub(crate) use self::cookies::Jar;
pub(crate) use self::cookies::{Cookies, cookie, join_cookies};
pub(crate) use self::custom_transport::BoxedTransport;
pub use self::custom_transport::Transport;
pub(crate) use self::header_values::{
    LAST_EVENT_ID, MAX_ECHOED_VALUE, basic_authorization, header, last_event_id_value, may_append, may_hold,
    may_insert, method,
};
pub(crate) use self::http_connection::Connect;
#[cfg(test)]
pub(crate) use self::http_connection::HttpConnection;
pub(crate) use self::http_request::HttpRequest;
#[cfg(fuzzing)]
pub use self::http1::compare;
pub use self::into_url::IntoUrl;
pub(crate) use self::network::{Network, NetworkSettings};
pub(crate) use self::proxy::{Proxies, ProxyServer};
pub use self::redirect::Redirects;
pub(crate) use self::resolver::Resolver;
#[cfg(feature = "tower-service-0-3")]
pub use self::service_connector::{ServiceConnector, ServiceIo};
pub use self::tcp::TcpKeepalive;
#[cfg(feature = "tls")]
pub use self::tls::TlsVersion;
