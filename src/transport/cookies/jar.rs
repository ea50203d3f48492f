//! [`Jar`]: the cookies of a client, in memory and in bounds.
//!
//! When a cookie expires is the jar's own business: the library asks the system's clock, which no test can set.

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

/// What RFC 6265, section 6.1, wants of user agents at least is what servers get at most: bytes of a cookie with its
/// attributes, cookies of a domain, and cookies in all.
const MOST_BYTES: usize = 4096;
const MOST_OF_A_DOMAIN: usize = 50;
const MOST: usize = 3000;

/// Shared by the streams of a client.
#[derive(Default)]
pub(crate) struct Jar {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    store: CookieStore,
    /// Every cookie in the store, the one that was set last at the end.
    order: VecDeque<Entry>,
}

struct Entry {
    key: Key,
    /// `None`: with the jar.
    expires: Option<SystemTime>,
}

impl Entry {
    fn is_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    domain: String,
    path: String,
    name: String,
}

impl Jar {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A panic elsewhere can at worst have lost a cookie.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cookies for Jar {
    /// Those of longer paths first (RFC 6265, section 5.4).
    fn matching(&self, target: &Target, now: SystemTime) -> Vec<(String, String)> {
        let Some(url) = url(target) else { return Vec::new() };
        let mut kept = self.kept();
        kept.forget_expired(now);
        let mut cookies = kept.store.matches(&url);
        cookies.sort_by_key(|cookie| (Reverse(cookie.path.len()), cookie.name()));
        cookies.into_iter().map(|cookie| (cookie.name().to_owned(), cookie.value().to_owned())).collect()
    }

    fn take(&self, target: &Target, headers: &HeaderMap, now: SystemTime) {
        let values = headers.get_all(SET_COOKIE).iter();
        let mut cookies = values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok()).peekable();
        // Most responses set none.
        if cookies.peek().is_none() {
            return;
        }
        let Some(url) = url(target) else { return };
        let mut kept = self.kept();
        // They go before others have to make room.
        kept.forget_expired(now);
        for cookie in cookies.filter(|cookie| cookie.len() <= MOST_BYTES) {
            if let Some(cookie) = Cookie::parse(cookie, &url).ok().and_then(|cookie| allowed(cookie, &url)) {
                kept.set(cookie.into_owned(), &url, now);
            }
        }
    }
}

impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jar").finish_non_exhaustive()
    }
}

impl Kept {
    fn set(&mut self, mut cookie: Cookie<'static>, url: &Url, now: SystemTime) {
        let domain = cookie.domain.as_cow().unwrap_or_default().into_owned();
        let key = Key { domain, path: cookie.path.to_string(), name: cookie.name().to_owned() };
        let old = self.store.get(&key.domain, &key.path, &key.name);
        if old.is_some_and(|old| old.secure() == Some(true)) && !is_secure(url) {
            return;
        }
        let entry = Entry { key, expires: expiry(&cookie, now) };
        cookie.expires = CookieExpiration::SessionEnd;
        // Whether the server may set it is checked here, also for one that it sets to remove it.
        if self.store.insert(cookie, url).is_err() {
            return;
        }
        if entry.is_expired(now) {
            self.remove(&entry.key);
        } else {
            self.order.retain(|other| other.key != entry.key);
            self.order.push_back(entry);
            self.make_room();
        }
    }

    fn forget_expired(&mut self, now: SystemTime) {
        let expired = self.order.iter().filter(|entry| entry.is_expired(now)).map(|entry| entry.key.clone());
        expired.collect::<Vec<_>>().iter().for_each(|key| self.remove(key));
    }

    /// The oldest of the domain goes first, then the oldest of all (RFC 6265, section 5.3).
    fn make_room(&mut self) {
        let Some(Entry { key: newest, .. }) = self.order.back() else { return };
        let mut of_the_domain = self.order.iter().filter(|entry| entry.key.domain == newest.domain);
        let oldest = if of_the_domain.clone().count() > MOST_OF_A_DOMAIN {
            of_the_domain.next()
        } else {
            self.order.front().filter(|_| self.order.len() > MOST)
        };
        let oldest = oldest.map(|entry| entry.key.clone());
        oldest.iter().for_each(|key| self.remove(key));
    }

    fn remove(&mut self, key: &Key) {
        self.store.remove(&key.domain, &key.path, &key.name);
        self.order.retain(|other| other.key != *key);
    }
}

/// When a cookie that is set now expires: its age goes before its date (RFC 6265, section 5.3), and what is later than
/// clocks can say is never.
fn expiry(cookie: &Cookie<'_>, now: SystemTime) -> Option<SystemTime> {
    let seconds = |seconds: i64| Duration::from_secs(seconds.try_into().unwrap_or(0));
    match (cookie.max_age(), &cookie.expires) {
        (Some(age), _) => now.checked_add(seconds(age.whole_seconds())),
        (None, CookieExpiration::AtUtc(date)) => SystemTime::UNIX_EPOCH.checked_add(seconds(date.unix_timestamp())),
        (None, CookieExpiration::SessionEnd) => None,
    }
}

/// What the library does not check, and everybody else does (RFC 6265bis, section 5.7).
fn allowed<'a>(mut cookie: Cookie<'a>, url: &Url) -> Option<Cookie<'a>> {
    // There is no list of public suffixes here, but whole top-level domains are none of a server's business.
    if let CookieDomain::Suffix(domain) = &cookie.domain {
        if !domain.trim_end_matches('.').contains('.') {
            // Except that of a host which is nothing else: localhost, say.
            cookie.domain = CookieDomain::host_only(url).ok().filter(|_| url.host_str() == Some(domain))?;
        }
    }
    let secure = cookie.secure() == Some(true);
    let has_prefix = |prefix: &str| cookie.name().get(..prefix.len()).is_some_and(|is| is.eq_ignore_ascii_case(prefix));
    let is_of_host = matches!(cookie.domain, CookieDomain::HostOnly(_)) && &*cookie.path == "/";
    let is_honest = (!has_prefix("__secure-") || secure) && (!has_prefix("__host-") || secure && is_of_host);
    (is_honest && (!secure || is_secure(url))).then_some(cookie)
}

/// Whether nobody can listen: https, and what does not leave the machine.
fn is_secure(url: &Url) -> bool {
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    is_local || url.scheme() == "https"
}

fn url(target: &Target) -> Option<Url> {
    Url::parse(&target.uri().to_string()).ok()
}

#[cfg(test)]
mod tests;
