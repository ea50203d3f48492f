//! [`Jar`]: the cookies of a client, in memory, bounded in size and number.
//!
//! `cookie_store` parses cookies and matches them to URLs. The jar adds what it lacks: limits, so
//! that a server cannot fill the memory; expiry by a clock that tests can set; and the checks of
//! RFC 6265bis that keep one server from setting another's cookies.
//!
//! A full jar drops the cookie that was set longest ago: of the same domain if that has more than
//! 50, else of all. A lock guards the jar. It is held for one request or one response, and never
//! across an await.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cookie_store::{Cookie, CookieDomain, CookieExpiration, CookieStore};
use http::HeaderMap;
use http::header::SET_COOKIE;
use url::{Host, Url};

use crate::transport::target::Target;

use super::Cookies;

/// The limits that RFC 6265, section 6.1, names as minimum: bytes of a cookie with its attributes,
/// cookies of a domain, and cookies in all.
const MAX_COOKIE_BYTES: usize = 4096;
const MAX_COOKIES_PER_DOMAIN: usize = 50;
const MAX_COOKIES: usize = 3000;

/// A cookie jar, shared by the streams of a client.
#[derive(Default)]
pub(crate) struct Jar {
    contents: Mutex<JarContents>,
}

/// The cookies, and the order in which they were set.
#[derive(Default)]
struct JarContents {
    store: CookieStore,
    /// Every cookie in the store, the one that was set last at the end.
    order: VecDeque<StoredCookie>,
}

/// A cookie in the store, and when it expires.
struct StoredCookie {
    key: CookieKey,
    /// `None`: when the jar is dropped.
    expires: Option<SystemTime>,
}

impl StoredCookie {
    fn is_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// The identity of a cookie: a second one with the same key replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CookieKey {
    domain: String,
    path: String,
    name: String,
}

impl Jar {
    fn contents(&self) -> MutexGuard<'_, JarContents> {
        // A panic under the lock can at worst have lost a cookie.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cookies for Jar {
    /// Returns the cookies of longer paths first (RFC 6265, section 5.4).
    fn matching(&self, target: &Target, now: SystemTime) -> Vec<(String, String)> {
        let Some(url) = url(target) else { return Vec::new() };
        let mut contents = self.contents();
        contents.remove_expired(now);
        let mut cookies = contents.store.matches(&url);
        cookies.sort_by_key(|cookie| (Reverse(cookie.path.len()), cookie.name()));
        cookies.into_iter().map(|cookie| (cookie.name().to_owned(), cookie.value().to_owned())).collect()
    }

    /// Stores the cookies that fit and that the server may set; ignores the others, as browsers do.
    fn store(&self, target: &Target, headers: &HeaderMap, now: SystemTime) {
        // Most responses set no cookie.
        if !headers.contains_key(SET_COOKIE) {
            return;
        }
        let Some(url) = url(target) else { return };
        let mut contents = self.contents();
        // Expired cookies go first, so that they make room for the new ones.
        contents.remove_expired(now);
        let values = headers.get_all(SET_COOKIE).iter().filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
        for value in values.filter(|value| value.len() <= MAX_COOKIE_BYTES) {
            if let Some(cookie) = Cookie::parse(value, &url).ok().and_then(|cookie| allowed(cookie, &url)) {
                contents.set(cookie.into_owned(), &url, now);
            }
        }
    }
}

impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jar").finish_non_exhaustive()
    }
}

impl JarContents {
    /// Stores one cookie. An expired one removes the cookie that it replaces. Over http, nothing
    /// replaces a secure cookie, so that a listener on the network cannot.
    fn set(&mut self, mut cookie: Cookie<'static>, url: &Url, now: SystemTime) {
        let domain = cookie.domain.as_cow().unwrap_or_default().into_owned();
        let key = CookieKey { domain, path: cookie.path.to_string(), name: cookie.name().to_owned() };
        let old = self.store.get(&key.domain, &key.path, &key.name);
        // A listener on the network could otherwise replace it (RFC 6265bis, section 5.7).
        if old.is_some_and(|old| old.secure() == Some(true)) && !is_secure(url) {
            return;
        }
        let stored = StoredCookie { key, expires: expiry(&cookie, now) };
        // From here on the jar keeps the time, not the store.
        cookie.expires = CookieExpiration::SessionEnd;
        // The store checks that the server may set the cookie, also when it sets it to remove it.
        if self.store.insert(cookie, url).is_err() {
            return;
        }
        // A cookie that is set again is the newest, so a full jar keeps it longest.
        self.order.retain(|other| other.key != stored.key);
        let is_expired = stored.is_expired(now);
        self.order.push_back(stored);
        if is_expired {
            self.remove_expired(now);
        }
        self.make_room();
    }

