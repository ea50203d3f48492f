//! [`Redirects`]: which redirects are followed; and [`follow`], a pure function that computes the
//! next request (Fetch, section 4.4, "HTTP-redirect fetch", and this crate's defaults for daemons).
//!
//! | status | method and body of the next request |
//! |---|---|
//! | 301, 302 | a POST becomes a GET without a body; other methods stay |
//! | 303 | a GET without a body |
//! | 307, 308 | both stay |
//!
//! A redirect to the very request that it answers is a loop, and fails at once.
//!
//! Four things must never happen here: a step from https to http, a secret header at another
//! origin, a body at another origin unless the caller allows it, and an endless chain. Everything
//! that is not on the list of safe headers is dropped when the origin changes, and stays dropped if
//! a later redirect leads back.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LOCATION, CONTENT_TYPE, HeaderName, LOCATION, SET_COOKIE, USER_AGENT,
};
use http::response::Parts;
use http::{HeaderMap, Method, StatusCode};
use iri_string::types::{UriAbsoluteString, UriReferenceString};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use crate::error::{Error, ErrorKind};
use crate::transport::target::{Target, Userinfo, ascii_origin, end_of_authority};

use super::header_values::LAST_EVENT_ID;
use super::http_request::HttpRequest;

/// The headers that another origin gets as well: none of them holds a secret. This lists what may
/// pass, not what must not, because only the caller knows which headers are secrets.
const SAFE_HEADERS: [HeaderName; 9] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    LAST_EVENT_ID,
    USER_AGENT,
];

/// The headers that describe a body, and are dropped with it.
const BODY_HEADERS: [HeaderName; 4] = [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE];

/// Characters that people write in URLs and no URI may hold. Characters outside of ASCII are
/// encoded as well (URL standard, section 1.3).
const NOT_IN_A_URI: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// Brackets are reserved for IPv6 addresses (RFC 3986, section 3.2.2), but common in queries.
const NOT_IN_A_PATH: &AsciiSet = &NOT_IN_A_URI.add(b'[').add(b']');

/// How many redirects in a row are followed by default: as many as browsers do (Fetch, section
/// 4.4).
const MAX_REDIRECTS: usize = 20;

/// Which redirects an attempt follows: 301, 302, 303, 307 and 308 with a `Location`.
///
/// Set with [`StreamBuilder::redirects`](crate::StreamBuilder::redirects). No setting follows a
/// redirect from https to http. Each reconnection starts at the stream's own URL again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it takes effect in a stream's builder"]
pub struct Redirects {
    max: usize,
    across_origins: bool,
    body_across_origins: bool,
}

impl Redirects {
    /// Follows up to `max` redirects in a row; 20 by default.
    ///
    /// One more fails the attempt with [`TooManyRedirects`](ErrorKind::TooManyRedirects), which is
    /// retried like other faults, because loops of load balancers pass. A redirect to the very
    /// request that it answers fails at once in this way.
    pub const fn follow(max: usize) -> Self {
        Self { max, across_origins: true, body_across_origins: false }
    }

    /// Follows up to 20 redirects in a row within the origin (scheme, host and port). A redirect to
    /// another origin is final.
    pub const fn same_origin() -> Self {
        Self { across_origins: false, ..Self::follow(MAX_REDIRECTS) }
    }

    /// Follows no redirect: each is final, and the error holds the response.
    pub const fn none() -> Self {
        Self { across_origins: false, ..Self::follow(0) }
    }

    /// Sends the request's body along where a redirect to another origin keeps it: 307, 308, and
    /// 301 or 302 for methods other than `POST`. By default such a redirect is final.
    ///
    /// The body may hold secrets, a `client_secret` for example, and only you know who may have
    /// them. A redirect from http to https is one to another origin.
    pub const fn body_across_origins(self) -> Self {
        Self { body_across_origins: true, ..self }
    }
}

impl Default for Redirects {
    fn default() -> Self {
        Self::follow(MAX_REDIRECTS)
    }
}

/// Why a redirect is not followed.
#[derive(Debug)]
pub(super) struct RefusedRedirect {
    kind: ErrorKind,
    why: &'static str,
}

impl RefusedRedirect {
    /// Returns the error for the response of the request to `target`.
    pub(super) fn into_error(self, target: &Target, head: Parts, body: Bytes) -> Error {
        let message = format!("{} answered {}: {}", target.shown_authority(), head.status, self.why);
        Error::with_response(self.kind, message, head.status, head.headers, body)
    }
}

