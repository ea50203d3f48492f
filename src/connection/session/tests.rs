//! Decisions, as tables: what has happened, and the step and the state that follow.

use http::{HeaderMap, StatusCode, Version};

use super::*;
use crate::connection::Apply;
use crate::connection::mailbox::Mailbox;
use crate::connection::stats::TurnCounts;
use crate::transport::target::Target;

/// When, in seconds; what has happened; the step and the state.
type Line<'a> = (u64, Input<'a>, &'a str);

const NO_SOURCES: Sources = Sources { credentials: false, store: false };
const CREDENTIALS: Sources = Sources { credentials: true, store: false };
const STORE: Sources = Sources { credentials: false, store: true };

fn config() -> Config {
    Config::new(Target::parse("http://host/".parse().unwrap()).unwrap())
}

fn lazy() -> Config {
    Config { linger: Some(Duration::from_secs(5)), ..config() }
}

fn session(sources: Sources) -> Session {
    Session::new(config(), ReconnectPolicy::daemon(), sources)
}

#[track_caller]
fn check(what: &str, mut session: Session, lines: Vec<Line<'_>>) -> Session {
    let begun = Instant::now();
    for (number, (at, input, expected)) in lines.into_iter().enumerate() {
        let step = session.handle(input, begun + Duration::from_secs(at));
        assert_eq!(describe(&step), expected, "{what}, line {number}");
    }
    session
}

fn describe(step: &Step) -> String {
    let notice = match &step.notice {
        Some(Notice::IdLeftOut(_)) => "ID left out, ",
        Some(Notice::Poisoned(_)) => "poisoned, ",
        None => "",
    };
    let restart = if step.restarts { "restart, " } else { "" };
    let state = match &step.state {
        Some(State::Waiting { attempt, delay, .. }) => format!("; waiting {}s for {attempt}", delay.as_secs_f64()),
        Some(State::Open { attempt, .. }) => format!("; open {attempt}"),
        Some(other) => format!("; {other}"),
        None => String::new(),
    };
    format!("{notice}{restart}{}{state}", describe_action(&step.action))
}

fn describe_action(action: &Action) -> String {
    let after = |attempt: &Attempt| match attempt.request.headers.get(transport::LAST_EVENT_ID) {
        Some(id) => format!(" after {}", id.to_str().unwrap()),
        None => String::new(),
    };
    let fresh = |reason: &CredentialsReason| match reason {
        CredentialsReason::Rejected { .. } => " with fresh credentials",
        _ => "",
    };
    match action {
        Action::Dial { attempt, reason } => format!("dial{}{}", after(attempt), fresh(reason)),
        Action::BeginHandover { attempt, reason, other_origin, .. } => {
            let elsewhere = if *other_origin { " elsewhere" } else { "" };
            format!("hand over{elsewhere}{}{}", after(attempt), fresh(reason))
        }
        Action::CancelHandover { change, .. } => format!("stay with the open response, change {change}"),
        Action::Read { gap: None, change } => format!("read, change {change}"),
        Action::Read { gap: Some(gap), change } => format!("{gap}; read, change {change}"),
        Action::TakeOver { change } => format!("take over, change {change}"),
        Action::Close(CloseReason::Failed(error)) => format!("fail: {:?}", error.kind()),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn head() -> ResponseHead {
    ResponseHead::new("http://host/".parse().unwrap(), StatusCode::OK, Version::HTTP_11, &HeaderMap::new())
}

fn accepted<'a>() -> Input<'a> {
    Input::Accepted(head())
}

fn failed<'a>(kind: ErrorKind) -> Input<'a> {
    Input::Failed { cause: Error::new(kind, "scripted"), retry_after: None, random: 0.0 }
}

fn refused<'a>(status: u16) -> Input<'a> {
    refused_until(status, None)
}

fn refused_until<'a>(status: u16, retry_after: Option<Duration>) -> Input<'a> {
    let cause = Error::refused(StatusCode::from_u16(status).unwrap(), HeaderMap::new(), "");
    Input::Failed { cause, retry_after, random: 0.0 }
}

fn ended<'a>() -> Input<'a> {
    Input::Ended { cause: Error::new(ErrorKind::EndOfStream, "scripted"), cut_off: false, random: 0.0 }
}

fn cut<'a>() -> Input<'a> {
    Input::Ended { cause: Error::new(ErrorKind::Body, "scripted"), cut_off: true, random: 0.0 }
}

/// A turn with one event that sets this ID.
fn event(id: &str) -> Input<'_> {
    let counts = TurnCounts { events: 1, ..TurnCounts::default() };
    let report = TurnReport { counts, id_changed: true, ..TurnReport::default() };
    Input::Turn { report: Box::leak(Box::new(report)), last_event_id: Some(id) }
}

fn retry<'a>(milliseconds: u64) -> Input<'a> {
    let report = TurnReport { retry: Some(milliseconds), ..TurnReport::default() };
    Input::Turn { report: Box::leak(Box::new(report)), last_event_id: None }
}

fn loaded(id: Option<&str>) -> Input<'_> {
    Input::Loaded(Ok(id.map(str::to_owned)))
}

