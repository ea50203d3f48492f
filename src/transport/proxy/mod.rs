//! [`Proxy`]: a server that stands between us and the target.

mod environment;
mod socks;
mod tunnel;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderValue;
use http::response::Parts;
use http::{StatusCode, Uri};

use crate::error::{Error, ErrorKind};
use crate::transport::target::{Target, Userinfo, split_userinfo};

use super::headers::{basic_authorization, header};
use super::{Body, Exchange, Io, error_body};

use self::environment::Environment;

/// What RFC 1929, section 2, has room for.
const MOST_SOCKS: usize = 255;

/// Which targets are reached through which proxy.
#[derive(Debug, Clone, Default)]
pub(crate) enum Proxying {
    /// As the environment says when the client is built.
    #[default]
    Environment,
    Never,
    Always(Arc<Proxy>),
}

/// The same, once the environment was read.
#[derive(Clone)]
pub(super) enum Proxies {
    Of(Arc<Environment>),
    Given(Option<Arc<Proxy>>),
}

impl Proxies {
    pub(super) fn new(proxying: Proxying) -> Self {
        match proxying {
            Proxying::Environment => Self::Of(Arc::new(Environment::read())),
            Proxying::Never => Self::Given(None),
            Proxying::Always(proxy) => Self::Given(Some(proxy)),
        }
    }

    /// # Errors
    ///
    /// `InvalidConfig` if the environment's variable for this target is no proxy's URL.
    pub(super) fn of(&self, target: &Target) -> Result<Option<Arc<Proxy>>, Error> {
        match self {
            Self::Of(environment) => environment.proxy(target),
            Self::Given(proxy) => Ok(proxy.clone()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    /// HTTP over TLS.
    Https,
    Socks5,
}

/// A proxy. `Debug` and `Display` show no credentials.
#[derive(Clone)]
pub(crate) struct Proxy {
    protocol: Protocol,
    /// Host, and the port that is always there.
    uri: Uri,
    userinfo: Option<Userinfo>,
}

impl Proxy {
    /// # Errors
    ///
    /// `InvalidConfig`; nothing in it repeats what was given, which may hold a password anywhere.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let invalid = |what: &str| Error::new(ErrorKind::InvalidConfig, format!("the proxy's URL {what}"));
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (protocol, port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Protocol::Http, 80),
            "https" if !cfg!(feature = "tls") => {
                return Err(invalid("is one of https, which needs this crate's feature \"tls\""));
            }
            "https" => (Protocol::Https, 443),
            "socks5" | "socks5h" => (Protocol::Socks5, 1080),
            _ => return Err(invalid("has a scheme that is not supported: use http, https, socks5 or socks5h")),
        };
        let unreadable =
            "cannot be read: it is like http://user:password@host:port, what is special in them percent-encoded";
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (userinfo, server) = split_userinfo(authority);
        let parsed: http::uri::Authority = server.parse().map_err(|_| invalid(unreadable))?;
        // What is there after a path is the host, and what is before it half a password, as it is.
        if parsed.host().is_empty() || path.contains('@') {
            return Err(invalid(unreadable));
        }
        let port = match server.strip_prefix(parsed.host()).map(|rest| rest.strip_prefix(':').unwrap_or(rest)) {
            Some("") => port,
            Some(given) => given.parse::<u16>().map_err(|_| invalid("has no port from 0 to 65535"))?,
            None => return Err(invalid(unreadable)),
        };
        let too_long = |userinfo: &Userinfo| userinfo.user.len().max(userinfo.password.len()) > MOST_SOCKS;
        if protocol == Protocol::Socks5 && userinfo.as_ref().is_some_and(too_long) {
            return Err(invalid("has a user or a password of more than 255 bytes, for which SOCKS5 has no room"));
        }
        let uri = format!("http://{}:{port}/", parsed.host()).parse().map_err(|_| invalid(unreadable))?;
        Ok(Self { protocol, uri, userinfo })
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether it takes requests in the target's stead, named by their whole URL.
    pub(super) fn is_http(&self) -> bool {
        self.protocol != Protocol::Socks5
    }

    /// The value of `Proxy-Authorization`, marked as a secret.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        let userinfo = self.userinfo.as_ref()?;
        let value = basic_authorization(&userinfo.user, &userinfo.password);
        header(http::header::PROXY_AUTHORIZATION, value).ok().map(|(_, value)| value)
    }

    /// Asks the proxy at the other end of `io` for a stream to `target`.
    pub(super) async fn tunnel(&self, io: Box<dyn Io>, target: &Target) -> Result<Box<dyn Io>, Error> {
        match self.protocol {
            Protocol::Socks5 => socks::connect(io, self, target).await,
            Protocol::Http | Protocol::Https => tunnel::open(io, self, target).await,
        }
    }

    /// The proxy could not be reached, or broke off; the source says how.
    pub(super) fn failed(&self, what: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::with_source(ErrorKind::Proxy, format!("the proxy {self} {what}"), error)
    }

    /// No address of the proxy answered within the connect timeout.
    pub(super) fn late(&self, error: Error) -> Error {
        Error::with_source(ErrorKind::ConnectTimeout, format!("the proxy {self} cannot be reached in time"), error)
    }

    /// The error for an answer of the proxy's own, which refuses `what`.
    fn refused(&self, what: &str, head: Parts, body: Bytes) -> Error {
        let mut message = format!("the proxy {self} refused {what}: {}", head.status);
        if head.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            message = format!("{message}; {}", self.advice());
        }
        Error::with_response(ErrorKind::Proxy, message, head.status, head.headers, body)
    }

