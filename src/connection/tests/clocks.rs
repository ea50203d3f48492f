//! What servers say about time, and what clocks do meanwhile.

use std::time::SystemTime;

use super::*;

/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: Duration = Duration::from_secs(784_111_777);
const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A scripted transport in a world whose wall clock stands still, or jumps.
struct Dated {
    scripted: Scripted,
    /// Since 1970.
    now: Mutex<Duration>,
    /// How often the clock was looked at.
    looks: watch::Sender<usize>,
}

impl Connect for Dated {
    fn connect(&self, target: &Target, timeout: Duration) -> BoxFuture<Result<HttpConnection, Error>> {
        self.scripted.connect(target, timeout)
    }

    fn wall_clock(&self) -> SystemTime {
        self.looks.send_modify(|looks| *looks += 1);
        SystemTime::UNIX_EPOCH + *self.now.lock().unwrap()
    }
}

fn dated(now: Duration, scripts: Vec<Script>) -> (Arc<Dated>, Handle) {
    let scripted = Scripted { scripts, asked: watch::Sender::default() };
    let dated = Arc::new(Dated { scripted, now: Mutex::new(now), looks: watch::Sender::default() });
    let policy = ReconnectPolicy::daemon().jitter(0.0);
    let handle = Client::with_connector(dated.clone()).stream("http://host/").reconnect_policy(policy).build().unwrap();
    (dated, handle)
}

/// The seconds between the first attempts, to the tenth.
async fn attempts(dated: &Dated, handle: &Handle, attempts: usize) -> Vec<f64> {
    handle.connect();
    dated.scripted.asked.subscribe().wait_for(|asked| asked.len() >= attempts).await.unwrap();
    let asked = dated.scripted.asked.borrow();
    asked.windows(2).map(|pair| ((pair[1] - pair[0]).as_secs_f64() * 10.0).round() / 10.0).collect()
}