/// Turns `request` into the one that the redirect in `head` asks for, after `before` redirects in
/// a row.
pub(super) fn follow(
    redirects: Redirects,
    request: &mut HttpRequest,
    head: &Parts,
    before: usize,
) -> Result<(), RefusedRedirect> {
    let refused = |why| Err(RefusedRedirect { kind: ErrorKind::Redirect, why });
    // Told apart from "too many", which is retried.
    if redirects.max == 0 {
        return refused("this stream follows no redirects");
    }
    if before >= redirects.max {
        let why = "more redirects in a row than this stream follows, most likely a loop";
        return Err(RefusedRedirect { kind: ErrorKind::TooManyRedirects, why });
    }
    // By the letter it leads to the URL that was asked; servers send it by mistake.
    if head.headers.get(LOCATION).is_some_and(|location| location.as_bytes().trim_ascii().is_empty()) {
        return refused("its location is empty");
    }
    let Some(target) = destination(&request.target, &head.headers) else {
        return refused("it does not lead to a URL that can be followed");
    };
    if request.target.is_https() && !target.is_https() {
        return refused("it leads from https to http, where others could listen");
    }
    if target.is_https() && !request.has_tls {
        return refused("it leads to https, which needs this crate's feature \"tls\"");
    }
    let same_origin = target.origin() == request.target.origin();
    if !same_origin && !redirects.across_origins {
        return refused("it leads to another origin, which this stream does not follow");
    }
    let becomes_get = becomes_get(head.status, &request.method);
    // With a cookie or credentials of its own the same URL may answer something else.
    let is_changed = becomes_get || target.userinfo.is_some() || head.headers.contains_key(SET_COOKIE);
    if !is_changed && target.uri() == request.target.uri() {
        return Err(RefusedRedirect { kind: ErrorKind::TooManyRedirects, why: "it leads to itself, a loop" });
    }
    if !same_origin && !becomes_get && !request.body.is_empty() && !redirects.body_across_origins {
        return refused(
            "it leads to another origin, which does not get the request's body; \
             Redirects::body_across_origins allows that",
        );
    }
    if becomes_get {
        request.method = Method::GET;
        request.body = Bytes::new();
        // They describe a body that is gone (Fetch, "request-body-header name").
        for name in BODY_HEADERS {
            request.headers.remove(name);
        }
    }
    if !same_origin {
        let safe = request.headers.iter().filter(|(name, _)| SAFE_HEADERS.contains(name));
        request.headers = safe.map(|(name, value)| (name.clone(), value.clone())).collect();
    }
    // Credentials in a `Location` are meant for where it leads, as browsers see it.
    if let Some(value) = target.userinfo.as_ref().and_then(Userinfo::authorization) {
        request.headers.insert(AUTHORIZATION, value);
    }
    request.target = target;
    Ok(())
}

/// Resolves `Location` against `from` (RFC 3986, section 5), without its fragment.
fn destination(from: &Target, headers: &HeaderMap) -> Option<Target> {
    // `Uri` accepts characters that RFC 3986 forbids, so the stream's own URL is encoded as well.
    let base = UriAbsoluteString::try_from(encoded(from.uri().to_string().as_bytes())).ok()?;
    let location = headers.get(LOCATION)?.as_bytes().trim_ascii();
    let reference = UriReferenceString::try_from(encoded(location)).ok()?;
    Target::parse(reference.resolve_against(&base).to_string().parse().ok()?).ok()
}

/// Encodes a URL as people write it in the characters of a URI, without its fragment.
fn encoded(url: &[u8]) -> String {
    let url = url.split(|&byte| byte == b'#').next().unwrap_or_default();
    let (origin, path) = url.split_at(end_of_authority(url));
    let ascii = std::str::from_utf8(origin).ok().and_then(|origin| ascii_origin(origin).ok());
    let mut uri = percent_encode(ascii.as_deref().map_or(origin, str::as_bytes), NOT_IN_A_URI).to_string();
    for (number, part) in path.split(|&byte| byte == b'%').enumerate() {
        if number > 0 {
            // A stray percent sign is encoded, a valid escape is kept.
            let is_encoded = part.get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            uri.push_str(if is_encoded { "%" } else { "%25" });
        }
        uri.extend(percent_encode(part, NOT_IN_A_PATH));
    }
    uri
}

/// Returns true if the redirected request is a GET without a body (Fetch, step 12).
fn becomes_get(status: StatusCode, method: &Method) -> bool {
    match status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => *method == Method::POST,
        // Fetch also excepts HEAD, which no stream uses.
        StatusCode::SEE_OTHER => *method != Method::GET,
        _ => false,
    }
}