/// What handles ask for. One mailbox numbers all changes of a story.
fn asked<'a>(mailbox: &Mailbox, ask: impl FnOnce(&Mailbox)) -> Input<'a> {
    ask(mailbox);
    Input::Asked(mailbox.take())
}

fn mailbox() -> Mailbox {
    Mailbox::new(config().request)
}

fn set_header(apply: Apply) -> impl FnOnce(&Mailbox) {
    move |mailbox| assert!(mailbox.change(crate::Change::default().header("x-a", "1"), apply).is_ok())
}

fn set_origin(apply: Apply) -> impl FnOnce(&Mailbox) {
    move |mailbox| assert!(mailbox.change(crate::Change::default().url("http://other/"), apply).is_ok())
}

fn resume(id: &str) -> impl FnOnce(&Mailbox) {
    let resume = Resume::Id(id.to_owned());
    move |mailbox| mailbox.resume(resume)
}

fn joined<'a>(mut first: Vec<Line<'a>>, then: Vec<Line<'a>>) -> Vec<Line<'a>> {
    first.extend(then);
    first
}

const DIAL: &str = "dial; connecting, attempt 1";
const OPEN: &str = "read, change 0; open 1";

#[test]
fn each_failure_is_retried_or_final() {
    use ErrorKind::{
        Connect, ConnectTimeout, ContentEncoding, ContentType, Credentials, CredentialsTimeout, Dns, Protocol, Proxy,
        Redirect, ResponseTimeout, Roots, Tls, TooManyRedirects,
    };
    let retried_kinds = [Connect, Dns, ConnectTimeout, ResponseTimeout, Protocol, Tls, Roots, Proxy];
    let retried_kinds = retried_kinds.into_iter().chain([TooManyRedirects, Credentials, CredentialsTimeout]);
    let retried = retried_kinds.map(failed).chain([408, 425, 429, 500, 502, 503, 504].map(refused));
    for failure in retried {
        let what = format!("{failure:?}");
        let lines = vec![(0, Input::Connect, DIAL), (0, failure, "wait { delay: 3s }; waiting 3s for 2")];
        check(&what, session(NO_SOURCES), lines);
    }
    for (kind, expected) in
        [(ContentType, "fail: ContentType"), (ContentEncoding, "fail: ContentEncoding"), (Redirect, "fail: Redirect")]
    {
        check(expected, session(NO_SOURCES), vec![(0, Input::Connect, DIAL), (0, failed(kind), expected)]);
    }
    for status in [206, 400, 401, 403, 404, 410, 501, 505] {
        let lines = vec![(0, Input::Connect, DIAL), (0, refused(status), "fail: Status")];
        check(&status.to_string(), session(NO_SOURCES), lines);
    }
    check("204", session(NO_SOURCES), vec![(0, Input::Connect, DIAL), (0, Input::NoContent, "close(nocontent)")]);
}

#[test]
fn a_first_attempt_that_counts_is_not_retried() {
    let config = Config { first_attempt_counts: true, ..config() };
    let session = Session::new(config, ReconnectPolicy::daemon(), NO_SOURCES);
    check("open", session, vec![(0, Input::Connect, DIAL), (0, refused(503), "fail: Status")]);
}

