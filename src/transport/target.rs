//! [`Target`]: the URL of a stream, parsed once. It keeps credentials and query out of sight.
//!
//! Userinfo is taken out when the URL is parsed, and becomes a header; from then on no URL in this
//! crate holds it. The query stays in the URL, which is why URLs are logged by [`Target`]'s
//! `Display` and never as they are.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use http::header::{AUTHORIZATION, HeaderValue};
use http::uri::{Authority, InvalidUri, Parts, PathAndQuery, Scheme, Uri};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::{Error, ErrorKind, beginning};

use super::header_values::{basic_authorization, header};

/// Everything but RFC 3986's unreserved characters is encoded in a query.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Encodes form fields, or query parameters, with percent-encoding.
pub(crate) fn form<K: AsRef<str>, V: AsRef<str>>(fields: impl IntoIterator<Item = (K, V)>) -> String {
    let mut form = String::new();
    for (key, value) in fields {
        if !form.is_empty() {
            form.push('&');
        }
        form.extend(utf8_percent_encode(key.as_ref(), QUERY));
        form.push('=');
        form.extend(utf8_percent_encode(value.as_ref(), QUERY));
    }
    form
}

/// The URL of a stream. `Debug` and `Display` show neither userinfo nor query.
#[derive(Clone)]
pub(crate) struct Target {
    /// Without userinfo. It always has a scheme and a host.
    uri: Uri,
    /// Taken out of the URL; `None` also once another authorization has replaced it.
    pub(crate) userinfo: Option<Userinfo>,
}

/// The user and the password of a URL, decoded.
#[derive(Clone)]
pub(crate) struct Userinfo {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Userinfo {
    /// Returns the value of a basic authorization header, marked as sensitive.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        // Base64 is always a valid header value.
        header(AUTHORIZATION, basic_authorization(&self.user, &self.password)).ok().map(|(_, value)| value)
    }
}

