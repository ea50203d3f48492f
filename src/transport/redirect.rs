//! Where a redirect leads, and what goes along: a pure function (Fetch, section 4.4, "HTTP-redirect fetch", and this
//! crate's defaults for daemons).

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LOCATION, CONTENT_TYPE, HeaderName, LOCATION, USER_AGENT,
};
use http::response::Parts;
use http::{HeaderMap, Method, StatusCode};
use iri_string::types::{UriAbsoluteString, UriReferenceString};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use crate::error::{Error, ErrorKind};
use crate::transport::target::Target;

use super::Attempt;
use super::headers::{LAST_EVENT_ID, basic_authorization, header};

/// What goes along to another origin: the names of headers that hold nothing to be kept from it. A list of what may,
/// not of what must not: nobody but the caller knows which headers are secrets.
const SAFE: [HeaderName; 9] = [
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

/// What describes a body, and goes with it.
const OF_THE_BODY: [HeaderName; 4] = [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE];

/// What people write in URLs that no URI can hold; what is not ASCII is encoded as well (URL standard, section 1.3).
const NOT_IN_A_URI: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// Brackets are for IPv6 addresses alone (RFC 3986, section 3.2.2), and often part of a query.
const NOT_IN_A_PATH: &AsciiSet = &NOT_IN_A_URI.add(b'[').add(b']');

/// Why a redirect is not followed.
#[derive(Debug)]
pub(super) enum Refused {
    /// There have been too many.
    TooMany,
    /// For good, for this reason.
    Never(&'static str),
}

/// The attempt goes on where `head` says, after so many redirects before.
pub(super) fn follow(attempt: &mut Attempt, head: &Parts, before: usize) -> Result<(), Refused> {
    let most = attempt.redirects.most();
    if most == 0 {
        return Err(Refused::Never("redirects are not followed here"));
    }
    if before >= most {
        return Err(Refused::TooMany);
    }
    let Some(target) = destination(&attempt.target, &head.headers) else {
        return Err(Refused::Never("it does not lead to a URL that can be followed"));
    };
    if attempt.target.is_https() && !target.is_https() {
        return Err(Refused::Never("it leads from https to http, where others could listen"));
    }
    let same_origin = target.has_origin_of(&attempt.target);
    if !same_origin && !attempt.redirects.cross_origins() {
        return Err(Refused::Never("it leads to another origin, which is not followed here"));
    }
    if becomes_get(head.status, &attempt.method) {
        attempt.method = Method::GET;
        attempt.body = Bytes::new();
        OF_THE_BODY.iter().for_each(|name| drop(attempt.headers.remove(name)));
    }
    if !same_origin {
        attempt.headers = safe(&attempt.headers);
    }
    if let Some(userinfo) = target.userinfo() {
        let value = basic_authorization(&userinfo.user, &userinfo.password);
        attempt.headers.extend(header(AUTHORIZATION, value).ok().map(|(name, value)| (Some(name), value)));
    }
    attempt.target = target;
    Ok(())
}

/// The error for the response whose redirect is not followed.
pub(super) fn refusal(refused: Refused, attempt: &Attempt, head: Parts, body: Bytes) -> Error {
    let (kind, why) = match refused {
        Refused::TooMany => (ErrorKind::TooManyRedirects, "too many redirects in a row"),
        Refused::Never(why) => (ErrorKind::Redirect, why),
    };
    let message = format!("{} answered {}: {why}", attempt.target.authority(), head.status);
    Error::with_response(kind, message, head.status, head.headers, body)
}

/// Where the `Location` leads: relative to `from` (RFC 3986, section 5), without its fragment.
fn destination(from: &Target, headers: &HeaderMap) -> Option<Target> {
    let base = UriAbsoluteString::try_from(encoded(from.uri().to_string().as_bytes())).ok()?;
    let location = headers.get(LOCATION)?.as_bytes().trim_ascii();
    let reference = UriReferenceString::try_from(encoded(location)).ok()?;
    Target::parse(reference.resolve_against(&base).to_string().parse().ok()?).ok()
}

/// A URL as people write it, in the letters of a URI, without its fragment.
fn encoded(url: &[u8]) -> String {
    let url = url.split(|&byte| byte == b'#').next().unwrap_or_default();
    let (origin, path) = url.split_at(end_of_authority(url));
    let mut uri = percent_encode(origin, NOT_IN_A_URI).to_string();
    for (number, part) in path.split(|&byte| byte == b'%').enumerate() {
        if number > 0 {
            let is_encoded = part.get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            uri.push_str(if is_encoded { "%" } else { "%25" });
        }
        uri.extend(percent_encode(part, NOT_IN_A_PATH));
    }
    uri
}

/// Where path and query of a URL begin, which may be relative.
fn end_of_authority(url: &[u8]) -> usize {
    let is_path = |byte: &u8| matches!(byte, b'/' | b'?');
    let Some(slashes) = memchr::memmem::find(url, b"//") else { return 0 };
    let scheme = &url[..slashes];
    if !scheme.is_empty() && (!scheme.ends_with(b":") || scheme.iter().any(is_path)) {
        return 0;
    }
    let authority = slashes + 2;
    url[authority..].iter().position(is_path).map_or(url.len(), |end| authority + end)
}

/// Whether the method is lost on the way, and the body with it (Fetch, step 12).
fn becomes_get(status: StatusCode, method: &Method) -> bool {
    match status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => *method == Method::POST,
        StatusCode::SEE_OTHER => *method != Method::GET,
        _ => false,
    }
}

fn safe(headers: &HeaderMap) -> HeaderMap {
    let kept = headers.iter().filter(|(name, _)| SAFE.contains(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

// Most of them are about https.
#[cfg(all(test, feature = "tls"))]
mod tests {
    use std::time::Duration;

    use http::{HeaderValue, Response};

    use crate::transport::Redirects;

    use super::*;

    fn attempt(method: Method, url: &str) -> Attempt {
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
        Attempt {
            method,
            target: Target::parse(url.parse().unwrap()).unwrap(),
            headers,
            body: Bytes::from_static(b"{}"),
            compression: true,
            cookies: None,
            redirects: Redirects::default(),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
        }
    }

    fn head(status: u16, location: &[u8]) -> Parts {
        Response::builder().status(status).header(LOCATION, location).body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_location_is_resolved_against_the_url_that_was_asked() {
        let cases: [(&[u8], &str); 13] = [
            (b"https://b/x?y#z", "https://b/x?y"),
            (b"//b/x", "https://b/x"),
            (b"/x/../y", "https://a:8443/y"),
            (b"x", "https://a:8443/p/x"),
            (b"../x", "https://a:8443/x"),
            (b"?new", "https://a:8443/p/q?new"),
            (b"", "https://a:8443/p/q?old"),
            (b"#only", "https://a:8443/p/q?old"),
            (b"  /trimmed ", "https://a:8443/trimmed"),
            (b"/with space|bar", "https://a:8443/with%20space%7Cbar"),
            ("/ä".as_bytes(), "https://a:8443/%C3%A4"),
            (b"/\xE4", "https://a:8443/%E4"),
            (b"/a%20b", "https://a:8443/a%20b"),
        ];
        for (location, expected) in cases {
            let mut attempt = attempt(Method::GET, "https://a:8443/p/q?old");
            let followed =
                follow(&mut attempt, &head(302, location), 0).ok().map(|()| attempt.target.uri().to_string());
            let location = String::from_utf8_lossy(location);
            assert_eq!(followed.unwrap_or_default(), expected, "{location:?}");
        }
    }

    /// Servers and callers write in URLs what RFC 3986 does not have; browsers follow all the same.
    #[test]
    fn what_a_url_holds_against_the_rules_keeps_no_redirect_from_being_followed() {
        for (from, location, expected) in [
            ("https://a/p?ids[]=1", "/x", "https://a/x"),
            ("https://a/p?ids[]=1", "https://b/", "https://b/"),
            ("https://a/p?ids[]=1", "", "https://a/p?ids%5B%5D=1"),
            ("https://a/p?q=100%", "/x", "https://a/x"),
            ("https://[::1]:8443/p", "/x[1]?y[]=2#z[]", "https://[::1]:8443/x%5B1%5D?y%5B%5D=2"),
            ("https://a/", "//[::1]/x?y[]=2", "https://[::1]/x?y%5B%5D=2"),
            ("https://a/", "https://[::1]?y[]=2", "https://[::1]/?y%5B%5D=2"),
            ("https://a/", "x?u=http://[::1]/", "https://a/x?u=http://%5B::1%5D/"),
            ("https://a/", "/x#a#b", "https://a/x"),
            ("https://a/", "/100%/%zz?%a", "https://a/100%25/%25zz?%25a"),
        ] {
            let mut attempt = attempt(Method::GET, from);
            follow(&mut attempt, &head(302, location.as_bytes()), 0).unwrap();
            assert_eq!(attempt.target.uri(), expected, "{location:?} from {from}");
        }
    }

    #[test]
    fn what_cannot_or_must_not_be_followed_is_an_error_with_the_response() {
        let no_redirects = Redirects::none();
        for (redirects, before, location, kind) in [
            (Redirects::default(), 0, "http://a/", ErrorKind::Redirect),
            (Redirects::default(), 0, "ftp://a/", ErrorKind::Redirect),
            (Redirects::default(), 0, "https://", ErrorKind::Redirect),
            (Redirects::default(), 0, "https://[::1/", ErrorKind::Redirect),
            (Redirects::default(), 20, "/", ErrorKind::TooManyRedirects),
            (Redirects::follow(1), 1, "/", ErrorKind::TooManyRedirects),
            (Redirects::same_origin(), 0, "https://a:444/", ErrorKind::Redirect),
            (no_redirects, 0, "/", ErrorKind::Redirect),
        ] {
            let mut attempt = Attempt { redirects, ..attempt(Method::GET, "https://a/") };
            let head = head(307, location.as_bytes());
            let refused = follow(&mut attempt, &head, before).unwrap_err();
            let error = refusal(refused, &attempt, head, Bytes::new());
            assert_eq!((error.kind(), error.status()), (kind, Some(StatusCode::TEMPORARY_REDIRECT)), "{location}");
            assert_eq!(error.headers().unwrap()[LOCATION], location);
        }
        let mut attempt = Attempt { redirects: Redirects::same_origin(), ..attempt(Method::GET, "https://a/") };
        follow(&mut attempt, &head(307, b"https://A:443/x"), 0).unwrap();
    }

    #[test]
    fn the_method_and_the_body_are_kept_or_dropped_as_browsers_do() {
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
            let mut attempt = attempt(method.clone(), "http://a/");
            follow(&mut attempt, &head(status, b"/b"), 0).unwrap();
            let expected = if kept { &method } else { &Method::GET };
            assert_eq!(attempt.method, *expected, "{status} {method}");
            assert_eq!(attempt.body.is_empty(), !kept, "{status} {method}");
            assert_eq!(attempt.headers.contains_key(CONTENT_TYPE), kept, "{status} {method}");
        }
    }

    #[test]
    fn only_safe_headers_reach_another_origin_and_what_was_left_behind_stays_there() {
        let mut attempt = attempt(Method::GET, "http://a/");
        let before = attempt.headers.clone();
        follow(&mut attempt, &head(302, b"http://a/other"), 0).unwrap();
        assert_eq!(attempt.headers, before, "all of them go along within the origin");
        for location in ["https://a/", "https://b/", "https://a/"] {
            follow(&mut attempt, &head(302, location.as_bytes()), 0).unwrap();
            let mut names: Vec<_> = attempt.headers.keys().map(HeaderName::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, ["accept-language", "content-type", "last-event-id"], "{location}");
        }
        follow(&mut attempt, &head(302, b"https://user:own@b/"), 0).unwrap();
        assert_eq!(attempt.headers[AUTHORIZATION], basic_authorization("user", "own"), "the server's own");
        assert_eq!(attempt.target.uri(), "https://b/");
    }
}