#[test]
fn waits_double_up_to_a_minute_and_start_anew_after_a_healthy_response() {
    let refuse = || failed(ErrorKind::Connect);
    let lines = vec![
        (0, Input::Connect, DIAL),
        (0, refuse(), "wait { delay: 3s }; waiting 3s for 2"),
        (3, Input::WaitOver, "dial; connecting, attempt 2"),
        (3, refuse(), "wait { delay: 6s }; waiting 6s for 3"),
        (9, Input::WaitOver, "dial; connecting, attempt 3"),
        // Nine seconds without an event are not healthy.
        (9, accepted(), "read, change 0; open 3"),
        (18, ended(), "wait { delay: 12s }; waiting 12s for 4"),
        (30, Input::WaitOver, "dial; connecting, attempt 4"),
        // Ten are.
        (30, accepted(), "reconnected without an ID: what came in between is lost; read, change 0; open 4"),
        (40, ended(), "wait { delay: 3s }; waiting 3s for 2"),
        (43, Input::WaitOver, "dial; connecting, attempt 2"),
        (43, accepted(), "reconnected without an ID: what came in between is lost; read, change 0; open 2"),
        // So is one with an event.
        (43, event("7"), "stay"),
        (43, ended(), "wait { delay: 3s }; waiting 3s for 2"),
        (46, Input::WaitOver, "dial after 7; connecting, attempt 2"),
    ];
    let mut session = check("back-off", session(NO_SOURCES), lines);
    let mut waits = Vec::new();
    for at in 0..6 {
        let now = Instant::now() + Duration::from_secs(1000 * at);
        let Action::Wait { delay } = session.handle(failed(ErrorKind::Connect), now).action else { panic!("a wait") };
        waits.push(delay.as_secs());
        assert!(matches!(session.handle(Input::WaitOver, now).action, Action::Dial { .. }));
    }
    assert_eq!(waits, [6, 12, 24, 48, 60, 60]);
}

#[test]
fn a_retry_is_clamped_and_a_retry_after_is_a_floor_for_one_wait() {
    for (milliseconds, expected) in [
        (0, "wait { delay: 100ms }; waiting 0.1s for 2"),
        (1500, "wait { delay: 1.5s }; waiting 1.5s for 2"),
        (u64::MAX, "wait { delay: 300s }; waiting 300s for 2"),
    ] {
        let lines = vec![
            (0, Input::Connect, DIAL),
            (0, accepted(), OPEN),
            (0, retry(milliseconds), "stay"),
            (0, ended(), expected),
        ];
        check(expected, session(NO_SOURCES), lines);
    }
    let lines = vec![
        (0, Input::Connect, DIAL),
        (0, refused_until(503, Some(Duration::from_secs(120))), "wait { delay: 120s }; waiting 120s for 2"),
        (120, Input::WaitOver, "dial; connecting, attempt 2"),
        (120, refused(503), "wait { delay: 6s }; waiting 6s for 3"),
    ];
    check("retry-after", session(NO_SOURCES), lines);
}

#[test]
fn refused_credentials_are_asked_for_once_more_in_each_attempt() {
    for status in [401, 403] {
        let lines = vec![
            (0, Input::Connect, DIAL),
            (0, refused(status), "dial with fresh credentials; connecting, attempt 1"),
            (0, accepted(), OPEN),
            (0, ended(), "wait { delay: 3s }; waiting 3s for 2"),
            (3, Input::WaitOver, "dial; connecting, attempt 2"),
            (3, refused(status), "dial with fresh credentials; connecting, attempt 2"),
            (3, refused(status), "fail: Status"),
        ];
        check("with a source", session(CREDENTIALS), lines);
    }
    let lines = vec![(0, Input::Connect, DIAL), (0, failed(ErrorKind::Proxy), "wait { delay: 3s }; waiting 3s for 2")];
    check("a proxy's refusal", session(CREDENTIALS), lines);
}

#[test]
fn five_breaks_at_the_same_place_are_poison() {
    let break_off = |policy, times: u64| {
        let mut session = Session::new(config(), policy, NO_SOURCES);
        let mut last = String::new();
        for number in 0..times {
            let now = Instant::now() + Duration::from_secs(1000 * number);
            for input in [if number == 0 { Input::Connect } else { Input::WaitOver }, accepted()] {
                drop(session.handle(input, now));
            }
            last = describe(&session.handle(cut(), now));
        }
        last
    };
    assert_eq!(break_off(ReconnectPolicy::daemon(), 4), "wait { delay: 24s }; waiting 24s for 5");
    assert_eq!(break_off(ReconnectPolicy::daemon(), 5), "poisoned, wait { delay: 60s }; waiting 60s for 6");
    assert_eq!(break_off(ReconnectPolicy::daemon().stop_on_poison(), 5), "poisoned, fail: Poisoned");
}

