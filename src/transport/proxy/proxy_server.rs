//! [`ProxyServer`]: a parsed proxy URL, and the errors of its proxy.
//!
//! An error names the proxy by host and port, says what was refused, and for a 407 what to do about
//! the credentials. It never shows the credentials themselves, also not for a URL that cannot be
//! parsed: the password may be anywhere in it.
//!
//! To add a kind of proxy: its scheme in [`ProxyServer::parse`], a variant of [`ProxyProtocol`],
//! and an arm in `open_tunnel`.

use std::fmt;

use bytes::Bytes;
use http::header::HeaderValue;
use http::response::Parts;
use http::{StatusCode, Uri};

use crate::error::{Error, ErrorKind};
use crate::transport::target::{Userinfo, ascii_origin, check_host, split_userinfo, trimmed};

use super::super::body::{Body, RawBody};

/// Maximum length of a user or a password in SOCKS5 (RFC 1929, section 2).
const MAX_SOCKS_CREDENTIAL: usize = 255;

/// The protocol of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport) enum ProxyProtocol {
    Http,
    /// HTTP over TLS.
    #[cfg(feature = "tls")]
    Https,
    Socks5,
}

/// A proxy. `Debug` and `Display` show no credentials.
#[derive(Clone)]
pub(crate) struct ProxyServer {
    pub(in crate::transport) protocol: ProxyProtocol,
    /// Host and port, as a URL of https if the proxy is behind TLS, and of http if not. The port is
    /// always there.
    pub(in crate::transport) uri: Uri,
    pub(super) userinfo: Option<Userinfo>,
}

impl ProxyServer {
    /// Parses a proxy's URL.
    ///
    /// # Errors
    ///
    /// `InvalidConfig`. The error repeats no part of the URL: any may hold a password.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        // As curl does: a proxy without a scheme is one of http.
        let url = trimmed(url);
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (protocol, default_port) = parse_scheme(scheme)?;
        let unreadable =
            || invalid("cannot be read; write it like http://user:password@host:port, with special characters encoded");
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (userinfo, server) = split_userinfo(authority);
        let server = ascii_origin(server).map_err(invalid)?;
        let parsed: http::uri::Authority = server.parse().map_err(|_| unreadable())?;
        // With an `@` in the path, the password holds a slash: the host comes after it.
        if parsed.host().is_empty() || path.contains('@') {
            return Err(unreadable());
        }
        check_host(parsed.host()).map_err(invalid)?;
        // The port follows the whole host: an IPv6 address has colons of its own.
        let port = match server.strip_prefix(parsed.host()).map(|rest| rest.strip_prefix(':').unwrap_or(rest)) {
            Some("") => default_port,
            Some(given) => given.parse::<u16>().map_err(|_| invalid("has no port from 0 to 65535"))?,
            None => return Err(unreadable()),
        };
        let too_long = |userinfo: &Userinfo| userinfo.user.len().max(userinfo.password.len()) > MAX_SOCKS_CREDENTIAL;
        if protocol == ProxyProtocol::Socks5 && userinfo.as_ref().is_some_and(too_long) {
            return Err(invalid("has a user or a password of more than 255 bytes, which SOCKS5 cannot carry"));
        }
        let scheme = match protocol {
            #[cfg(feature = "tls")]
            ProxyProtocol::Https => "https",
            ProxyProtocol::Http | ProxyProtocol::Socks5 => "http",
        };
        let uri = format!("{scheme}://{}:{port}/", parsed.host()).parse().map_err(|_| unreadable())?;
        Ok(Self { protocol, uri, userinfo })
    }

    /// Returns the value of `Proxy-Authorization`, marked as sensitive.
    pub(in crate::transport) fn authorization(&self) -> Option<HeaderValue> {
        self.userinfo.as_ref()?.authorization()
    }

    /// Returns the error of a proxy that could not be reached or broke off; the source says how.
    pub(in crate::transport) fn failed(
        &self,
        what: &str,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error::with_source(ErrorKind::Proxy, format!("the proxy {self} {what}"), error)
    }

    /// Returns the error of a proxy that no address answered for within the connect timeout.
    pub(in crate::transport) fn late(&self, error: Error) -> Error {
        Error::with_source(ErrorKind::ConnectTimeout, format!("the proxy {self} cannot be reached in time"), error)
    }

    /// Returns the error for the proxy's own answer, which refuses `what`.
    pub(super) fn refused(&self, what: &str, head: Parts, body: Bytes) -> Error {
        // The headers and the body go into the error, but not into its message.
        let mut message = format!("the proxy {self} refused {what}: {}", head.status);
        if head.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            message.push_str(match self.userinfo {
                Some(_) => "; it does not take the credentials in its URL, check them",
                None => "; it wants credentials, set them in the proxy's URL",
            });
        }
        Error::with_response(ErrorKind::Proxy, message, head.status, head.headers, body)
    }

    /// Returns the answer to a forwarded request.
    ///
    /// # Errors
    ///
    /// `Proxy` if the answer is the proxy's own refusal, not the server's.
    pub(in crate::transport) async fn check_forwarded(
        &self,
        mut head: Parts,
        body: RawBody,
    ) -> Result<(Parts, RawBody), Error> {
        if !is_refusal_of_proxy(&head) {
            return Ok((head, body));
        }
        let body = Body::new(body, &mut head.headers).read_beginning().await;
        Err(self.refused("the request", head, body))
    }
}

