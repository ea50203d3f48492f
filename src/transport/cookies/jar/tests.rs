//! Which cookies a jar keeps, and where it sends them.

use http::header::HeaderValue;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, prop_assert, prop_assert_eq, proptest};
use proptest::test_runner::RngSeed;

use super::*;

fn target(url: &str) -> Target {
    Target::parse(url.parse().unwrap()).unwrap()
}

/// Sun, 06 Nov 1994 08:49:37 GMT.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
}

fn set(jar: &Jar, url: &str, cookies: &[&str]) {
    let mut headers = HeaderMap::new();
    for cookie in cookies {
        headers.append(SET_COOKIE, HeaderValue::from_str(cookie).unwrap());
    }
    jar.store(&target(url), &headers, now());
}

fn sent(jar: &Jar, url: &str) -> String {
    sent_after(jar, url, 0)
}

/// Returns the cookies that are sent this many seconds after they were set.
fn sent_after(jar: &Jar, url: &str, seconds: u64) -> String {
    let cookies = jar
        .matching(&target(url), now() + Duration::from_secs(seconds))
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"));
    cookies.collect::<Vec<_>>().join("; ")
}

/// Checks where a cookie is sent that a server at the first URL sets.
#[track_caller]
fn assert_sent(cases: &[(&str, &str, &str, bool)]) {
    for (from, cookie, to, is_sent) in cases {
        let jar = Jar::default();
        set(&jar, from, &[cookie]);
        let expected = if *is_sent { cookie.split(';').next().unwrap() } else { "" };
        assert_eq!(sent(&jar, to), expected, "{cookie:?} from {from}, to {to}");
    }
}

#[test]
fn a_cookie_is_sent_to_its_domain_and_path() {
    assert_sent(&[
        ("http://a.example.com/", "c=1", "http://a.example.com/", true),
        ("http://a.example.com/", "c=1", "http://A.EXAMPLE.com/", true),
        ("http://a.example.com/", "c=1", "http://a.example.com:8080/", true),
        // A cookie is for its host alone, unless it has a domain.
        ("http://a.example.com/", "c=1", "http://b.a.example.com/", false),
        ("http://a.example.com/", "c=1", "http://example.com/", false),
        ("http://a.example.com/", "c=1; Domain=example.com", "http://b.example.com/", true),
        ("http://a.example.com/", "c=1; Domain=.Example.com", "http://example.com/", true),
        ("http://a.example.com/", "c=1; Domain=example.com", "http://notexample.com/", false),
        ("http://a.example.com/", "c=1; Domain=b.example.com", "http://b.example.com/", false),
        ("http://a.example.com/", "c=1; Domain=a.example.com", "http://a.example.com/", true),
        ("http://a.example.com/", "c=1; Domain=", "http://a.example.com/", true),
        // Top-level domains.
        ("http://a.example.com/", "c=1; Domain=com", "http://a.example.com/", false),
        ("http://a.example.com/", "c=1; Domain=.com", "http://b.com/", false),
        ("http://a.example.com./", "c=1; Domain=com.", "http://a.example.com./", false),
        ("http://intranet/", "c=1; Domain=intranet", "http://intranet/", true),
        ("http://intranet/", "c=1; Domain=intranet", "http://a.intranet/", false),
        ("http://127.0.0.1/", "c=1; Domain=127.0.0.1", "http://127.0.0.1/", true),
        ("http://127.0.0.1/", "c=1; Domain=0.0.1", "http://127.0.0.1/", false),
        ("http://[::1]/", "c=1", "http://[::1]:80/", true),
        // A cookie is for its folder, unless it has a path.
        ("http://a.de/x/y", "c=1", "http://a.de/x/z", true),
        ("http://a.de/x/y", "c=1", "http://a.de/x", true),
        ("http://a.de/x/y", "c=1", "http://a.de/", false),
        ("http://a.de/x/y", "c=1; Path=/", "http://a.de/", true),
        ("http://a.de/", "c=1; Path=/x", "http://a.de/x/y?z", true),
        ("http://a.de/", "c=1; Path=/x", "http://a.de/xy", false),
        ("http://a.de/x/y", "c=1; Path=relative", "http://a.de/x/", true),
    ]);
}

