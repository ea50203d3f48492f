//! [`Proxies`]: which targets are reached through which proxy, as the caller or the environment
//! says.
//!
//! | variable | used for |
//! |---|---|
//! | `http_proxy`, `HTTP_PROXY` | http targets; the latter not in a CGI program |
//! | `https_proxy`, `HTTPS_PROXY` | https targets |
//! | `all_proxy`, `ALL_PROXY` | both, if there is no variable of their own |
//! | `no_proxy`, `NO_PROXY` | domains, addresses and networks that are reached directly, or `*` |

use std::borrow::Cow;
use std::ffi::OsString;
use std::sync::Arc;

use hyper_util::client::proxy::matcher::Matcher;

use crate::error::{Error, ErrorKind};
use crate::transport::target::{Target, ascii_origin};

use super::proxy_server::ProxyServer;

/// The proxies of a client, by the scheme of the target.
///
/// The environment is read once, so that all streams of a client go the same way. A variable that
/// is no proxy's URL is an error when a stream needs it: a stream that should use a proxy must not
/// bypass it.
#[derive(Debug)]
pub(crate) struct Proxies {
    http: Option<Result<Arc<ProxyServer>, Error>>,
    https: Option<Result<Arc<ProxyServer>, Error>>,
    /// Matches the targets that `NO_PROXY` does not except.
    needs_proxy: Matcher,
}

impl Proxies {
    /// Reaches every target directly.
    pub(crate) fn none() -> Self {
        Self { http: None, https: None, needs_proxy: exceptions("*") }
    }

    /// Reaches every target through `proxy`.
    pub(crate) fn all(proxy: ProxyServer) -> Self {
        let proxy = Some(Ok(Arc::new(proxy)));
        Self { http: proxy.clone(), https: proxy, needs_proxy: exceptions("") }
    }

    /// Reads the environment of the process, as it is now.
    pub(crate) fn from_environment() -> Self {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// Follows curl: lower case wins over upper case, a scheme's own variable over `ALL_PROXY`, and
    /// an empty variable counts as unset.
    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let variable = |names: &[&'static str]| {
            let set = names.iter().map(|&name| (name, variable(name).unwrap_or_default()));
            set.into_iter().find(|(_, value)| !value.is_empty())
        };
        let all = || variable(&["all_proxy", "ALL_PROXY"]);
        // A web server passes a request's header `Proxy` to CGI programs as HTTP_PROXY
        // (CVE-2016-5385). Windows does not distinguish upper from lower case.
        let http: &[_] = match variable(&["REQUEST_METHOD"]) {
            Some(_) if cfg!(windows) => &[],
            Some(_) => &["http_proxy"],
            None => &["http_proxy", "HTTP_PROXY"],
        };
        let no = variable(&["no_proxy", "NO_PROXY"]).map(|(_, value)| value.to_string_lossy().into_owned());
        Self {
            http: variable(http).or_else(all).map(parse),
            https: variable(&["https_proxy", "HTTPS_PROXY"]).or_else(all).map(parse),
            needs_proxy: exceptions(&no.unwrap_or_default()),
        }
    }

    /// Returns the proxy for a target, if it needs one.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` if the environment's variable for this target is no proxy's URL.
    pub(in crate::transport) fn for_target(&self, target: &Target) -> Result<Option<Arc<ProxyServer>>, Error> {
        // By the scheme of the target; the proxy's own URL says how the proxy is spoken to.
        let proxy = if target.is_https() { &self.https } else { &self.http };
        match proxy {
            // An invalid variable does not matter to a target that `NO_PROXY` excepts.
            Some(proxy) if self.needs_proxy.intercept(target.uri()).is_some() => proxy.clone().map(Some),
            _ => Ok(None),
        }
    }
}

/// Parses a variable; the error names it, but does not repeat its value.
fn parse((name, value): (&str, OsString)) -> Result<Arc<ProxyServer>, Error> {
    let message = format!("the environment variable {name} is not a proxy's URL");
    let invalid = |source: Error| Error::with_source(ErrorKind::InvalidConfig, message.clone(), source);
    let Some(value) = value.to_str() else {
        return Err(Error::new(ErrorKind::InvalidConfig, format!("{message}: it is not UTF-8")));
    };
    ProxyServer::parse(value).map(Arc::new).map_err(invalid)
}

/// Returns a matcher for everything but these exceptions, as people write them: with blanks for
/// commas, brackets around IPv6 addresses, and `*.` in front.
fn exceptions(exceptions: &str) -> Matcher {
    let entries = exceptions.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
    let entries: Vec<_> = entries
        .map(|entry| entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry))
        .map(|entry| entry.strip_prefix('*').filter(|domain| domain.starts_with('.')).unwrap_or(entry))
        .map(in_ascii)
        .collect();
    // The matcher does not apply `*` to addresses.
    if entries.iter().any(|entry| entry == "*") {
        return Matcher::builder().build();
    }
    // Only whether it matches counts, so any proxy will do.
    Matcher::builder().all("http://proxy/").no(entries.join(",")).build()
}