fn busy(headers: &str) -> Script {
    let text = format!("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n{headers}\r\n");
    Script::Answer(text.leak(), AT_ONCE)
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_any_form_lengthens_one_wait_by_an_hour_at_most() {
    for (headers, expected) in [
        ("", 3.0),
        ("retry-after: 0\r\n", 3.0),
        ("retry-after: 2\r\n", 3.0),
        ("retry-after: 120\r\n", 120.0),
        ("retry-after: 3601\r\n", 3600.0),
        ("retry-after: 99999999999999999999\r\n", 3600.0),
        ("retry-after: -1\r\n", 3.0),
        ("retry-after: 1e3\r\n", 3.0),
        ("retry-after: tomorrow\r\n", 3.0),
        ("retry-after: \r\n", 3.0),
        ("retry-after: \u{fc}\r\n", 3.0),
        // In a minute, a minute ago, and never.
        ("retry-after: Sun, 06 Nov 1994 08:50:37 GMT\r\n", 60.0),
        ("retry-after: Sun, 06 Nov 1994 08:48:37 GMT\r\n", 3.0),
        ("retry-after: Fri, 31 Dec 9999 23:59:59 GMT\r\n", 3600.0),
        ("retry-after: Sun, 31 Feb 1994 08:50:37 GMT\r\n", 3.0),
        // By the server's own clock, which is an hour ahead.
        ("date: Sun, 06 Nov 1994 09:49:37 GMT\r\nretry-after: Sun, 06 Nov 1994 09:50:07 GMT\r\n", 30.0),
    ] {
        let (dated, handle) = dated(NOW, vec![busy(headers), Script::Refuse]);
        assert_eq!(attempts(&dated, &handle, 4).await, [expected, 6.0, 12.0], "{headers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_servers_retry_stays_between_100_ms_and_five_minutes() {
    for (retry, expected) in [
        ("0", [0.1, 0.2]),
        ("99", [0.1, 0.2]),
        ("100", [0.1, 0.2]),
        ("1500", [1.5, 3.0]),
        ("299999", [300.0, 300.0]),
        // Ten days, the last number that fits, the first that does not, and twenty digits.
        ("864000000", [300.0, 300.0]),
        ("18446744073709551615", [300.0, 300.0]),
        ("18446744073709551616", [300.0, 300.0]),
        ("99999999999999999999", [300.0, 300.0]),
        // None of these is a number of digits alone.
        ("-1", [3.0, 6.0]),
        ("+5", [3.0, 6.0]),
        ("1.5", [3.0, 6.0]),
        ("", [3.0, 6.0]),
    ] {
        let text = format!("{EMPTY}retry: {retry}\n").leak();
        let (dated, handle) = dated(NOW, vec![Script::Answer(text, AT_ONCE), Script::Refuse]);
        assert_eq!(attempts(&dated, &handle, 3).await, expected, "{retry:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_changes_one_wait_and_that_within_bounds() {
    let by_our_clock = "retry-after: Sun, 06 Nov 1994 08:51:37 GMT\r\n";
    let by_its_own = "date: Sun, 06 Nov 1994 08:49:37 GMT\r\nretry-after: Sun, 06 Nov 1994 08:51:37 GMT\r\n";
    for (headers, now, expected) in [
        (by_our_clock, NOW, 120.0),
        (by_our_clock, NOW + TEN_YEARS, 3.0),
        (by_our_clock, NOW - TEN_YEARS, 3600.0),
        (by_its_own, NOW + TEN_YEARS, 120.0),
        (by_its_own, NOW - TEN_YEARS, 120.0),
    ] {
        let hour = Script::Answer(EVENT, Duration::from_secs(3600));
        let (dated, handle) = dated(now, vec![busy(headers), Script::Refuse, hour, Script::Refuse]);
        assert_eq!(attempts(&dated, &handle, 5).await, [expected, 6.0, 3603.0, 6.0], "{headers} at {now:?}");
        let looks = usize::from(headers == by_our_clock);
        assert_eq!(*dated.looks.borrow(), looks, "the wall clock is for dates without the server's own");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_during_a_wait_or_an_open_response_is_not_looked_at() {
    let hour = Script::Answer(EVENT, Duration::from_secs(3600));
    let (dated, handle) = dated(NOW, vec![Script::Refuse, hour, Script::Refuse]);
    let mut states = handle.state_changes();
    let jumping = async {
        for jump in [NOW + TEN_YEARS, NOW - TEN_YEARS, NOW] {
            while !matches!(states.recv().await, Some(State::Waiting { .. } | State::Open { .. })) {}
            *dated.now.lock().unwrap() = jump;
        }
    };
    let ((), pauses) = tokio::join!(jumping, attempts(&dated, &handle, 4));
    assert_eq!(pauses, [3.0, 3603.0, 6.0]);
    assert_eq!(*dated.looks.borrow(), 0);
}

#[cfg(feature = "cookies")]
#[tokio::test(start_paused = true)]
async fn a_cookie_goes_along_until_the_wall_clock_says_that_it_has_expired() {
    let setting = EVENT.replacen("\r\n\r\n", "\r\nset-cookie: c=1; Max-Age=60\r\n\r\n", 1).leak();
    let heard = Heard::default();
    let answer = |text| Script::Note(Arc::clone(&heard), vec![(AT_ONCE, text)]);
    let scripted = Scripted { scripts: vec![answer(setting), answer(EVENT)], asked: watch::Sender::default() };
    let dated = Arc::new(Dated { scripted, now: Mutex::new(NOW), looks: watch::Sender::default() });
    let mut client = Client::with_connector(dated.clone());
    client.cookies = Some(Arc::new(crate::transport::Jar::default()));
    let handle = client.stream("http://host/").build().unwrap();
    let mut states = handle.state_changes();
    handle.connect();
    for seconds in [0, 59, 60, 61] {
        while !matches!(states.recv().await, Some(State::Waiting { .. })) {}
        *dated.now.lock().unwrap() = NOW + Duration::from_secs(seconds);
    }
    while !matches!(states.recv().await, Some(State::Waiting { .. })) {}
    let sent: Vec<_> = heard.lock().unwrap().iter().map(|(_, request)| request.contains("cookie: c=1\r\n")).collect();
    assert_eq!(sent, [false, true, true, false, false]);
}