/// Returns the protocol of a scheme, and its default port.
fn parse_scheme(scheme: &str) -> Result<(ProxyProtocol, u16), Error> {
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok((ProxyProtocol::Http, 80)),
        #[cfg(feature = "tls")]
        "https" => Ok((ProxyProtocol::Https, 443)),
        #[cfg(not(feature = "tls"))]
        "https" => Err(invalid("is one of https, which needs this crate's feature \"tls\"")),
        // Desktops set `socks` for a proxy of either version, and one of version 5 is sure to be
        // meant. curl resolves the name itself for `socks5`. Here the proxy does so for all.
        "socks" | "socks5" | "socks5h" => Ok((ProxyProtocol::Socks5, 1080)),
        "socks4" | "socks4a" => Err(invalid("is one of SOCKS4, which is not supported: use a SOCKS5 proxy, socks5://")),
        _ => Err(invalid("has a scheme that is not supported: use http, https or socks5")),
    }
}

/// Returns the error for a proxy's URL, which it must not repeat.
fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("the proxy's URL {what}"))
}

/// Returns true if the proxy, not the server, wrote this answer: it asks for credentials, or names
/// an error of its own (RFC 9209; Squid has a header of its own for that).
fn is_refusal_of_proxy(head: &Parts) -> bool {
    let failed = |value: &HeaderValue| memchr::memmem::find(value.as_bytes(), b"error=").is_some();
    head.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
        || !head.status.is_success()
            && (head.headers.contains_key("x-squid-error") || head.headers.get_all("proxy-status").iter().any(failed))
}

impl fmt::Display for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri.authority().map_or("", http::uri::Authority::as_str))
    }
}

impl fmt::Debug for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyServer({:?} {self})", self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::header_values::basic_authorization;
    use super::*;

    #[test]
    fn all_parts_of_a_proxy_url_but_the_host_are_optional() {
        for (url, protocol, server) in [
            ("http://proxy:3128", ProxyProtocol::Http, "proxy:3128"),
            ("http://proxy", ProxyProtocol::Http, "proxy:80"),
            ("proxy:3128", ProxyProtocol::Http, "proxy:3128"),
            ("proxy", ProxyProtocol::Http, "proxy:80"),
            ("HTTP://proxy:3128/", ProxyProtocol::Http, "proxy:3128"),
            ("http://user:p%40ss@proxy:3128", ProxyProtocol::Http, "proxy:3128"),
            ("user:pass@proxy:3128", ProxyProtocol::Http, "proxy:3128"),
            ("socks5://proxy", ProxyProtocol::Socks5, "proxy:1080"),
            ("socks://proxy", ProxyProtocol::Socks5, "proxy:1080"),
            ("SOCKS://proxy:9050/", ProxyProtocol::Socks5, "proxy:9050"),
            (" http://proxy:3128\r\n", ProxyProtocol::Http, "proxy:3128"),
            #[cfg(feature = "idn")]
            ("http://user:pass@bücher.example:3128", ProxyProtocol::Http, "xn--bcher-kva.example:3128"),
            ("socks5h://[::1]:9050", ProxyProtocol::Socks5, "[::1]:9050"),
        ] {
            let proxy = ProxyServer::parse(url).unwrap();
            assert_eq!((proxy.protocol, proxy.to_string().as_str()), (protocol, server), "{url}");
            assert_eq!(proxy.authorization().is_some(), url.contains('@'), "{url}");
        }
        let proxy = ProxyServer::parse("http://us%20er:p%40ss@proxy").unwrap();
        assert_eq!(proxy.authorization().unwrap(), &*basic_authorization("us er", "p@ss"));
    }

    #[test]
    fn an_invalid_proxy_url_is_refused_and_not_repeated() {
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
            "socks4a://hunter2@proxy",
            "http://hunter2@[fe80::1%25eth0]:3128",
            "http://hunter2@[proxy]:3128",
            "http://hunter2@\u{fffd}:3128",
            "http://u:hunter2#/@proxy",
            "http://u:22/hunter2@proxy",
            &long,
        ] {
            let error = ProxyServer::parse(url).unwrap_err();
            assert_eq!((error.kind(), error.is_final()), (ErrorKind::InvalidConfig, true), "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
