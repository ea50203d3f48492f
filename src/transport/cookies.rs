//! The `Cookie` header (RFC 6265): what the caller has set, and what a jar adds to it.

#[cfg(feature = "cookies")]
mod jar;

use std::fmt;
use std::time::SystemTime;

use http::header::{COOKIE, HeaderMap, HeaderValue};

use crate::error::{Error, ErrorKind};
use crate::transport::target::Target;

use super::MOST_CHOSEN;

#[cfg(feature = "cookies")]
pub(crate) use self::jar::Jar;

/// What keeps the cookies that servers set. `Debug` shows none of them. `now` is by the wall clock, as servers mean it.
pub(crate) trait Cookies: fmt::Debug + Send + Sync {
    /// Names and values for a request to `target`, the most important first.
    fn matching(&self, target: &Target, now: SystemTime) -> Vec<(String, String)>;

    /// Takes what a response from `target` sets.
    fn take(&self, target: &Target, headers: &HeaderMap, now: SystemTime);
}

/// One cookie, as it is sent.
///
/// # Errors
///
/// For a name that is no token, and a value with control characters, whitespace, semicolons, commas, or anything but
/// ASCII: servers would read something else, or another cookie.
pub(crate) fn cookie(name: &str, value: &str) -> Result<HeaderValue, Error> {
    let invalid = |message| Error::new(ErrorKind::InvalidHeader, message);
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

/// The cookies of these headers and one more, or several, in one line: servers expect no second one (RFC 6265,
/// section 5.4).
pub(crate) fn joined(headers: &HeaderMap, more: &[u8]) -> Option<HeaderValue> {
    let values = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).chain([more]);
    let mut line = Vec::new();
    for value in values.filter(|value| !value.is_empty()) {
        if !line.is_empty() {
            line.extend_from_slice(b"; ");
        }
        line.extend_from_slice(value);
    }
    let mut value = HeaderValue::from_bytes(&line).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Adds what a jar has to the caller's own, of which it replaces none.
pub(super) fn add(headers: &mut HeaderMap, of_the_jar: &[(String, String)]) {
    let own = joined(headers, b"");
    let own = own.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
    let names = own.split(|&byte| byte == b';').map(|cookie| {
        let name = cookie.split(|&byte| byte == b'=').next().unwrap_or_default();
        name.trim_ascii()
    });
    let names: Vec<_> = names.collect();
    let mut more = Vec::new();
    for (name, value) in of_the_jar.iter().filter(|(name, _)| !names.contains(&name.as_bytes())) {
        let separator = if more.is_empty() { "" } else { "; " };
        if more.len() + separator.len() + name.len() + 1 + value.len() <= MOST_CHOSEN {
            [separator, name, "=", value].iter().for_each(|part| more.extend_from_slice(part.as_bytes()));
        }
    }
    if let Some(cookies) = joined(headers, &more).filter(|_| !more.is_empty()) {
        headers.insert(COOKIE, cookies);
    }
}