impl Target {
    /// Reads a URL as people write it: with blanks and line ends around it, and with a host in any
    /// script (feature `idn`).
    ///
    /// # Errors
    ///
    /// `InvalidUrl` for a text that is no URL. Those of [`parse`](Self::parse).
    pub(crate) fn from_text(text: &str) -> Result<Self, Error> {
        let url = trimmed(text);
        if url.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
            return Err(invalid("has a blank or a control character in it; percent-encode it, a blank as %20"));
        }
        let (origin, path) = url.split_at(end_of_authority(url.as_bytes()));
        let url = format!("{}{path}", ascii_origin(origin).map_err(invalid)?);
        Self::parse(url.parse::<Uri>().map_err(|error| invalid_url(error.into()))?)
    }

    /// Checks a URL and takes its userinfo out.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` without a host or with an invalid port or IPv6 address. `Unsupported` for a
    /// scheme other than http and https. No error repeats a part of the URL that may be a password.
    pub(crate) fn parse(uri: Uri) -> Result<Self, Error> {
        let mut parts = uri.into_parts();
        check_scheme(parts.scheme.as_ref())?;
        let given = parts.authority.take();
        let (userinfo, authority) = split_userinfo(given.as_ref().map_or("", Authority::as_str));
        let authority = authority.parse::<Authority>().ok().filter(|authority| !authority.host().is_empty());
        // The part that failed may be a password, so the message does not quote it.
        let Some(authority) = authority else {
            return Err(Error::new(ErrorKind::InvalidUrl, "the URL has no host; write it like http://host:8080/path"));
        };
        check_host(authority.host()).map_err(invalid)?;
        check_port(&authority)?;
        let without_port = authority.as_str().strip_suffix(':').map(str::parse).transpose();
        parts.authority =
            Some(without_port.map_err(|error| invalid_url(InvalidUri::into(error)))?.unwrap_or(authority));
        let path = parts.path_and_query.as_ref().map_or("", PathAndQuery::as_str);
        // `http://host?query` has an empty path, which a request cannot have. Characters outside of
        // ASCII are no part of a URI (RFC 3986, section 2).
        let root = if path.starts_with('/') { "" } else { "/" };
        let path = format!("{root}{}", utf8_percent_encode(path, CONTROLS));
        let uri = with_path_and_query(parts, &path).map_err(invalid_url)?;
        Ok(Self { uri, userinfo })
    }

    /// Returns this URL with the query parameters appended, percent-encoded.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` if the parameters do not fit into a URL.
    pub(crate) fn with_query(self, parameters: &[(String, String)]) -> Result<Self, Error> {
        self.replacing_query(parameters, |_| true)
    }

    /// Returns this URL with the query parameters set: each replaces all of the same key. Fails
    /// like [`with_query`](Self::with_query).
    pub(crate) fn setting_query(&self, parameters: &[(String, String)]) -> Result<Self, Error> {
        if parameters.is_empty() {
            return Ok(self.clone());
        }
        self.replacing_query(parameters, |pair| {
            let key = key_of(pair);
            !pair.is_empty() && parameters.iter().all(|(set, _)| *set != key)
        })
    }

    /// Returns this URL without the query parameters of this key. Fails like
    /// [`with_query`](Self::with_query).
    pub(crate) fn without_query(&self, key: &str) -> Result<Self, Error> {
        self.replacing_query(&[], |pair| key_of(pair) != key)
    }

    /// Returns this URL with a new query: the present pairs that `is_kept` accepts, then
    /// `parameters`.
    fn replacing_query(&self, parameters: &[(String, String)], is_kept: impl Fn(&str) -> bool) -> Result<Self, Error> {
        let added = form(parameters.iter().map(|(key, value)| (key, value)));
        let kept = self.uri.query().into_iter().flat_map(|query| query.split('&')).filter(|pair| is_kept(pair));
        let pairs: Vec<&str> = kept.chain((!added.is_empty()).then_some(&*added)).collect();
        // A `?` with nothing behind it makes it another URL.
        let mark = if pairs.is_empty() { "" } else { "?" };
        let path = format!("{}{mark}{}", self.uri.path(), pairs.join("&"));
        let uri = with_path_and_query(self.uri.clone().into_parts(), &path)
            .map_err(|error| Error::with_source(ErrorKind::InvalidUrl, "the query does not fit a URL", error))?;
        Ok(Self { uri, ..self.clone() })
    }

    /// Returns scheme, host and port as one string, to compare origins by (RFC 6454, section 4).
    pub(crate) fn origin(&self) -> String {
        // Host names are case-insensitive (RFC 9110, section 4.2.3).
        format!("{}://{}", self.scheme(), self.server().to_ascii_lowercase())
    }

    /// Returns the URL, with `host` in place of its own if one is given.
    #[cfg(feature = "http2")]
    pub(crate) fn uri_with_host(&self, host: Option<&HeaderValue>) -> Result<Uri, http::Error> {
        let Some(host) = host else { return Ok(self.uri.clone()) };
        let mut parts = self.uri.clone().into_parts();
        parts.authority = Some(Authority::try_from(host.as_bytes())?);
        Ok(Uri::from_parts(parts)?)
    }

    /// Returns host and port; the port is always there.
    pub(crate) fn server(&self) -> String {
        let default = if self.is_https() { 443 } else { 80 };
        format!("{}:{}", self.uri.host().unwrap_or_default(), self.uri.port_u16().unwrap_or(default))
    }

    /// Returns scheme, host and port as a URL, for a connector.
    pub(crate) fn server_uri(&self) -> Result<Uri, http::Error> {
        Uri::builder().scheme(self.scheme()).authority(self.server()).path_and_query("/").build()
    }

    /// Returns the URL without userinfo.
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Returns the URL without userinfo and query: what may be shown.
    pub(crate) fn shown(&self) -> Uri {
        // The path of a valid URL makes a valid one.
        with_path_and_query(self.uri.clone().into_parts(), self.uri.path()).unwrap_or_default()
    }

    fn scheme(&self) -> &str {
        self.uri.scheme_str().unwrap_or_default()
    }

    pub(crate) fn is_https(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTPS)
    }

    /// Returns the host, without the brackets of an IPv6 address.
    #[cfg(feature = "tls")]
    pub(crate) fn host(&self) -> &str {
        self.uri.host().unwrap_or_default().trim_matches(['[', ']'])
    }

    /// Returns host and port as they are in the URL: the value of the `Host` header.
    pub(crate) fn authority(&self) -> &str {
        self.uri.authority().map_or("", Authority::as_str)
    }

    /// Returns the authority for a message. A redirect may have chosen it, so it is cut.
    pub(crate) fn shown_authority(&self) -> &str {
        beginning(self.authority())
    }

    /// Returns the request target in origin form (RFC 9112, section 3.2.1).
    pub(crate) fn path_and_query(&self) -> &str {
        self.uri.path_and_query().map_or("/", PathAndQuery::as_str)
    }
}

/// Returns the decoded key of a pair in a query. One key can be written with different escapes, and
/// the server decodes them all.
fn key_of(pair: &str) -> Cow<'_, str> {
    let key = pair.split_once('=').map_or(pair, |(key, _)| key);
    percent_decode_str(key).decode_utf8_lossy()
}