#[cfg(feature = "tls")]
#[test]
fn a_secure_cookie_is_set_and_sent_only_where_others_cannot_listen() {
    assert_sent(&[
        ("https://a.de/", "c=1; Secure", "https://a.de/", true),
        ("https://a.de/", "c=1; Secure", "http://a.de/", false),
        ("https://a.de/", "c=1", "http://a.de/", true),
        ("http://a.de/", "c=1; Secure", "https://a.de/", false),
        ("http://127.0.0.1/", "c=1; Secure", "http://127.0.0.1/", true),
        ("https://a.de/", "__Secure-c=1; Secure", "https://a.de/", true),
        ("https://a.de/", "__Secure-c=1", "https://a.de/", false),
        ("https://a.de/", "__Host-c=1; Secure; Path=/", "https://a.de/", true),
        ("https://a.de/", "__Host-c=1; Secure; Path=/x", "https://a.de/x", false),
        ("https://b.a.de/", "__host-c=1; Secure; Path=/; Domain=a.de", "https://b.a.de/", false),
    ]);
    let jar = Jar::default();
    set(&jar, "https://a.de/", &["c=1; Secure"]);
    set(&jar, "http://a.de/", &["c=2"]);
    assert_eq!(sent(&jar, "https://a.de/"), "c=1", "a listener cannot replace it");
}