    /// What to do about a 407.
    fn advice(&self) -> &'static str {
        match self.userinfo {
            Some(_) => "it does not take the credentials in its URL",
            None => "it wants credentials, in its URL",
        }
    }

    /// The answer to a request that the proxy was to forward, if that is not the proxy's own refusal.
    pub(super) async fn answered(&self, outcome: Result<(Parts, Exchange), Error>) -> Result<(Parts, Exchange), Error> {
        match outcome {
            Ok((mut head, exchange)) if is_own(&head) => {
                let body = error_body(&mut Body::new(exchange, &mut head.headers)).await;
                Err(self.refused("the request", head, body))
            }
            Err(error) if error.kind() == ErrorKind::Protocol => Err(self.failed("gave no answer", error)),
            outcome => outcome,
        }
    }
}

/// Whether an answer is the proxy's, not the server's: it asks for credentials, or says so (RFC 9209; Squid has a header
/// of its own for that).
fn is_own(head: &Parts) -> bool {
    let failed = |value: &HeaderValue| memchr::memmem::find(value.as_bytes(), b"error=").is_some();
    head.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
        || !head.status.is_success()
            && (head.headers.contains_key("x-squid-error") || head.headers.get_all("proxy-status").iter().any(failed))
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri.authority().map_or("", http::uri::Authority::as_str))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({:?} {self})", self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_scheme_a_host_a_port_and_credentials_and_each_but_the_host_may_be_left_out() {
        for (url, protocol, server) in [
            ("http://proxy:3128", Protocol::Http, "proxy:3128"),
            ("http://proxy", Protocol::Http, "proxy:80"),
            ("proxy:3128", Protocol::Http, "proxy:3128"),
            ("proxy", Protocol::Http, "proxy:80"),
            ("HTTP://proxy:3128/", Protocol::Http, "proxy:3128"),
            ("http://user:p%40ss@proxy:3128", Protocol::Http, "proxy:3128"),
            ("user:pass@proxy:3128", Protocol::Http, "proxy:3128"),
            ("socks5://proxy", Protocol::Socks5, "proxy:1080"),
            ("socks5h://[::1]:9050", Protocol::Socks5, "[::1]:9050"),
        ] {
            let proxy = Proxy::parse(url).unwrap();
            assert_eq!((proxy.protocol, proxy.to_string().as_str()), (protocol, server), "{url}");
            assert_eq!(proxy.authorization().is_some(), url.contains('@'), "{url}");
        }
        let proxy = Proxy::parse("http://us%20er:p%40ss@proxy").unwrap();
        assert_eq!(proxy.authorization().unwrap(), &*basic_authorization("us er", "p@ss"));
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_a_word_of_it() {
        let long = format!("socks5://hunter2:{}@proxy", "x".repeat(256));
        for url in [
            "",
            "http://",
            "http://hunter2:hunter2@",
            "http://hunter2:hunter2@:80",
            "http://u:hunter2@proxy:99999",
            "http://u:hunter2@proxy:hunter2",
            "http://u:hunter2@pro xy",
            "hunter2://proxy",
            "socks4://hunter2@proxy",
            "http://u:hunter2#/@proxy",
            "http://u:22/hunter2@proxy",
            &long,
        ] {
            let error = Proxy::parse(url).unwrap_err();
            assert_eq!((error.kind(), error.is_final()), (ErrorKind::InvalidConfig, true), "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
