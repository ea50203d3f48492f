//! The back-off as tables.

use http::{HeaderMap, StatusCode};

use super::*;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn transport_fault() -> Error {
    Error::new(ErrorKind::Connect, "refused")
}

fn status(status: u16) -> Error {
    let status = StatusCode::from_u16(status).unwrap();
    Error::with_response(ErrorKind::Status, "no", status, HeaderMap::new(), bytes::Bytes::new())
}

fn after(error: &Error, retries: u32) -> Failure<'_> {
    Failure::new(error).with_retries(retries)
}

fn wait(policy: &ReconnectPolicy, failure: Failure<'_>, random: f64) -> Option<f64> {
    match policy.decide(failure, random) {
        Decision::RetryAfter(delay) => Some(delay.as_secs_f64()),
        Decision::Stop => None,
    }
}

#[test]
fn waits_double_up_to_a_minute_and_jitter_only_lengthens() {
    let error = transport_fault();
    for (base, retries, random, expected) in [
        (seconds(3), 0, 0.0, 3.0),
        (seconds(3), 0, 1.0, 4.5),
        (seconds(3), 1, 0.0, 6.0),
        (seconds(3), 4, 0.0, 48.0),
        (seconds(3), 5, 0.0, 60.0),
        (seconds(3), u32::MAX, 0.5, 75.0),
        (seconds(300), 7, 0.0, 300.0),
        (seconds(0), 9, 1.0, 0.0),
        (seconds(0), u32::MAX, 1.0, 0.0),
        (Duration::MAX, 3, 1.0, Duration::MAX.as_secs_f64()),
    ] {
        let failure = Failure { reconnection_time: base, ..after(&error, retries) };
        let waited = wait(&ReconnectPolicy::daemon(), failure, random);
        assert_eq!(waited, Some(expected), "{base:?}, {retries} retries, {random}");
    }
}

#[test]
fn each_preset_has_its_own_answer_to_each_class_of_failure() {
    type Row = (Error, [Option<f64>; 4]);
    let page =
        Error::with_response(ErrorKind::ContentType, "a page", StatusCode::OK, HeaderMap::new(), bytes::Bytes::new());
    let end = Error::new(ErrorKind::EndOfStream, "over");
    // Two retries so far: daemon, standard, never, persistent.
    let rows: [Row; 6] = [
        (transport_fault(), [Some(12.0), Some(3.0), None, Some(12.0)]),
        (end, [Some(12.0), Some(3.0), None, Some(12.0)]),
        (status(503), [Some(12.0), None, None, Some(12.0)]),
        (status(404), [None, None, None, Some(60.0)]),
        (page, [None, None, None, Some(60.0)]),
        (Error::new(ErrorKind::Unsupported, "a bug of ours"), [None; 4]),
    ];
    let presets = [
        ReconnectPolicy::daemon(),
        ReconnectPolicy::standard(),
        ReconnectPolicy::never(),
        ReconnectPolicy::persistent(),
    ];
    for (error, expected) in rows {
        let waits = presets.each_ref().map(|policy| wait(policy, after(&error, 2), 0.0));
        assert_eq!(waits, expected, "{error}");
    }
}

#[test]
fn the_ceiling_bounds_waits_before_jitter_lengthens_them() {
    let policy = ReconnectPolicy::persistent().ceiling(seconds(12));
    for (error, retries) in [(status(404), 0), (status(404), 9), (transport_fault(), 9)] {
        for (random, expected) in [(0.0, 12.0), (0.5, 15.0), (1.0, 18.0)] {
            assert_eq!(wait(&policy, after(&error, retries), random), Some(expected), "{error}");
        }
    }
}

#[test]
fn a_wait_after_a_long_wait_for_the_head_is_the_reconnection_time() {
    let policy = ReconnectPolicy::daemon().healthy_after(seconds(5));
    let wait_after = |error: Error, retries, least| {
        wait(&policy, Failure { retry_after: Some(seconds(least)), ..after(&error, retries) }, 0.0)
    };
    let waited = |error: Error, time| error.after_waiting(Some(seconds(time)));
    for retries in [1, 9] {
        let no_head = Error::new(ErrorKind::ResponseTimeout, "no head");
        for error in [no_head, waited(transport_fault(), 5), waited(status(504), 5)] {
            assert_eq!(wait_after(error.clone(), retries, 0), Some(3.0), "{error}");
            // The server may ask for more.
            assert_eq!(wait_after(error, retries, 20), Some(20.0));
        }
    }
    for error in [transport_fault(), waited(transport_fault(), 4), waited(status(504), 4)] {
        assert_eq!(wait_after(error.clone(), 1, 0), Some(6.0), "{error}");
    }
}

#[test]
fn limits_on_retries_and_on_elapsed_time_stop() {
    let error = transport_fault();
    let three = ReconnectPolicy::daemon().max_retries(3);
    assert_eq!([2, 3].map(|retries| wait(&three, after(&error, retries), 0.0)), [Some(12.0), None]);
    let minute = ReconnectPolicy::daemon().max_elapsed(seconds(60));
    for (failing_for, expected) in [(48, Some(12.0)), (49, None)] {
        let failure = Failure { failing_for: seconds(failing_for), ..after(&error, 2) };
        assert_eq!(wait(&minute, failure, 0.0), expected, "failing for {failing_for} s");
    }
}

#[test]
fn a_retry_after_is_a_minimum_for_one_wait() {
    let error = status(503);
    for (minimum, expected) in [(0, 12.0), (5, 12.0), (100, 100.0)] {
        let failure = Failure { retry_after: Some(seconds(minimum)), ..after(&error, 2) };
        assert_eq!(wait(&ReconnectPolicy::daemon(), failure, 0.0), Some(expected), "{minimum} s");
    }
}

#[test]
fn a_caller_decides_with_what_the_policy_knows() {
    let policy = ReconnectPolicy::daemon().decide_with(|failure| match failure.status() {
        Some(StatusCode::NOT_FOUND) => Decision::RetryAfter(failure.reconnection_time()),
        Some(_) => Decision::Stop,
        None => failure.suggestion(),
    });
    for (error, expected) in [(status(404), Some(3.0)), (status(503), None), (transport_fault(), Some(12.0))] {
        assert_eq!(wait(&policy, after(&error, 2), 0.0), expected, "{error}");
    }
}

#[test]
fn a_factor_or_jitter_that_is_not_a_number_counts_as_none() {
    let policy = ReconnectPolicy::daemon().factor(f64::NAN).jitter(f64::NAN);
    assert_eq!(wait(&policy, after(&transport_fault(), 5), 1.0), Some(3.0));
    let policy = ReconnectPolicy::daemon().factor(f64::INFINITY).jitter(f64::INFINITY);
    assert_eq!(wait(&policy, after(&transport_fault(), 5), 0.0), Some(60.0));
}

#[test]
fn a_response_is_healthy_once_it_delivered_or_stayed_open() {
    let policy = ReconnectPolicy::daemon();
    assert!(policy.was_healthy(true, Duration::ZERO));
    assert!(policy.was_healthy(false, seconds(10)));
    assert!(!policy.was_healthy(false, seconds(9)));
    assert!(policy.healthy_after(seconds(1)).was_healthy(false, seconds(1)));
}