#[test]
fn a_cookie_expires_and_is_replaced_and_removed() {
    for (then, expected) in [
        ("c=2", "c=2"),
        ("c=2; Max-Age=100", "c=2"),
        ("c=2; Max-Age=0", ""),
        ("c=2; Max-Age=-1", ""),
        ("c=2; Expires=Thu, 01 Jan 1970 00:00:00 GMT", ""),
        ("c=2; Expires=Fri, 31 Dec 9999 23:59:59 GMT", "c=2"),
        ("c=2; Max-Age=99999999999999999999", "c=2"),
        // The age wins over the date.
        ("c=2; Max-Age=100; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "c=2"),
        ("c=2; Max-Age=0; Expires=Fri, 31 Dec 9999 23:59:59 GMT", ""),
        // This is not a cookie of this server.
        ("c=2; Max-Age=0; Domain=b.de", "c=1"),
        ("c=2; Max-Age=0; Path=/x", "c=1"),
        ("c=2; Expires=nonsense", "c=2"),
        ("c=2; Path=/x", "c=1"),
        ("=2", "c=1"),
        ("nonsense", "c=1"),
    ] {
        let jar = Jar::default();
        set(&jar, "http://a.de/", &["c=1", then]);
        assert_eq!(sent(&jar, "http://a.de/"), expected, "{then}");
        let contents = jar.contents();
        assert_eq!(contents.order.len(), contents.store.iter_any().count(), "{then}");
    }
}

#[test]
fn a_cookie_is_sent_until_the_second_in_which_it_expires() {
    for (cookie, seconds) in [
        ("c=1; Max-Age=1", 1),
        ("c=1; Max-Age=60", 60),
        ("c=1; Expires=Sun, 06 Nov 1994 08:50:37 GMT", 60),
        ("c=1; Expires=Sunday, 06-Nov-94 08:50:37 GMT", 60),
        ("c=1; Max-Age=60; Expires=Sun, 06 Nov 1994 08:49:38 GMT", 60),
        ("c=1; Max-Age=86400; Domain=a.de; Path=/", 86400),
    ] {
        let jar = Jar::default();
        set(&jar, "http://a.de/", &[cookie, "always=1"]);
        assert_eq!(sent_after(&jar, "http://a.de/", seconds - 1), "always=1; c=1", "{cookie}");
        assert_eq!(sent_after(&jar, "http://a.de/", seconds), "always=1", "{cookie}");
        let contents = jar.contents();
        assert_eq!((contents.order.len(), contents.store.iter_any().count()), (1, 1), "{cookie}: it is gone");
    }
}

#[test]
fn a_cookie_that_is_set_again_takes_the_newer_expiry() {
    let jar = Jar::default();
    for (cookie, after, expected) in [
        ("c=1; Max-Age=60", 59, "c=1"),
        ("c=2; Max-Age=10", 10, ""),
        ("c=3", 1_000_000_000, "c=3"),
        ("c=4; Max-Age=60", 60, ""),
    ] {
        set(&jar, "http://a.de/", &[cookie]);
        assert_eq!(sent_after(&jar, "http://a.de/", after), expected, "{cookie}");
    }
}

/// Some machines learn the time only after they have started.
#[test]
fn a_clock_that_is_set_back_or_forth_loses_at_most_a_cookie() {
    let jar = Jar::default();
    set(&jar, "http://a.de/", &["c=1; Max-Age=60", "d=1"]);
    let cookies = |at| jar.matching(&target("http://a.de/"), at).len();
    assert_eq!(cookies(SystemTime::UNIX_EPOCH), 2);
    assert_eq!(cookies(now() + Duration::from_secs(60)), 1);
    assert_eq!(cookies(now()), 1);
}

#[test]
fn cookies_of_longer_paths_come_first() {
    let jar = Jar::default();
    set(&jar, "http://a.de/", &["c=1; Path=/", "b=2; Path=/x", "a=3; Path=/", "c=4; Path=/x/y"]);
    assert_eq!(sent(&jar, "http://a.de/x/y/z"), "c=4; b=2; a=3; c=1");
}

#[test]
fn a_server_cannot_fill_the_jar() {
    let jar = Jar::default();
    let long = |length: usize| format!("long={}", "x".repeat(length - "long=".len()));
    set(&jar, "http://a.de/", &[&long(4096), &long(4097).replace("long", "over")]);
    assert_eq!(sent(&jar, "http://a.de/"), long(4096));
    // The cookies that were set last stay.
    for number in 0..60 {
        set(&jar, "http://a.de/", &[&format!("c{number:02}=1"), "kept=1"]);
    }
    let cookies = sent(&jar, "http://a.de/");
    assert_eq!(cookies.split("; ").count(), 50);
    assert!(cookies.starts_with("c11=1; ") && cookies.ends_with("c59=1; kept=1"), "{cookies}");
    for host in 0..3100 {
        set(&jar, &format!("http://h{host}.de/"), &["c=1"]);
    }
    let contents = jar.contents();
    assert_eq!((contents.order.len(), contents.store.iter_any().count()), (3000, 3000));
}

#[test]
fn expired_cookies_make_room_for_others() {
    let jar = Jar::default();
    set(&jar, "http://a.de/", &["oldest=1"]);
    for number in 0..49 {
        set(&jar, "http://a.de/", &[&format!("c{number:02}=1; Max-Age=10")]);
    }
    let mut headers = HeaderMap::new();
    headers.append(SET_COOKIE, HeaderValue::from_static("newest=1"));
    jar.store(&target("http://a.de/"), &headers, now() + Duration::from_secs(10));
    assert_eq!(sent_after(&jar, "http://a.de/", 10), "newest=1; oldest=1");
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 500,
        rng_seed: RngSeed::Fixed(0x5353_4521),
        failure_persistence: None,
        ..Default::default()
    }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn a_jar_stays_consistent_for_any_cookie_that_a_server_sets(cookies in vec(set_cookie(), 0..8)) {
        let jar = Jar::default();
        let cookies: Vec<_> = cookies.iter().map(String::as_str).collect();
        set(&jar, "http://www.a.de/x/y", &cookies);
        let sent = sent(&jar, "http://www.a.de/x/y");
        prop_assert!(HeaderValue::from_str(&sent).is_ok());
        let contents = jar.contents();
        prop_assert_eq!(contents.order.len(), contents.store.iter_any().count());
    }
}

/// Known attributes, with values that may be invalid.
fn set_cookie() -> impl Strategy<Value = String> {
    let name = "(domain|path|expires|max-age|secure|httponly|Domain|x)";
    let value = "(|/|/x|de|a\\.de|\\.a\\.de|www\\.a\\.de|-?[0-9]{1,20}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{8} GMT|[ -~]{0,12})";
    ("[a-c]{0,1}=[ -~]{0,8}", vec((name, value), 0..4)).prop_map(|(pair, attributes)| {
        let attributes = attributes.into_iter().map(|(name, value)| format!("; {name}={value}"));
        pair + &attributes.collect::<String>()
    })
}

#[test]
fn debug_shows_no_cookie_of_a_jar() {
    let jar = Jar::default();
    set(&jar, "http://a.de/", &["name=secret"]);
    assert_eq!(format!("{jar:?}"), "Jar { .. }");
}