/// Returns the URL of these parts, with another path and query.
fn with_path_and_query(mut parts: Parts, path: &str) -> Result<Uri, http::Error> {
    parts.path_and_query = Some(path.parse()?);
    Ok(Uri::from_parts(parts)?)
}

/// Returns the URL without the blanks and control characters around it (URL standard, section 4.4,
/// "URL parsing"): one that is read from a file ends with its line.
pub(crate) fn trimmed(url: &str) -> &str {
    url.trim_matches(|character| character <= ' ')
}

/// Returns where path and query begin in a URL, which may be relative.
pub(crate) fn end_of_authority(url: &[u8]) -> usize {
    let is_path = |byte: &u8| matches!(byte, b'/' | b'?' | b'#');
    // `//` begins an authority only at the start or after a scheme.
    let Some(slashes) = memchr::memmem::find(url, b"//") else { return 0 };
    let scheme = &url[..slashes];
    if !scheme.is_empty() && (!scheme.ends_with(b":") || scheme.iter().any(is_path)) {
        return 0;
    }
    let authority = slashes + 2;
    url[authority..].iter().position(is_path).map_or(url.len(), |end| authority + end)
}

/// Returns scheme and authority of a URL, or an authority alone, with the host in ASCII (UTS 46),
/// as browsers do.
///
/// # Errors
///
/// What is wrong with the URL.
pub(crate) fn ascii_origin(origin: &str) -> Result<Cow<'_, str>, &'static str> {
    if origin.is_ascii() {
        return Ok(origin.into());
    }
    let (before, server) = origin.split_at(origin.rfind(['@', '/']).map_or(0, |last| last + 1));
    let (host, port) = server.split_at(server.rfind(':').unwrap_or(server.len()));
    let host = if host.is_ascii() { host.to_owned() } else { ascii_host(host)? };
    // Userinfo is encoded (URL standard, section 4.4, "authority state").
    Ok(format!("{}{host}{port}", utf8_percent_encode(before, CONTROLS)).into())
}

#[cfg(feature = "idn")]
fn ascii_host(host: &str) -> Result<String, &'static str> {
    url::Host::parse(host).map(|host| host.to_string()).map_err(|_| "has a host that is no valid domain name")
}

#[cfg(not(feature = "idn"))]
fn ascii_host(_host: &str) -> Result<String, &'static str> {
    Err("has a host outside of ASCII, which needs this crate's feature \"idn\"; \
         or write the host in ASCII, where it begins with xn--")
}

/// Checks a host in brackets, which `Authority` does not: an IPv6 address. Anything else would be
/// looked up as a name, again and again.
///
/// # Errors
///
/// What is wrong with the URL.
pub(crate) fn check_host(host: &str) -> Result<(), &'static str> {
    let Some(address) = host.strip_prefix('[') else { return Ok(()) };
    if address.contains('%') {
        // Nor in browsers (URL standard, section 3.5): a zone means something on one machine only.
        return Err("has an IPv6 address with a zone, which is not supported in URLs: leave the zone out, \
                    and connect with a connector of your own (ClientBuilder::connector)");
    }
    let is_address = address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    if is_address { Ok(()) } else { Err("has no IPv6 address in its brackets") }
}

/// Returns the error for a URL with this mistake.
fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidUrl, format!("the URL {what}"))
}

/// Checks that the scheme is one of HTTP.
fn check_scheme(scheme: Option<&Scheme>) -> Result<(), Error> {
    match scheme.map(Scheme::as_str) {
        Some("http" | "https") => Ok(()),
        Some(scheme) => {
            let message = format!("the scheme {scheme:?} is not supported: use http or https");
            Err(Error::new(ErrorKind::Unsupported, message))
        }
        None => Err(Error::new(ErrorKind::InvalidUrl, "the URL needs a scheme: http:// or https://")),
    }
}

/// Checks the port, which `Authority` does not. An empty one is the default (RFC 3986, section
/// 3.2.3). The message does not repeat an invalid port: it may be part of a password that is not
/// percent-encoded.
fn check_port(authority: &Authority) -> Result<(), Error> {
    let port = authority.as_str()[authority.host().len()..].strip_prefix(':').unwrap_or_default();
    if port.bytes().all(|digit| digit.is_ascii_digit()) && (port.is_empty() || port.parse::<u16>().is_ok()) {
        return Ok(());
    }
    let message =
        "the URL's port is not a number up to 65535; if the password has special characters, percent-encode them";
    Err(Error::new(ErrorKind::InvalidUrl, message))
}

