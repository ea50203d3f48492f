//! The `Cookie` header (RFC 6265): the caller's cookies, joined by those of a jar.
//!
//! The caller's cookies win over those of the same name from the jar. A server must not be able to
//! make the header longer than other servers accept, so the jar's cookies stop at
//! [`MAX_ECHOED_VALUE`] bytes.

#[cfg(feature = "cookies")]
mod jar;

use std::fmt;
use std::time::SystemTime;

use http::header::{COOKIE, HeaderMap, HeaderValue};

use crate::error::{Error, ErrorKind};
use crate::transport::target::Target;

use super::header_values::MAX_ECHOED_VALUE;

#[cfg(feature = "cookies")]
pub(crate) use self::jar::Jar;

/// A store of the cookies that servers set. `Debug` must show none of them. `now` is wall-clock
/// time, as servers mean it.
pub(crate) trait Cookies: fmt::Debug + Send + Sync {
    /// Returns names and values for a request to `target`, the most important first.
    fn matching(&self, target: &Target, now: SystemTime) -> Vec<(String, String)>;

    /// Stores the cookies that a response from `target` sets.
    fn store(&self, target: &Target, headers: &HeaderMap, now: SystemTime);
}

/// Returns one cookie as it is sent: `name=value`.
///
/// # Errors
///
/// For a name that is no token, and for a value with control characters, whitespace, semicolons,
/// commas or characters outside of ASCII: servers would read another value, or another cookie.
pub(crate) fn cookie(name: &str, value: &str) -> Result<HeaderValue, Error> {
    let invalid = |message| Error::new(ErrorKind::InvalidHeader, message);
    // RFC 2616, section 2.2, as RFC 6265 refers to it.
    let is_token = |byte: u8| byte.is_ascii_graphic() && !br#"()<>@,;:\"/[]?={}"#.contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(invalid("a cookie cannot have this name: letters, digits and some signs only"));
    }
    if !value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';' && byte != b',') {
        return Err(invalid("a cookie cannot have this value: no whitespace, semicolons and commas, and only ASCII"));
    }
    let cookie = HeaderValue::try_from(format!("{name}={value}"));
    cookie.map_err(|error| Error::with_source(ErrorKind::InvalidHeader, "HTTP cannot carry this cookie", error))
}

/// Joins the cookies of these headers and `more` in one line: servers expect only one (RFC 6265,
/// section 5.4).
pub(crate) fn join_cookies(headers: &HeaderMap, more: &[u8]) -> Option<HeaderValue> {
    let values = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).chain([more]);
    let line = values.filter(|value| !value.is_empty()).collect::<Vec<_>>().join(&b"; "[..]);
    let mut value = HeaderValue::from_bytes(&line).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Adds the cookies of a jar to the caller's, which win over those of the same name. Cookies that
/// do not fit into the header are left out.
pub(super) fn add_jar_cookies(headers: &mut HeaderMap, jar_cookies: &[(String, String)]) {
    let own = join_cookies(headers, b"");
    let own = own.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
    let own_names: Vec<_> = own
        .split(|&byte| byte == b';')
        .map(|cookie| cookie.split(|&byte| byte == b'=').next().unwrap_or_default().trim_ascii())
        .collect();
    let mut more = String::new();
    for (name, value) in jar_cookies.iter().filter(|(name, _)| !own_names.contains(&name.as_bytes())) {
        let separator = if more.is_empty() { "" } else { "; " };
        // A shorter cookie may still fit after one that does not.
        if more.len() + separator.len() + name.len() + 1 + value.len() <= MAX_ECHOED_VALUE {
            more.extend([separator, name, "=", value]);
        }
    }
    if more.is_empty() {
        return;
    }
    if let Some(cookies) = join_cookies(headers, more.as_bytes()) {
        headers.insert(COOKIE, cookies);
    }
}