    /// Removes every expired cookie from the store and from the order.
    fn remove_expired(&mut self, now: SystemTime) {
        let Self { store, order } = self;
        order.retain(|cookie| {
            if cookie.is_expired(now) {
                store.remove(&cookie.key.domain, &cookie.key.path, &cookie.key.name);
            }
            !cookie.is_expired(now)
        });
    }

    /// Removes the oldest cookie of the newest one's domain if that has too many, or the oldest of
    /// all (RFC 6265, section 5.3).
    fn make_room(&mut self) {
        let Some(newest) = self.order.back() else { return };
        let is_of_domain = |cookie: &StoredCookie| cookie.key.domain == newest.key.domain;
        let oldest = if self.order.iter().filter(|cookie| is_of_domain(cookie)).count() > MAX_COOKIES_PER_DOMAIN {
            self.order.iter().position(is_of_domain)
        } else {
            (self.order.len() > MAX_COOKIES).then_some(0)
        };
        if let Some(StoredCookie { key, .. }) = oldest.and_then(|index| self.order.remove(index)) {
            self.store.remove(&key.domain, &key.path, &key.name);
        }
    }
}

/// Returns when a cookie that is set now expires. Its `Max-Age` wins over `Expires` (RFC 6265,
/// section 5.3). A time later than clocks can hold counts as never.
fn expiry(cookie: &Cookie<'_>, now: SystemTime) -> Option<SystemTime> {
    // A negative age means at once (RFC 6265, section 5.2.2).
    let seconds = |seconds: i64| Duration::from_secs(seconds.try_into().unwrap_or(0));
    match (cookie.max_age(), &cookie.expires) {
        (Some(age), _) => now.checked_add(seconds(age.whole_seconds())),
        (None, CookieExpiration::AtUtc(date)) => SystemTime::UNIX_EPOCH.checked_add(seconds(date.unix_timestamp())),
        (None, CookieExpiration::SessionEnd) => None,
    }
}

/// Checks what the library does not check and other clients do (RFC 6265bis, section 5.7).
fn allowed<'a>(mut cookie: Cookie<'a>, url: &Url) -> Option<Cookie<'a>> {
    // The crate has no list of public suffixes, but no server may set cookies for a whole top-level
    // domain, except for a host that is one, like localhost.
    if let CookieDomain::Suffix(domain) = &cookie.domain {
        if !domain.trim_end_matches('.').contains('.') {
            cookie.domain = CookieDomain::host_only(url).ok().filter(|_| url.host_str() == Some(domain))?;
        }
    }
    let secure = cookie.secure() == Some(true);
    let has_prefix = |prefix: &str| cookie.name().get(..prefix.len()).is_some_and(|is| is.eq_ignore_ascii_case(prefix));
    let is_of_host = matches!(cookie.domain, CookieDomain::HostOnly(_)) && &*cookie.path == "/";
    let is_honest = (!has_prefix("__secure-") || secure) && (!has_prefix("__host-") || secure && is_of_host);
    (is_honest && (!secure || is_secure(url))).then_some(cookie)
}

/// Returns true if others cannot listen: https, or a connection that stays on this machine.
fn is_secure(url: &Url) -> bool {
    // The hosts that browsers trust without TLS (W3C Secure Contexts, section 3.1).
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    is_local || url.scheme() == "https"
}

/// Returns the URL as the library wants it.
fn url(target: &Target) -> Option<Url> {
    Url::parse(&target.uri().to_string()).ok()
}

#[cfg(test)]
mod tests;