/// Returns the error for a text that is no URL.
fn invalid_url(error: http::Error) -> Error {
    Error::with_source(ErrorKind::InvalidUrl, "the URL is not valid; write it like http://host:8080/path", error)
}

/// Splits an authority into decoded userinfo, if there is any, and host with port.
pub(crate) fn split_userinfo(authority: &str) -> (Option<Userinfo>, &str) {
    // The last `@`: people forget to encode one in a password.
    let Some((userinfo, host)) = authority.rsplit_once('@') else {
        return (None, authority);
    };
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    // A header with empty credentials would only be refused.
    if user.is_empty() && password.is_empty() {
        return (None, host);
    }
    // Escapes that are not UTF-8 become U+FFFD: such credentials do not work either way.
    let decoded = |part| percent_decode_str(part).decode_utf8_lossy().into_owned();
    (Some(Userinfo { user: decoded(user), password: decoded(password) }), host)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority(), self.uri.path())?;
        // A query often holds a token, and this text gets into logs.
        if self.uri.query().is_some() { f.write_str("?…") } else { Ok(()) }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &'static str) -> Target {
        Target::parse(Uri::from_static(url)).unwrap()
    }

    #[test]
    fn userinfo_is_decoded_taken_out_and_never_shown() {
        let target = target("http://al%40ice:s%3Acret@example.com:8080/a?token=hidden");
        let userinfo = target.userinfo.as_ref().unwrap();
        assert_eq!((&*userinfo.user, &*userinfo.password), ("al@ice", "s:cret"));
        assert_eq!(target.uri(), "http://example.com:8080/a?token=hidden");
        assert_eq!(target.authority(), "example.com:8080");
        assert_eq!(format!("{target}"), "http://example.com:8080/a?…");
        assert_eq!(format!("{target:?}"), "Target(http://example.com:8080/a?…)");
    }

    #[test]
    fn a_missing_path_is_the_root_and_empty_userinfo_is_none() {
        assert_eq!(target("http://h?x=y").path_and_query(), "/?x=y");
        assert_eq!(target("http://h").path_and_query(), "/");
        assert!(target("http://@h/").userinfo.is_none());
        assert!(target("http://:@h/").userinfo.is_none());
    }

    #[test]
    fn characters_outside_of_ascii_are_encoded() {
        let target = target("http://h/ä/%C3%A4?ключ=[ü]");
        assert_eq!(target.path_and_query(), "/%C3%A4/%C3%A4?%D0%BA%D0%BB%D1%8E%D1%87=[%C3%BC]");
        let set = target.setting_query(&[("ключ".to_owned(), "1".to_owned())]).unwrap();
        assert_eq!(set.path_and_query(), "/%C3%A4/%C3%A4?%D0%BA%D0%BB%D1%8E%D1%87=1");
    }

    #[test]
    fn a_missing_or_empty_port_is_the_default_of_the_scheme() {
        for (url, server) in [
            ("http://h/", "h:80"),
            ("http://h:/", "h:80"),
            ("http://h:65535/", "h:65535"),
            ("http://[::1]/", "[::1]:80"),
            ("http://[::1]:/", "[::1]:80"),
            ("http://user@[::1]:8080/", "[::1]:8080"),
        ] {
            let target = target(url);
            assert_eq!(target.server(), server, "{url}");
            // So they are named in messages and in `Host`.
            assert!(!target.authority().ends_with(':'), "{url}");
        }
    }

    #[test]
    fn query_parameters_are_encoded_and_added_to_those_of_the_url() {
        let parameters = [("a b".to_owned(), "1&2=é".to_owned()), ("c".to_owned(), String::new())];
        let with = |url| target(url).with_query(&parameters).unwrap().path_and_query().to_owned();
        assert_eq!(with("http://h"), "/?a%20b=1%262%3D%C3%A9&c=");
        assert_eq!(with("http://h?x=y"), "/?x=y&a%20b=1%262%3D%C3%A9&c=");
        assert_eq!(with("http://h/p?x=y"), "/p?x=y&a%20b=1%262%3D%C3%A9&c=");
    }

    #[test]
    fn query_parameters_are_removed_by_their_decoded_key() {
        for (url, expected) in [
            ("http://h/p", "/p"),
            ("http://h/p?", "/p?"),
            ("http://h/p?a=1", "/p"),
            ("http://h/p?b=2&a=1&%61&&ab=3", "/p?b=2&&ab=3"),
        ] {
            assert_eq!(target(url).without_query("a").unwrap().path_and_query(), expected, "{url}");
        }
    }

    #[test]
    fn a_url_that_is_not_http_is_a_typed_error() {
        for (url, kind) in [
            ("/stream", ErrorKind::InvalidUrl),
            ("example.com", ErrorKind::InvalidUrl),
            ("ftp://example.com/", ErrorKind::Unsupported),
            ("http://h:65536/", ErrorKind::InvalidUrl),
            ("http://h:80a/", ErrorKind::InvalidUrl),
            ("http://h:-1/", ErrorKind::InvalidUrl),
            ("http://[::1]:99999/", ErrorKind::InvalidUrl),
        ] {
            assert_eq!(Target::parse(url.parse().unwrap()).unwrap_err().kind(), kind, "{url}");
        }
    }

    #[test]
    fn a_url_is_read_as_people_write_it() {
        for (text, uri) in [
            (" http://h/a\n", "http://h/a"),
            ("\u{0}\t\r\n http://h/?q \u{1f}", "http://h/?q"),
            ("http://h/a#b", "http://h/a"),
            ("http://h/ä?ö#ü", "http://h/%C3%A4?%C3%B6"),
            ("http://h?//ü", "http://h/?//%C3%BC"),
            ("http://üser:pässword@h/", "http://h/"),
        ] {
            assert_eq!(Target::from_text(text).unwrap().uri(), uri, "{text:?}");
        }
        let userinfo = Target::from_text("http://üser:pässword@h/").unwrap().userinfo.unwrap();
        assert_eq!((&*userinfo.user, &*userinfo.password), ("üser", "pässword"));
    }

    #[test]
    fn a_url_with_a_blank_or_without_a_host_says_so() {
        for (text, says) in [
            ("http://h/a b", "a blank or a control character"),
            ("http://h h/", "a blank or a control character"),
            ("http://h/\na", "a blank or a control character"),
            ("http://h/a\u{7f}", "a blank or a control character"),
            ("", "write it like"),
            (" ", "write it like"),
            ("http://", "write it like"),
            ("http:///path", "write it like"),
            ("http://:80/", "write it like"),
            ("http://h::/", "write it like"),
            ("//h/", "needs a scheme"),
            ("http://[fe80::1%25eth0]/", "a zone"),
            ("http://[fe80::1%eth0]:80/", "a zone"),
            ("http://user@[h]/", "no IPv6 address"),
            ("http://[v1.x]/", "no IPv6 address"),
            ("http://[127.0.0.1]/", "no IPv6 address"),
            ("http://h:８０/", "write it like"),
        ] {
            let error = Target::from_text(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{text:?}: {error}");
            assert!(error.to_string().contains(says), "{text:?}: {error}");
        }
    }

    #[cfg(feature = "idn")]
    #[test]
    fn a_host_in_any_script_is_converted_as_browsers_do() {
        for (text, uri) in [
            ("http://bücher.example/ü", "http://xn--bcher-kva.example/%C3%BC"),
            ("http://BÜCHER.example:8080", "http://xn--bcher-kva.example:8080/"),
            ("http://user:ü@straße.de?q", "http://xn--strae-oqa.de/?q"),
            ("http://例え。テスト/", "http://xn--r8jz45g.xn--zckzah/"),
            ("http://１２７.0.0.1/", "http://127.0.0.1/"),
            ("http://xn--bcher-kva.example/", "http://xn--bcher-kva.example/"),
        ] {
            assert_eq!(Target::from_text(text).unwrap().uri(), uri, "{text:?}");
        }
        for text in ["http://\u{fffd}/", "http://ü／x/", "http://ü..example:99999/", "http://[::１]/"] {
            let error = Target::from_text(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{text:?}: {error}");
        }
    }

    #[cfg(not(feature = "idn"))]
    #[test]
    fn a_host_outside_of_ascii_names_the_feature_that_it_needs() {
        let error = Target::from_text("http://bücher.example/").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidUrl);
        assert!(error.to_string().contains("feature \"idn\""), "{error}");
    }

    #[test]
    fn an_error_never_repeats_what_may_be_a_password() {
        for url in [
            "http://user:hunter2/x@host/",
            "http://user:hunter2#x@host/",
            "https://user:hunter2?x@host/",
            "https://user:hunter2 @host/",
            "https://user:hunter2@\u{fffd}/",
            "https://user:hunter2@[fe80::1%25eth0]/",
        ] {
            let error = Target::from_text(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