/// Returns a domain as the host of a target is: in ASCII. A name that cannot be converted stays,
/// and is no target's.
fn in_ascii(entry: &str) -> Cow<'_, str> {
    let (dot, domain) = entry.split_at(usize::from(entry.starts_with('.')));
    match ascii_origin(domain) {
        Ok(Cow::Owned(domain)) => format!("{dot}{domain}").into(),
        _ => entry.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proxy for a URL, or the kind of the error.
    fn proxy(variables: &[(&str, &str)], url: &str) -> String {
        let environment = Proxies::from_variables(|name| {
            let set = variables.iter().find(|(variable, _)| *variable == name);
            set.map(|(_, value)| OsString::from(value))
        });
        match environment.for_target(&Target::from_text(url).unwrap()) {
            Ok(proxy) => proxy.map_or_else(|| "none".to_owned(), |proxy| proxy.to_string()),
            Err(error) => format!("{:?}", error.kind()),
        }
    }

    #[test]
    fn a_schemes_variable_wins_over_all_proxy_and_lower_case_over_upper() {
        const ALL: (&str, &str) = ("ALL_PROXY", "socks5://all");
        const HTTP: (&str, &str) = ("HTTP_PROXY", "upper:1");
        for (variables, url, expected) in [
            (&[][..], "http://h/", "none"),
            (&[HTTP], "http://h/", "upper:1"),
            (&[HTTP, ("http_proxy", "lower:2")], "http://h/", "lower:2"),
            (&[HTTP, ("http_proxy", "")], "http://h/", "upper:1"),
            (&[ALL, ("http_proxy", "lower:2")], "http://h/", "lower:2"),
            (&[ALL], "http://h/", "all:1080"),
            (&[("all_proxy", "a:1")], "http://h/", "a:1"),
            (&[("ALL_PROXY", "socks://127.0.0.1:1080/")], "http://h/", "127.0.0.1:1080"),
            (&[("ALL_PROXY", "socks4://h")], "http://h/", "InvalidConfig"),
            (&[HTTP, ("REQUEST_METHOD", "GET")], "http://h/", "none"),
            (&[HTTP, ALL, ("REQUEST_METHOD", "GET")], "http://h/", "all:1080"),
            (&[HTTP, ("http_proxy", "not a URL")], "http://h/", "InvalidConfig"),
            (&[("http_proxy", "ftp://h")], "http://h/", "InvalidConfig"),
            (&[("http_proxy", "ftp://h"), ("NO_PROXY", "h")], "http://h/", "none"),
        ] {
            assert_eq!(proxy(variables, url), expected, "{variables:?} {url}");
        }
        #[cfg(feature = "tls")]
        for (variables, expected) in [
            (&[HTTP][..], "none"),
            (&[HTTP, ALL], "all:1080"),
            (&[ALL, ("HTTPS_PROXY", "https://secure")], "secure:443"),
            (&[("HTTPS_PROXY", "secure"), ("REQUEST_METHOD", "GET")], "secure:80"),
        ] {
            assert_eq!(proxy(variables, "https://h/"), expected, "{variables:?}");
        }
    }

    #[test]
    fn exceptions_are_domains_addresses_networks_or_everything() {
        for (exceptions, url, excepted) in [
            ("example.com", "http://example.com:8080/", true),
            ("example.com", "http://EXAMPLE.com/", true),
            ("example.com", "http://a.example.com/", true),
            (".example.com", "http://a.example.com/", true),
            ("*.example.com", "http://a.example.com/", true),
            ("example.com", "http://badexample.com/", false),
            ("a.example.com", "http://example.com/", false),
            ("localhost, 10.0.0.0/8 ,x", "http://10.1.2.3/", true),
            ("localhost 127.0.0.1", "http://127.0.0.1/", true),
            ("10.0.0.0/8", "http://11.1.2.3/", false),
            ("::1", "http://[::1]:80/", true),
            ("[::1]", "http://[::1]/", true),
            ("*", "http://h/", true),
            ("x,*", "http://127.0.0.1/", true),
            ("", "http://h/", false),
            (",,", "http://h/", false),
            #[cfg(feature = "idn")]
            ("bücher.example", "http://a.BÜCHER.example/", true),
            #[cfg(feature = "idn")]
            ("x *.bücher.example", "http://a.xn--bcher-kva.example/", true),
            ("xn--bcher-kva.example", "http://xn--bcher-kva.example/", true),
            ("bücher.example", "http://b.example/", false),
            ("\u{fffd}.example", "http://b.example/", false),
        ] {
            let found = proxy(&[("http_proxy", "p:1"), ("NO_PROXY", exceptions)], url);
            assert_eq!(found == "none", excepted, "{exceptions:?} {url}: {found}");
        }
    }
}
