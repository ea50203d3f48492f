//! [`retry_after`]: the wait that a server asks for with a refusal.

use std::time::{Duration, SystemTime};

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName};

/// Maximum wait that a server's `Retry-After` causes: maintenance ends earlier than announced, and
/// a date in the year 9999 is a mistake.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// The header in which some servers, of LLMs above all, say the same in milliseconds.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Returns how long a refused response asks clients to wait (RFC 9110, section 10.2.3), at most an
/// hour. A date counts from the response's own `Date`, because clocks differ, or from `now` if it
/// has none.
pub(super) fn retry_after(headers: &HeaderMap, now: impl FnOnce() -> Option<SystemTime>) -> Option<Duration> {
    let text = |name: HeaderName| Some(headers.get(name)?.to_str().ok()?.trim());
    let date = |name| parse_date(text(name)?);
    let milliseconds = text(RETRY_AFTER_MS).and_then(rounded_up).map(Duration::from_millis);
    let seconds = || text(RETRY_AFTER).and_then(rounded_up).map(Duration::from_secs);
    // The server's own clock, if it says: this machine's may be wrong by hours. A date in the past
    // needs no wait.
    let until = || Some(date(RETRY_AFTER)?.duration_since(date(DATE).or_else(now)?).unwrap_or_default());
    let wait = milliseconds.or_else(seconds).or_else(until)?;
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(feature = "client")]
fn parse_date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

/// Dates are rare, and not worth a dependency where nothing waits for them.
#[cfg(not(feature = "client"))]
fn parse_date(_text: &str) -> Option<SystemTime> {
    None
}

/// Returns a number, rounded up: the standard has whole seconds, but servers send fractions.
fn rounded_up(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    // Checked digit by digit: `parse` would accept a sign, and RFC 9110, section 10.2.3, does not.
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    // A number that does not fit is more than an hour.
    let up = |whole: &str| whole.parse().unwrap_or(u64::MAX).saturating_add((!is_zero(fraction)).into());
    (is_number(whole) && is_number(fraction)).then(|| up(whole))
}

fn is_zero(digits: &str) -> bool {
    digits.bytes().all(|digit| digit == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "client")]
    #[test]
    fn a_retry_after_is_seconds_or_a_date_and_never_more_than_an_hour() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        let date = Some("Sun, 06 Nov 1994 09:49:37 GMT");
        for (text, sent, expected) in [
            ("0", None, Some(0)),
            ("120", None, Some(120)),
            ("3601", None, Some(3600)),
            ("99999999999999999999999", None, Some(3600)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", None, Some(30)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", None, Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", None, Some(3600)),
            ("Sun, 06 Nov 1994 09:50:07 GMT", date, Some(30)),
            ("Sunday, 06-Nov-94 08:50:07 GMT", None, Some(30)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some("yesterday"), Some(30)),
            ("-1", None, None),
            ("+1", None, None),
            ("2.5", None, Some(3)),
            ("2.0", None, Some(2)),
            ("0.001", None, Some(1)),
            ("18446744073709551615.9", None, Some(3600)),
            (".5", None, None),
            ("2.", None, None),
            ("2.5.1", None, None),
            ("2.-5", None, None),
            ("1e3", None, None),
            ("2,5", None, None),
            ("NaN", None, None),
            ("soon", None, None),
            ("", None, None),
        ] {
            let mut headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            headers.extend(sent.map(|sent| (DATE, sent.parse().unwrap())));
            assert_eq!(retry_after(&headers, || Some(now)), expected.map(Duration::from_secs), "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), || Some(now)), None);
    }

    #[test]
    fn a_retry_after_in_milliseconds_comes_first_if_it_is_a_number() {
        for (milliseconds, seconds, expected) in [
            ("2500", None, Some(2500)),
            ("2500", Some("60"), Some(2500)),
            ("2500.2", None, Some(2501)),
            ("0", Some("60"), Some(0)),
            ("99999999999999999999999", None, Some(3_600_000)),
            ("soon", Some("60"), Some(60_000)),
            ("-2500", Some("1.5"), Some(2000)),
            ("-2500", None, None),
            ("", None, None),
        ] {
            let mut headers = HeaderMap::from_iter([(RETRY_AFTER_MS, milliseconds.parse().unwrap())]);
            headers.extend(seconds.map(|seconds| (RETRY_AFTER, seconds.parse().unwrap())));
            let expected = expected.map(Duration::from_millis);
            assert_eq!(retry_after(&headers, || None), expected, "{milliseconds:?}, {seconds:?}");
        }
    }
}
