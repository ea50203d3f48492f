//! Every value that a program's own function takes can be made without a stream.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, Version};
use sseclient::{
    Change, CloseReason, Commit, CredentialsReason, Decision, Delivery, Drained, Error, ErrorKind, Event, Failure, Gap,
    NextAttempt, ResponseHead, State, Stats, SubscriptionStats, TranscriptItem,
};

fn head() -> ResponseHead {
    let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("2"))]);
    ResponseHead::new(Uri::from_static("http://host/stream"), StatusCode::OK, Version::HTTP_11, &headers)
}

#[test]
fn states_and_reasons_can_be_made_and_hold_what_they_were_given() {
    let refused = Error::refused(StatusCode::NOT_FOUND, HeaderMap::new(), "none");
    let State::Connecting { attempt: 3, .. } = State::connecting(3) else { panic!("connecting") };
    let State::Open { attempt: 1, response, since, .. } = State::open(1, head()) else { panic!("open") };
    assert_eq!((response.url().path(), response.headers()[RETRY_AFTER].as_bytes()), ("/stream", &b"2"[..]));
    let waiting = State::waiting(2, Duration::from_secs(6), refused.clone());
    let State::Waiting { attempt: 2, delay, until, cause, .. } = waiting else { panic!("waiting") };
    assert_eq!((delay.as_secs(), cause.status()), (6, Some(StatusCode::NOT_FOUND)));
    assert!(until >= since + delay);
    assert!(matches!(State::waiting(1, Duration::MAX, refused.clone()), State::Waiting { delay: Duration::MAX, .. }));
    assert!(matches!(State::Idle, State::Idle));
    let reasons = [
        CloseReason::Shutdown,
        CloseReason::NoContent,
        CloseReason::EndOfStream,
        CloseReason::EndMark,
        CloseReason::Abandoned,
        CloseReason::NeverConnected,
        CloseReason::Failed(refused),
    ];
    assert_eq!(reasons.into_iter().map(State::Closed).filter(|state| state.close_reason().is_some()).count(), 7);
}

#[test]
fn events_and_gaps_can_be_made_with_every_field() {
    let event = Event::builder().event_type("price").data("1").id("7").retry(Duration::from_secs(1)).build().unwrap();
    assert_eq!((event.event_type(), event.id(), event.retry()), ("price", Some("7"), Some(Duration::from_secs(1))));
    let inheriting = Event::builder().last_event_id("7").build().unwrap();
    assert_eq!((inheriting.id(), inheriting.last_event_id()), (None, "7"));
    let own = Event::builder().id("8").last_event_id("7").build().unwrap();
    assert_eq!(own.last_event_id(), "8");
    assert_eq!(Event::try_from(("price", "1")).unwrap().event_type(), "price");
    assert_eq!(Event::try_from(("a\nb", "1")).unwrap_err().kind(), ErrorKind::InvalidEvent);
    assert!(Event::try_from(Event::builder().id("\n")).is_err());
    let gaps = [
        Gap::lagged(3),
        Gap::reconnected(Some("7".to_owned())),
        Gap::oversized(Some("a".to_owned()), None, 9),
        Gap::not_retained(1),
    ];
    for gap in gaps {
        assert_eq!(Delivery::<Event>::Gap(gap.clone()).gap(), Some(gap.clone()));
        assert!(matches!(TranscriptItem::Gap(gap), TranscriptItem::Gap(_)));
    }
    assert_eq!(Delivery::Event(event).gap(), None);
    assert!(matches!(TranscriptItem::Comment("hi".into()), TranscriptItem::Comment(_)));
}

#[cfg(feature = "json")]
#[test]
fn decoded_events_can_be_made_that_hold_a_value_or_an_error() {
    use sseclient::Decoded;

    let decoded = |data: &str| Decoded::<u8>::new(Event::builder().data(data).build().unwrap());
    assert_eq!(decoded("7").value().unwrap(), &7);
    assert_eq!(decoded("x").value().unwrap_err().kind(), ErrorKind::Decode);
}

#[test]
fn the_results_and_numbers_of_a_stream_can_be_made() {
    let mut drained = Drained::new(CloseReason::Shutdown);
    drained.dropped = 2;
    assert!(matches!(drained, Drained { delivered: 0, dropped: 2, saved_id: None, .. }));
    let mut stats = Stats::default();
    stats.failures.insert(ErrorKind::Connect, 3);
    assert_eq!(stats.failures[&ErrorKind::Connect], 3);
    let mut subscription = SubscriptionStats::default();
    subscription.missed = 1;
    assert_eq!((subscription.missed, subscription.queued), (1, 0));
}

/// What a program gives to `before_attempt`.
fn sign(attempt: NextAttempt) -> NextAttempt {
    let why = match attempt.reason() {
        CredentialsReason::Rejected { status, challenge, .. } => format!("{status} {challenge:?}"),
        other => format!("{other:?}"),
    };
    let failure = attempt.failure().map_or("none", |error| error.kind().as_str());
    let signed = format!("{} {:?} {failure} {why}", attempt.number(), attempt.last_event_id());
    attempt.header("x-signed", signed)
}

#[test]
fn hooks_can_be_called_with_attempts_of_any_kind() {
    let first = sign(NextAttempt::new("http://host/stream?a=1").unwrap());
    assert_eq!((first.headers()["x-signed"].as_bytes(), first.url().query()), (&b"1 None none First"[..], Some("a=1")));
    let challenge = HeaderValue::from_static("Bearer");
    let later = NextAttempt::new("http://host/")
        .unwrap()
        .with_number(3)
        .with_last_event_id("7")
        .with_failure(Error::new(ErrorKind::Connect, "refused"))
        .with_reason(CredentialsReason::rejected(StatusCode::UNAUTHORIZED, Some(challenge)));
    let signed = sign(later);
    assert_eq!(signed.headers()["x-signed"], "3 Some(\"7\") connect 401 Unauthorized Some(\"Bearer\")");
    assert_eq!(signed.headers()["last-event-id"], "7");
    assert_eq!(NextAttempt::new("no URL").unwrap_err().kind(), ErrorKind::InvalidUrl);
}

#[test]
fn failures_changes_and_commits_can_be_made() {
    let error = Error::new(ErrorKind::Body, "broke off");
    let failure = Failure::new(&error).with_retries(2).with_suggestion(Decision::Stop);
    assert_eq!((failure.retries(), failure.error().kind()), (2, ErrorKind::Body));
    let _change = Change::default().bearer_auth("fresh");
    assert_ne!(Commit::Delivery, Commit::Acknowledgement);
}