// Most of the tests are about https.
#[cfg(all(test, feature = "tls"))]
mod tests {
    use http::{HeaderValue, Response};

    use super::super::header_values::basic_authorization;
    use super::*;

    fn request(method: Method, url: &str) -> HttpRequest {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer secret"),
            ("cookie", "secret=1"),
            ("x-api-key", "secret"),
            ("host", "elsewhere"),
            ("referer", "https://secret/"),
            ("accept-language", "fi"),
            ("last-event-id", "7"),
            ("content-type", "application/json"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let target = Target::parse(url.parse().unwrap()).unwrap();
        let body = Bytes::from_static(if method == Method::GET { b"" } else { b"{}" });
        HttpRequest { method, target, headers, body, compression: true, has_tls: true }
    }

    /// Follows a first redirect, by the default rules.
    fn follow_first(request: &mut HttpRequest, status: u16, location: &[u8]) -> Result<(), RefusedRedirect> {
        follow(Redirects::default(), request, &head(status, location), 0)
    }

    fn head(status: u16, location: &[u8]) -> Parts {
        Response::builder().status(status).header(LOCATION, location).body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_location_is_resolved_against_the_url_of_the_request() {
        let cases: [(&[u8], &str); 14] = [
            (b"https://b/x?y#z", "https://b/x?y"),
            (b"//b/x", "https://b/x"),
            (b"/x/../y", "https://a:8443/y"),
            (b"x", "https://a:8443/p/x"),
            (b"../x", "https://a:8443/x"),
            (b"?new", "https://a:8443/p/q?new"),
            (b"?old", ""),
            (b"", ""),
            (b"#only", ""),
            (b"  /trimmed ", "https://a:8443/trimmed"),
            (b"/with space|bar", "https://a:8443/with%20space%7Cbar"),
            ("/ä".as_bytes(), "https://a:8443/%C3%A4"),
            (b"/\xE4", "https://a:8443/%E4"),
            (b"/a%20b", "https://a:8443/a%20b"),
        ];
        for (location, expected) in cases {
            let mut request = request(Method::GET, "https://a:8443/p/q?old");
            let followed = follow_first(&mut request, 302, location).ok().map(|()| request.target.uri().to_string());
            let location = String::from_utf8_lossy(location);
            assert_eq!(followed.unwrap_or_default(), expected, "{location:?}");
        }
    }

    /// Servers and callers write characters in URLs that RFC 3986 forbids; browsers follow anyway.
    #[test]
    fn a_url_that_breaks_the_rules_is_followed_all_the_same() {
        for (from, location, expected) in [
            ("https://a/p?ids[]=1", "/x", "https://a/x"),
            ("https://a/p?ids[]=1", "https://b/", "https://b/"),
            ("https://a/p?ids[]=1", "p?ids[]=2", "https://a/p?ids%5B%5D=2"),
            ("https://a/p?q=100%", "/x", "https://a/x"),
            ("https://[::1]:8443/p", "/x[1]?y[]=2#z[]", "https://[::1]:8443/x%5B1%5D?y%5B%5D=2"),
            ("https://a/", "//[::1]/x?y[]=2", "https://[::1]/x?y%5B%5D=2"),
            ("https://a/", "https://[::1]?y[]=2", "https://[::1]/?y%5B%5D=2"),
            ("https://a/", "x?u=http://[::1]/", "https://a/x?u=http://%5B::1%5D/"),
            ("https://a/", "/x#a#b", "https://a/x"),
            ("https://a/", "/100%/%zz?%a", "https://a/100%25/%25zz?%25a"),
            #[cfg(feature = "idn")]
            ("https://a/", "//bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
            #[cfg(feature = "idn")]
            ("https://a/", "https://bücher.example:444", "https://xn--bcher-kva.example:444/"),
        ] {
            let mut request = request(Method::GET, from);
            follow_first(&mut request, 302, location.as_bytes()).unwrap();
            assert_eq!(request.target.uri(), expected, "{location:?} from {from}");
        }
    }

    #[test]
    fn a_redirect_that_is_not_followed_is_an_error_with_the_response() {
        for (redirects, before, location, kind) in [
            (Redirects::default(), 0, "http://a/", ErrorKind::Redirect),
            (Redirects::default(), 0, "ftp://a/", ErrorKind::Redirect),
            (Redirects::default(), 0, "https://", ErrorKind::Redirect),
            (Redirects::default(), 0, "https://[::1/", ErrorKind::Redirect),
            (Redirects::default(), 0, "https://[fe80::1%25eth0]/", ErrorKind::Redirect),
            (Redirects::default(), 0, "", ErrorKind::Redirect),
            (Redirects::default(), 0, " ", ErrorKind::Redirect),
            (Redirects::default(), 0, "https://a/", ErrorKind::TooManyRedirects),
            (Redirects::default(), 0, "https://A/#x", ErrorKind::TooManyRedirects),
            (Redirects::default(), 20, "/x", ErrorKind::TooManyRedirects),
            (Redirects::follow(1), 1, "/x", ErrorKind::TooManyRedirects),
            (Redirects::same_origin(), 0, "https://a:444/", ErrorKind::Redirect),
            (Redirects::none(), 0, "/", ErrorKind::Redirect),
            (Redirects::default(), 0, "https://b/", ErrorKind::Redirect),
        ] {
            let mut request = request(Method::POST, "https://a/");
            let head = head(307, location.as_bytes());
            let refused = follow(redirects, &mut request, &head, before).unwrap_err();
            let error = refused.into_error(&request.target, head, Bytes::new());
            assert_eq!((error.kind(), error.status()), (kind, Some(StatusCode::TEMPORARY_REDIRECT)), "{location}");
            assert_eq!(error.headers().unwrap()[LOCATION], location);
        }
        let mut request = request(Method::GET, "https://a/");
        follow(Redirects::same_origin(), &mut request, &head(307, b"https://A:443/x"), 0).unwrap();
    }

    #[test]
    fn a_redirect_to_itself_is_followed_if_it_changes_the_request() {
        let mut to_itself = head(302, b"https://a/");
        follow(Redirects::default(), &mut request(Method::POST, "https://a/"), &to_itself, 0).unwrap();
        let location = b"https://user@a/";
        follow(Redirects::default(), &mut request(Method::GET, "https://a/"), &head(302, location), 0).unwrap();
        follow(Redirects::default(), &mut request(Method::GET, "https://a/"), &to_itself, 0).unwrap_err();
        to_itself.headers.insert(SET_COOKIE, HeaderValue::from_static("a=b"));
        follow(Redirects::default(), &mut request(Method::GET, "https://a/"), &to_itself, 0).unwrap();
    }

    #[test]
    fn method_and_body_are_kept_or_dropped_as_browsers_do() {
        for (status, method, kept) in [
            (301, Method::POST, false),
            (302, Method::POST, false),
            (303, Method::POST, false),
            (303, Method::PUT, false),
            (301, Method::PUT, true),
            (302, Method::PATCH, true),
            (307, Method::POST, true),
            (308, Method::POST, true),
            (303, Method::GET, true),
        ] {
            let mut request = request(method.clone(), "http://a/");
            request.body = Bytes::from_static(b"{}");
            // Another origin gets a body only if it is allowed to.
            let elsewhere = head(status, b"http://b/");
            let refused = follow(Redirects::default(), &mut request, &elsewhere, 0);
            assert_eq!(refused.is_err(), kept, "{status} {method}");
            if refused.is_err() {
                let allowed = Redirects::default().body_across_origins();
                follow(allowed, &mut request, &elsewhere, 0).unwrap();
            }
            let expected = if kept { &method } else { &Method::GET };
            assert_eq!(request.method, *expected, "{status} {method}");
            assert_eq!(request.body.is_empty(), !kept, "{status} {method}");
            assert_eq!(request.headers.contains_key(CONTENT_TYPE), kept, "{status} {method}");
        }
    }

    #[test]
    fn only_safe_headers_reach_another_origin_and_dropped_ones_stay_dropped() {
        let mut request = request(Method::GET, "http://a/");
        let before = request.headers.clone();
        follow_first(&mut request, 302, b"http://a/other").unwrap();
        assert_eq!(request.headers, before, "all of them go along within the origin");
        for location in ["https://a/", "https://b/", "https://a/"] {
            follow_first(&mut request, 302, location.as_bytes()).unwrap();
            let mut names: Vec<_> = request.headers.keys().map(HeaderName::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, ["accept-language", "content-type", "last-event-id"], "{location}");
        }
        follow_first(&mut request, 302, b"https://user:own@b/").unwrap();
        assert_eq!(request.headers[AUTHORIZATION], basic_authorization("user", "own"), "the server's own");
        assert_eq!(request.target.uri(), "https://b/");
    }
}
