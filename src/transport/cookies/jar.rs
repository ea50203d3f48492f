//! [`Jar`]: the cookies of a client, in memory and in bounds.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cookie_store::{Cookie, CookieDomain, CookieStore, StoreAction};
use http::HeaderMap;
use http::header::SET_COOKIE;
use url::{Host, Url};

use crate::target::Target;

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
    order: VecDeque<Key>,
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
    fn matching(&self, target: &Target) -> Vec<(String, String)> {
        let Some(url) = url(target) else { return Vec::new() };
        let kept = self.kept();
        let mut cookies = kept.store.matches(&url);
        cookies.sort_by_key(|cookie| (Reverse(cookie.path.len()), cookie.name()));
        cookies.into_iter().map(|cookie| (cookie.name().to_owned(), cookie.value().to_owned())).collect()
    }

    fn take(&self, target: &Target, headers: &HeaderMap) {
        let values = headers.get_all(SET_COOKIE).iter();
        let mut cookies = values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok()).peekable();
        // Most responses set none.
        if cookies.peek().is_none() {
            return;
        }
        let Some(url) = url(target) else { return };
        let mut kept = self.kept();
        for cookie in cookies.filter(|cookie| cookie.len() <= MOST_BYTES) {
            if let Some(cookie) = Cookie::parse(cookie, &url).ok().and_then(|cookie| allowed(cookie, &url)) {
                kept.set(cookie.into_owned(), &url);
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
    fn set(&mut self, cookie: Cookie<'static>, url: &Url) {
        let domain = cookie.domain.as_cow().unwrap_or_default().into_owned();
        let key = Key { domain, path: cookie.path.to_string(), name: cookie.name().to_owned() };
        let old = self.store.get(&key.domain, &key.path, &key.name);
        if old.is_some_and(|old| old.secure() == Some(true)) && !is_secure(url) {
            return;
        }
        match self.store.insert(cookie, url) {
            Ok(StoreAction::Inserted | StoreAction::UpdatedExisting) => {
                self.order.retain(|other| *other != key);
                self.order.push_back(key);
                self.make_room();
            }
            Ok(StoreAction::ExpiredExisting) => self.remove(&key),
            Err(_) => {}
        }
    }

    /// Expired ones go first, then the oldest of the domain, then the oldest of all (RFC 6265, section 5.3).
    fn make_room(&mut self) {
        let Some(newest) = self.order.back() else { return };
        let domain = newest.domain.clone();
        let crowd = |kept: &Self| kept.order.iter().filter(|key| key.domain == domain).count() > MOST_OF_A_DOMAIN;
        if crowd(self) || self.order.len() > MOST {
            let is_expired = |key: &&Key| self.store.get(&key.domain, &key.path, &key.name).is_none();
            let expired: Vec<_> = self.order.iter().filter(is_expired).cloned().collect();
            expired.iter().for_each(|key| self.remove(key));
        }
        let oldest = if crowd(self) {
            self.order.iter().find(|key| key.domain == domain).cloned()
        } else {
            self.order.front().filter(|_| self.order.len() > MOST).cloned()
        };
        oldest.iter().for_each(|key| self.remove(key));
    }

    fn remove(&mut self, key: &Key) {
        self.store.remove(&key.domain, &key.path, &key.name);
        self.order.retain(|other| other != key);
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