#[test]
fn the_policy_decides_about_the_end_of_a_stream() {
    for (policy, end, expected) in [
        (ReconnectPolicy::never(), ended(), "close(endofstream)"),
        (ReconnectPolicy::never(), cut(), "fail: Body"),
        (ReconnectPolicy::standard(), ended(), "wait { delay: 3s }; waiting 3s for 2"),
        (ReconnectPolicy::daemon().max_retries(0), ended(), "close(endofstream)"),
    ] {
        let lines = vec![(0, Input::Connect, DIAL), (0, accepted(), OPEN), (0, end, expected)];
        check(expected, Session::new(config(), policy, NO_SOURCES), lines);
    }
}

#[test]
fn a_store_says_where_to_begin_unless_a_caller_has() {
    let load = || (0, Input::Connect, "load; connecting, attempt 1");
    let store_failed = || Input::Loaded(Err(Error::new(ErrorKind::Store, "scripted")));
    const GAP: &str = "reconnected without an ID: what came in between is lost; read, change 0; open 1";
    check(
        "an ID",
        session(STORE),
        vec![load(), (0, loaded(Some("7")), "restart, dial after 7"), (0, accepted(), OPEN)],
    );
    check("no ID", session(STORE), vec![load(), (0, loaded(None), "dial"), (0, accepted(), OPEN)]);
    check("a failure", session(STORE), vec![load(), (0, store_failed(), "dial"), (0, accepted(), GAP)]);
    let unsendable = "ID left out, restart, dial";
    check("no header", session(STORE), vec![load(), (0, loaded(Some("\u{1}")), unsendable), (0, accepted(), GAP)]);
    for answer in [loaded(Some("7")), store_failed()] {
        let chosen = asked(&mailbox(), resume("5"));
        let lines = vec![load(), (0, chosen, "stay"), (0, answer, "restart, dial after 5"), (0, accepted(), OPEN)];
        check("a caller", session(STORE), lines);
    }
}

#[test]
fn a_reconnect_is_answered_in_each_phase() {
    let (calls, reconnect) = (mailbox(), |mailbox: &Mailbox| mailbox.reconnect());
    let lines = vec![
        (0, asked(&calls, reconnect), "stay"),
        (0, Input::Connect, "load; connecting, attempt 1"),
        (0, asked(&calls, reconnect), "stay"),
        (0, loaded(None), "dial"),
        // The attempt under way will do, unless it is outdated.
        (0, asked(&calls, reconnect), "stay"),
        (0, asked(&calls, set_header(Apply::NextAttempt)), "stay"),
        (0, asked(&calls, reconnect), DIAL),
        (0, asked(&calls, set_header(Apply::Reconnect)), DIAL),
        (0, asked(&calls, resume("5")), "restart, dial after 5; connecting, attempt 1"),
        (0, accepted(), "read, change 2; open 1"),
        (0, asked(&calls, reconnect), "dial after 5; connecting, attempt 1"),
        (0, failed(ErrorKind::Connect), "wait { delay: 3s }; waiting 3s for 2"),
        (0, asked(&calls, reconnect), "dial after 5; connecting, attempt 2"),
    ];
    check("reconnect", session(STORE), lines);
}

#[test]
fn a_handover_takes_over_fails_or_outlives_the_open_response() {
    let calls = mailbox();
    let open = || vec![(0, Input::Connect, DIAL), (0, accepted(), OPEN), (0, event("7"), "stay")];
    let hand_over = || (0, asked(&calls, set_header(Apply::MakeBeforeBreak)), "hand over after 7");
    let story = |what, lines: Vec<Line<'_>>| drop(check(what, session(CREDENTIALS), joined(open(), lines)));
    story("it takes over", vec![hand_over(), (0, accepted(), "take over, change 1; open 1")]);
    story("the server has no more", vec![hand_over(), (0, Input::NoContent, "close(nocontent)")]);
    story(
        "it fails, and the change goes with the next attempt",
        vec![
            hand_over(),
            (0, failed(ErrorKind::Connect), "stay with the open response, change 3"),
            (0, event("8"), "stay"),
            (0, ended(), "wait { delay: 3s }; waiting 3s for 2"),
            (3, Input::WaitOver, "dial after 8; connecting, attempt 2"),
        ],
    );
    story("it is refused", vec![hand_over(), (0, refused(401), "hand over after 7 with fresh credentials")]);
    story("it is asked for again", vec![hand_over(), hand_over()]);
    story(
        "the open response ends before",
        vec![
            hand_over(),
            (0, ended(), "continuehandover; connecting, attempt 1"),
            (0, asked(&calls, |mailbox| mailbox.reconnect()), "stay"),
            (0, accepted(), "take over, change 7; open 1"),
        ],
    );
    story(
        "both end",
        vec![
            hand_over(),
            (0, ended(), "continuehandover; connecting, attempt 1"),
            (0, failed(ErrorKind::Connect), "wait { delay: 3s }; waiting 3s for 2"),
        ],
    );
    let lines = vec![
        (0, Input::Connect, DIAL),
        (0, asked(&mailbox(), set_header(Apply::MakeBeforeBreak)), DIAL),
        (0, failed(ErrorKind::Connect), "wait { delay: 3s }; waiting 3s for 2"),
        (0, asked(&calls, set_header(Apply::MakeBeforeBreak)), "dial; connecting, attempt 2"),
    ];
    check("without an open response it is a reconnect", session(NO_SOURCES), lines);
}

#[test]
fn a_change_of_origin_leaves_the_last_event_id_behind() {
    let open = || vec![(0, Input::Connect, DIAL), (0, accepted(), OPEN), (0, event("7"), "stay")];
    let story = |what, lines: Vec<Line<'_>>| check(what, session(NO_SOURCES), joined(open(), lines));
    let calls = mailbox();
    let left = story(
        "at once",
        vec![(0, asked(&calls, set_origin(Apply::Reconnect)), "restart, dial; connecting, attempt 1")],
    );
    assert_eq!(left.last_event_id(), "");
    let calls = mailbox();
    let lines = vec![
        (0, asked(&calls, set_origin(Apply::MakeBeforeBreak)), "hand over elsewhere"),
        (0, event("8"), "stay"),
        (0, accepted(), "restart, take over, change 1; open 1"),
    ];
    assert_eq!(story("by a handover", lines).last_event_id(), "");
    let calls = mailbox();
    let lines = vec![
        (0, asked(&calls, set_origin(Apply::MakeBeforeBreak)), "hand over elsewhere"),
        (0, failed(ErrorKind::Connect), "stay with the open response, change 1"),
        (0, asked(&calls, resume("7")), "restart, dial after 7; connecting, attempt 1"),
    ];
    assert_eq!(story("unless a caller goes back", lines).last_event_id(), "7");
}

#[test]
fn a_lazy_stream_is_open_while_there_are_subscribers() {
    let demand = |present| Input::Demand { present };
    let calls = mailbox();
    let lines = vec![
        (0, Input::Connect, "stay"),
        (0, asked(&calls, |mailbox| mailbox.reconnect()), "stay"),
        (0, demand(true), DIAL),
        (0, accepted(), OPEN),
        (0, event("7"), "stay"),
        (1, demand(false), "linger { delay: 5s }"),
        (2, demand(true), "stoplingering"),
        (3, demand(false), "linger { delay: 5s }"),
        (8, Input::LingerOver, "sleep; idle"),
        (9, demand(true), "dial after 7; connecting, attempt 1"),
        // A wait goes on without subscribers, and ends without an attempt.
        (9, failed(ErrorKind::Connect), "wait { delay: 3s }; waiting 3s for 2"),
        (9, demand(false), "linger { delay: 5s }"),
        (14, Input::LingerOver, "stay"),
        (15, Input::WaitOver, "sleep; idle"),
        (16, Input::WaitOver, "stay"),
        (17, demand(true), "dial after 7; connecting, attempt 2"),
    ];
    check("lazy", Session::new(lazy(), ReconnectPolicy::daemon(), NO_SOURCES), lines);
    let lines = vec![
        (0, Input::Connect, "stay"),
        (0, demand(true), "load; connecting, attempt 1"),
        (0, demand(false), "linger { delay: 5s }"),
        (5, Input::LingerOver, "sleep; idle"),
        (6, demand(true), "load; connecting, attempt 1"),
    ];
    check("a store is asked again", Session::new(lazy(), ReconnectPolicy::daemon(), STORE), lines);
}
