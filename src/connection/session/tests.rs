//! Decisions, as tables: what has happened, and the step and the state that follow.

use http::{HeaderMap, StatusCode, Version};

use super::*;
use crate::connection::mailbox::Mailbox;
use crate::connection::stats::TurnCounts;
use crate::connection::{Apply, Resume};
use crate::transport::target::Target;

/// When, in seconds; what has happened; the step and the state.
type StepLine<'a> = (u64, Input<'a>, &'a str);

const NO_SOURCES: Sources = Sources { hooks: false, store: false };
const CREDENTIALS: Sources = Sources { hooks: true, store: false };
const STORE: Sources = Sources { hooks: false, store: true };

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
fn check(what: &str, mut session: Session, lines: Vec<StepLine<'_>>) -> Session {
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
        Some(Notice::IdRefused(_)) => "ID refused, ",
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
    let describe = |attempt: &NextAttempt| {
        let sent = attempt.headers().get(transport::LAST_EVENT_ID).map(|id| id.to_str().unwrap());
        assert_eq!(sent, attempt.last_event_id());
        let after = sent.map(|id| format!(" after {id}")).unwrap_or_default();
        match attempt.reason() {
            CredentialsReason::Rejected { .. } => format!("{after} with fresh credentials"),
            _ => after,
        }
    };
    match action {
        Action::Dial { attempt } => format!("dial{}", describe(attempt)),
        Action::BeginHandover { attempt, is_unrelated } => {
            let elsewhere = if *is_unrelated { " elsewhere" } else { "" };
            format!("hand over{elsewhere}{}", describe(attempt))
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
    Input::Accepted { head: head(), repeated_after: None }
}

fn failed<'a>(kind: ErrorKind) -> Input<'a> {
    Input::Failed { cause: Error::new(kind, "scripted"), retry_after: None, random: 0.0 }
}

/// A failure of an attempt that has waited so many seconds for its response head.
fn failed_after<'a>(seconds: u64, failure: Input<'a>) -> Input<'a> {
    let Input::Failed { cause, retry_after, random } = failure else { panic!("a failed attempt") };
    Input::Failed { cause: cause.after_waiting(Some(Duration::from_secs(seconds))), retry_after, random }
}

fn refused<'a>(status: u16) -> Input<'a> {
    refused_until(status, None)
}

fn refused_until<'a>(status: u16, retry_after: Option<Duration>) -> Input<'a> {
    let cause = Error::refused(StatusCode::from_u16(status).unwrap(), HeaderMap::new(), "");
    Input::Failed { cause, retry_after, random: 0.0 }
}

fn ended<'a>() -> Input<'a> {
    ended_by(ErrorKind::EndOfStream)
}

/// An end between two blocks.
fn ended_by<'a>(kind: ErrorKind) -> Input<'a> {
    Input::Ended { cause: Error::new(kind, "scripted"), cut_off: false, random: 0.0 }
}

/// An end within a block.
fn cut<'a>() -> Input<'a> {
    cut_by(ErrorKind::Body)
}

fn cut_by<'a>(kind: ErrorKind) -> Input<'a> {
    Input::Ended { cause: Error::new(kind, "scripted"), cut_off: true, random: 0.0 }
}

/// A turn with one event that sets this ID.
fn event(id: &str) -> Input<'_> {
    let counts = TurnCounts { events: 1, ..TurnCounts::default() };
    let report = TurnReport { counts, id_changed: true, ..TurnReport::default() };
    Input::Turn { report: Box::leak(Box::new(report)), last_event_id: Some(id) }
}

/// A turn with one event without an ID. Events with the same number are the same.
fn unnumbered<'a>(number: u64) -> Input<'a> {
    let counts = TurnCounts { events: 1, ..TurnCounts::default() };
    let report = TurnReport { counts, first: Some(number), ..TurnReport::default() };
    Input::Turn { report: Box::leak(Box::new(report)), last_event_id: None }
}

/// A turn with one event that was delivered before.
fn repeated<'a>() -> Input<'a> {
    let counts = TurnCounts { events: 1, repeats: 1, ..TurnCounts::default() };
    Input::Turn { report: Box::leak(Box::new(TurnReport { counts, ..TurnReport::default() })), last_event_id: None }
}

/// A turn with a comment.
fn comment<'a>() -> Input<'a> {
    let counts = TurnCounts { comments: 1, ..TurnCounts::default() };
    Input::Turn { report: Box::leak(Box::new(TurnReport { counts, ..TurnReport::default() })), last_event_id: None }
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

/// Another URL of the same origin.
fn set_path(apply: Apply) -> impl FnOnce(&Mailbox) {
    move |mailbox| assert!(mailbox.change(crate::Change::default().url("http://host/other"), apply).is_ok())
}

fn resume(id: &str) -> impl FnOnce(&Mailbox) {
    let resume = Resume::Id(id.to_owned());
    move |mailbox| mailbox.resume(resume)
}

fn joined<'a>(mut first: Vec<StepLine<'a>>, then: Vec<StepLine<'a>>) -> Vec<StepLine<'a>> {
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
    let retried =
        retried_kinds.map(failed).chain([408, 425, 429, 500, 502, 503, 504, 509, 520, 527, 530, 561, 598].map(refused));
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
fn a_refused_id_is_left_out_once_and_given_up_when_that_is_accepted() {
    let fresh = |sources| {
        let config = Config { last_event_id: "7".into(), refused_id: RefusedId::StartFresh, ..config() };
        Session::new(config, ReconnectPolicy::daemon(), sources)
    };
    let refuse = || refused(404);
    let again = "ID refused, dial; connecting, attempt 1";
    let gap = "restart, reconnected without an ID: what came in between is lost; read, change 0; open 1";
    let dialed = vec![(0, Input::Connect, "dial after 7; connecting, attempt 1"), (0, refuse(), again)];
    check("accepted", fresh(NO_SOURCES), joined(dialed, vec![(0, accepted(), gap)]));
    let twice = vec![
        (0, Input::Connect, "dial after 7; connecting, attempt 1"),
        (0, refuse(), again),
        (0, failed(ErrorKind::Connect), "wait { delay: 3s }; waiting 3s for 2"),
        // Nothing says that the ID was to blame, so it is sent again.
        (3, Input::WaitOver, "dial after 7; connecting, attempt 2"),
        (3, refuse(), "ID refused, dial; connecting, attempt 2"),
        (3, refuse(), "fail: Status"),
    ];
    check("refused again", fresh(NO_SOURCES), twice);
    let credentials = vec![
        (0, Input::Connect, "dial after 7; connecting, attempt 1"),
        (0, refuse(), again),
        (0, refused(401), "dial with fresh credentials; connecting, attempt 1"),
        (0, accepted(), gap),
    ];
    check("and the credentials, too", fresh(CREDENTIALS), credentials);
    let mailbox = mailbox();
    let handover = vec![
        (0, Input::Connect, "dial after 7; connecting, attempt 1"),
        (0, accepted(), OPEN),
        (0, asked(&mailbox, set_header(Apply::MakeBeforeBreak)), "hand over after 7"),
        // The open response goes on, and its events come after the ID.
        (0, refuse(), "ID refused, hand over elsewhere"),
        (0, event("8"), "stay"),
        (0, refuse(), "stay with the open response, change 1"),
        (0, asked(&mailbox, set_header(Apply::MakeBeforeBreak)), "hand over after 8"),
        (0, refuse(), "ID refused, hand over elsewhere"),
        // Another change replaces this attempt, and has the ID again.
        (0, asked(&mailbox, set_header(Apply::MakeBeforeBreak)), "hand over after 8"),
        (0, refuse(), "ID refused, hand over elsewhere"),
        (0, event("9"), "stay"),
        (0, accepted(), "restart, take over, change 3; open 1"),
        (0, ended(), "wait { delay: 3s }; waiting 3s for 2"),
        (3, Input::WaitOver, "dial; connecting, attempt 2"),
    ];
    check("a handover", fresh(NO_SOURCES), handover);
    let mailbox = self::mailbox();
    let outlived = vec![
        (0, Input::Connect, "dial after 7; connecting, attempt 1"),
        (0, accepted(), OPEN),
        (0, asked(&mailbox, set_header(Apply::MakeBeforeBreak)), "hand over after 7"),
        (0, refuse(), "ID refused, hand over elsewhere"),
        (0, ended(), "continuehandover; connecting, attempt 1"),
        (0, refuse(), "fail: Status"),
    ];
    check("a handover that outlives the open response", fresh(NO_SOURCES), outlived);
    let mailbox = self::mailbox();
    let chosen = vec![
        (0, Input::Connect, "dial after 7; connecting, attempt 1"),
        (0, refuse(), again),
        (0, asked(&mailbox, resume("9")), "restart, dial after 9; connecting, attempt 1"),
    ];
    check("another ID meanwhile", fresh(NO_SOURCES), chosen);
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

/// The inputs of one response, each with its time in seconds after the response began.
type Inside<'a> = Vec<(u64, Input<'a>)>;

/// Returns the inputs of responses that begin a thousand seconds apart, each but the first after a
/// wait.
fn responses<'a>(times: u64, inside: impl Fn(u64) -> Inside<'a>) -> Inside<'a> {
    let mut inputs = Vec::new();
    for number in 0..times {
        let begin = if number == 0 { Input::Connect } else { Input::WaitOver };
        let response = [(0, begin), (0, accepted())].into_iter().chain(inside(number));
        inputs.extend(response.map(|(after, input)| (1000 * number + after, input)));
    }
    inputs
}

/// Returns the step that follows from the last of the inputs.
fn last_step(mut session: Session, inputs: Inside<'_>) -> String {
    let begun = Instant::now();
    let steps = inputs.into_iter().map(|(at, input)| session.handle(input, begun + Duration::from_secs(at)));
    describe(&steps.last().unwrap())
}

/// A session that goes on after the ID 7, and takes a minute of silence for an end.
fn after_seven() -> Session {
    let config = Config { last_event_id: "7".to_owned(), idle_timeout: Some(Duration::from_secs(60)), ..config() };
    Session::new(config, ReconnectPolicy::daemon(), NO_SOURCES)
}

#[test]
fn five_breaks_at_the_same_place_are_poison() {
    for (policy, times, expected) in [
        (ReconnectPolicy::daemon(), 4, "wait { delay: 24s }; waiting 24s for 5"),
        (ReconnectPolicy::daemon(), 5, "poisoned, wait { delay: 60s }; waiting 60s for 6"),
        (ReconnectPolicy::daemon(), 6, "poisoned, wait { delay: 60s }; waiting 60s for 7"),
        (ReconnectPolicy::daemon().stop_on_poison(), 5, "poisoned, fail: Poisoned"),
        // Waits that do not grow stay as they are.
        (ReconnectPolicy::standard(), 5, "poisoned, wait { delay: 3s }; waiting 3s for 6"),
    ] {
        let what = format!("{policy:?}, {times} times");
        let session = Session::new(config(), policy, NO_SOURCES);
        assert_eq!(last_step(session, responses(times, |_| vec![(0, cut())])), expected, "{what}");
    }
}

#[test]
fn only_breaks_with_no_progress_are_poison() {
    use ErrorKind::{Body, EndOfStream, IdleTimeout};
    const POISON: &str = "poisoned, wait { delay: 60s }; waiting 60s for 6";
    const FIFTH: &str = "wait { delay: 48s }; waiting 48s for 6";
    // A response with an event, or one that was open for long, resets the waits.
    const HEALTHY_POISON: &str = "poisoned, wait { delay: 60s }; waiting 60s for 2";
    const HEALTHY: &str = "wait { delay: 3s }; waiting 3s for 2";
    let story = |what, inputs, expected| assert_eq!(last_step(after_seven(), inputs), expected, "{what}");
    let five = |what, inside: &dyn Fn(u64) -> Inside<'static>, expected| story(what, responses(5, inside), expected);

    five("the same event without an ID", &|_| vec![(0, unnumbered(1)), (0, cut())], HEALTHY_POISON);
    five("other events without an ID", &|number| vec![(0, unnumbered(number)), (0, cut())], HEALTHY);
    five("repeats", &|_| vec![(0, repeated()), (0, cut())], HEALTHY_POISON);
    let ids = ["8", "9", "10", "11", "12"];
    five("new IDs", &|number| vec![(0, event(ids[usize::try_from(number).unwrap()])), (0, cut())], HEALTHY);
    let further = |number| match number {
        4 => vec![(0, unnumbered(1)), (0, unnumbered(2)), (0, cut())],
        _ => vec![(0, unnumbered(1)), (0, cut())],
    };
    five("one more event at the end", &further, HEALTHY);
    let no_id = responses(5, |_| vec![(0, unnumbered(1)), (0, cut())]);
    assert_eq!(last_step(session(NO_SOURCES), no_id), HEALTHY, "no ID says where it breaks off");

    five("open for 9 s", &|_| vec![(9, cut())], POISON);
    five("open for 10 s", &|_| vec![(10, cut())], HEALTHY);
    let one_is_long = "wait { delay: 12s }; waiting 12s for 4";
    five("one of them open for 10 s", &|number| vec![(if number == 2 { 10 } else { 0 }, cut())], one_is_long);
    five("9 s and a silence", &|_| vec![(69, cut_by(IdleTimeout))], HEALTHY_POISON);
    five("10 s and a silence", &|_| vec![(70, cut_by(IdleTimeout))], HEALTHY);

    five("ends between blocks", &|_| vec![(0, ended_by(EndOfStream))], FIFTH);
    five("ends after the same event", &|_| vec![(0, unnumbered(1)), (0, ended_by(EndOfStream))], HEALTHY);
    five("a silence after the same event", &|_| vec![(0, unnumbered(1)), (60, ended_by(IdleTimeout))], HEALTHY);
    five("an error after the same event", &|_| vec![(0, unnumbered(1)), (0, ended_by(Body))], HEALTHY_POISON);
    five("an error a second after the same event", &|_| vec![(0, unnumbered(1)), (1, ended_by(Body))], HEALTHY_POISON);
    five("a proxy's cut after a greeting", &|_| vec![(0, unnumbered(1)), (2, ended_by(Body))], HEALTHY);
    five(
        "a proxy's cut between heartbeats",
        &|_| vec![(0, unnumbered(1)), (2, comment()), (2, ended_by(Body))],
        HEALTHY,
    );
    five("a cut block after a greeting and silence", &|_| vec![(0, unnumbered(1)), (5, cut())], HEALTHY_POISON);
    five("an error after heartbeats", &|_| vec![(0, ended_by(Body))], FIFTH);
    five("ends within a block", &|_| vec![(0, cut_by(EndOfStream))], POISON);
    five("two ways to break off", &|number| vec![(0, cut_by(if number < 4 { EndOfStream } else { Body }))], FIFTH);
    five("an ordinary end among them", &|number| vec![(0, if number == 2 { ended() } else { cut() })], FIFTH);
}

#[test]
fn a_caller_may_start_the_count_of_breaks_anew() {
    const POISON: &str = "poisoned, wait { delay: 60s }; waiting 60s for 6";
    const FIFTH: &str = "wait { delay: 48s }; waiting 48s for 6";
    let story = |what, ask: Input<'static>, then: Vec<Input<'static>>, expected| {
        let mut inputs = responses(4, |_| vec![(0, cut())]);
        inputs.extend([ask].into_iter().chain(then).chain([accepted(), cut()]).map(|input| (4000, input)));
        assert_eq!(last_step(after_seven(), inputs), expected, "{what}");
    };
    let wait_over = || vec![Input::WaitOver];
    story("a header", asked(&mailbox(), set_header(Apply::NextAttempt)), wait_over(), POISON);
    story("a reconnect", asked(&mailbox(), Mailbox::reconnect), vec![], FIFTH);
    story("another URL", asked(&mailbox(), set_path(Apply::NextAttempt)), wait_over(), FIFTH);
    story("another place to resume", asked(&mailbox(), resume("5")), vec![], FIFTH);
    story("the same place to resume", asked(&mailbox(), resume("7")), vec![], FIFTH);

    // The request of the fifth response was outdated when that broke off.
    let mut inputs = responses(4, |_| vec![(0, cut())]);
    let change = asked(&mailbox(), set_header(Apply::NextAttempt));
    inputs.extend([Input::WaitOver, accepted(), change, cut()].map(|input| (4000, input)));
    assert_eq!(last_step(after_seven(), inputs), FIFTH, "a change that waits for the next attempt");

    // Without subscribers nothing is dialled at once.
    let session = Session::new(lazy(), ReconnectPolicy::daemon(), NO_SOURCES);
    let mut inputs = responses(4, |_| vec![(0, cut())]);
    inputs.insert(1, (0, Input::Demand { present: true }));
    let gone = [Input::Demand { present: false }, Input::LingerOver, asked(&mailbox(), resume(""))];
    let back = [Input::Demand { present: true }, accepted(), cut()];
    inputs.extend(gone.into_iter().chain(back).map(|input| (4000, input)));
    assert_eq!(last_step(session, inputs), FIFTH, "a place to resume, on a lazy stream without subscribers");
}

#[test]
fn the_policy_decides_about_the_end_of_a_stream() {
    for (policy, end, expected) in [
        (ReconnectPolicy::never(), ended(), "close(endofstream)"),
        (ReconnectPolicy::never(), cut(), "fail: Body"),
        (ReconnectPolicy::standard(), ended(), "wait { delay: 3s }; waiting 3s for 2"),
        (ReconnectPolicy::daemon().max_retries(0), ended(), "close(endofstream)"),
        (ReconnectPolicy::daemon().max_elapsed(Duration::from_secs(2)), ended(), "fail: EndOfStream"),
    ] {
        let lines = vec![(0, Input::Connect, DIAL), (0, accepted(), OPEN), (0, end, expected)];
        check(expected, Session::new(config(), policy, NO_SOURCES), lines);
    }
}

#[test]
fn an_end_mark_closes_the_stream_by_any_policy_and_in_a_handover() {
    const CLOSE: &str = "close(endmark)";
    let open = || vec![(0, Input::Connect, DIAL), (0, accepted(), OPEN), (0, event("7"), "stay")];
    for policy in [ReconnectPolicy::never(), ReconnectPolicy::daemon(), ReconnectPolicy::persistent()] {
        let hand_over = || (0, asked(&mailbox(), set_header(Apply::MakeBeforeBreak)), "hand over after 7");
        let story = |what, lines: Vec<StepLine<'_>>| {
            check(what, Session::new(config(), policy.clone(), NO_SOURCES), joined(open(), lines));
        };
        story("in a response", vec![(0, Input::EndMark, CLOSE)]);
        story("before the second response", vec![hand_over(), (0, Input::EndMark, CLOSE)]);
        let take_over = (0, accepted(), "take over, change 1; open 1");
        story("in the second response", vec![hand_over(), take_over, (0, Input::EndMark, CLOSE)]);
    }
}

#[test]
fn each_end_of_a_response_is_retried_after_the_last_whole_event() {
    use ErrorKind::{Body, EndOfStream, IdleTimeout};
    const GAP: &str = "reconnected, resuming after ID \"7\"; read, change 0; open 2";
    for kind in [EndOfStream, Body, IdleTimeout] {
        for end in [ended_by(kind), cut_by(kind)] {
            let what = format!("{end:?}");
            let lines = vec![
                (0, Input::Connect, DIAL),
                (0, accepted(), OPEN),
                (0, event("7"), "stay"),
                (70, end, "wait { delay: 3s }; waiting 3s for 2"),
                (73, Input::WaitOver, "dial after 7; connecting, attempt 2"),
                (73, accepted(), GAP),
            ];
            assert_eq!(check(&what, session(NO_SOURCES), lines).last_event_id(), "7");
        }
    }
}

#[test]
fn a_policy_decides_about_refusals() {
    use ErrorKind::{Connect, ContentEncoding, ContentType, InvalidUrl, Redirect};
    const SOON: &str = "wait { delay: 3s }; waiting 3s for 2";
    const CEILING: &str = "wait { delay: 60s }; waiting 60s for 2";
    let first = |policy, failure, expected| {
        let what = format!("{policy:?}, {failure:?}");
        let lines = vec![(0, Input::Connect, DIAL), (0, failure, expected)];
        check(&what, Session::new(config(), policy, NO_SOURCES), lines);
    };
    let (persistent, standard) = (ReconnectPolicy::persistent, ReconnectPolicy::standard);
    let refusals = [206, 400, 401, 403, 404, 410, 501, 505].map(refused);
    for verdict in refusals.into_iter().chain([ContentType, ContentEncoding, Redirect].map(failed)) {
        first(persistent(), verdict, CEILING);
    }
    first(persistent(), refused(503), SOON);
    first(persistent(), failed(InvalidUrl), "fail: InvalidUrl");
    first(persistent(), Input::NoContent, "close(nocontent)");
    first(standard(), refused(503), "fail: Status");
    first(standard(), failed(Connect), SOON);
    first(ReconnectPolicy::never(), failed(Connect), "fail: Connect");
}

#[test]
fn a_policy_may_limit_the_attempts_and_the_time_of_failing_in_a_row() {
    let (refuse, second) = (|| failed(ErrorKind::Connect), Duration::from_secs(1));
    let fail_twice = || {
        vec![
            (0, refuse(), "wait { delay: 3s }; waiting 3s for 2"),
            (3, Input::WaitOver, "dial; connecting, attempt 2"),
            (3, refuse(), "wait { delay: 6s }; waiting 6s for 3"),
            (9, Input::WaitOver, "dial; connecting, attempt 3"),
        ]
    };
    for policy in [ReconnectPolicy::daemon().max_retries(2), ReconnectPolicy::daemon().max_elapsed(9 * second)] {
        let story = |what, then: Vec<StepLine<'_>>| {
            let lines = joined(joined(vec![(0, Input::Connect, DIAL)], fail_twice()), then);
            check(what, Session::new(config(), policy.clone(), NO_SOURCES), lines);
        };
        story("a third failure", vec![(9, refuse(), "fail: Connect")]);
        story("an end", vec![(9, accepted(), "read, change 0; open 3"), (9, ended(), "fail: EndOfStream")]);
        story(
            "a healthy response starts the count anew",
            vec![
                (9, accepted(), "read, change 0; open 3"),
                (9, unnumbered(1), "stay"),
                (90, ended(), "wait { delay: 3s }; waiting 3s for 2"),
            ],
        );
    }
    let lines = vec![(0, Input::Connect, DIAL), (0, refused_until(503, Some(4 * second)), "fail: Status")];
    let policy = ReconnectPolicy::daemon().max_elapsed(3 * second);
    check("a server that asks for a longer wait", Session::new(config(), policy, NO_SOURCES), lines);
}

#[test]
fn a_clean_end_after_a_retry_is_no_failure() {
    let lines = vec![
        (0, Input::Connect, DIAL),
        (0, failed(ErrorKind::Connect), "wait { delay: 3s }; waiting 3s for 2"),
        (3, Input::WaitOver, "dial; connecting, attempt 2"),
        (3, accepted(), "read, change 0; open 2"),
        (3, retry(500), "stay"),
        (3, ended(), "wait { delay: 500ms }; waiting 0.5s for 2"),
        (4, Input::WaitOver, "dial; connecting, attempt 2"),
        (4, accepted(), "reconnected without an ID: what came in between is lost; read, change 0; open 2"),
        // Not by a response before it.
        (4, ended(), "wait { delay: 1s }; waiting 1s for 3"),
    ];
    check("polling", session(NO_SOURCES), lines);
    let lines = vec![
        (0, Input::Connect, DIAL),
        (0, accepted(), OPEN),
        (0, retry(500), "stay"),
        (0, ended_by(ErrorKind::Body), "wait { delay: 500ms }; waiting 0.5s for 2"),
        (1, Input::WaitOver, "dial; connecting, attempt 2"),
        (1, accepted(), "reconnected without an ID: what came in between is lost; read, change 0; open 2"),
        (1, retry(500), "stay"),
        (1, ended_by(ErrorKind::Body), "wait { delay: 1s }; waiting 1s for 3"),
    ];
    check("a cut", session(NO_SOURCES), lines);
}

#[test]
fn an_attempt_that_waited_in_vain_costs_a_gap_and_no_longer_wait() {
    use ErrorKind::{Connect, Protocol, Proxy, ResponseTimeout};
    const LOSS: &str = "reconnected without an ID: what came in between is lost; read, change 0; open 4";
    let lines = vec![
        (0, Input::Connect, DIAL),
        (0, failed(ResponseTimeout), "wait { delay: 3s }; waiting 3s for 2"),
        (3, Input::WaitOver, "dial; connecting, attempt 2"),
        (3, failed(ResponseTimeout), "wait { delay: 3s }; waiting 3s for 3"),
        (6, Input::WaitOver, "dial; connecting, attempt 3"),
        (6, failed(Connect), "wait { delay: 12s }; waiting 12s for 4"),
        (18, Input::WaitOver, "dial; connecting, attempt 4"),
        (18, accepted(), LOSS),
    ];
    check("before the first response", session(NO_SOURCES), lines);
    let in_vain = [502, 504, 408, 524].map(refused).into_iter().chain([Protocol, Proxy].map(failed));
    for failure in in_vain {
        let what = format!("{failure:?}");
        let lines = vec![
            (0, Input::Connect, DIAL),
            (0, failed(Connect), "wait { delay: 3s }; waiting 3s for 2"),
            (3, Input::WaitOver, "dial; connecting, attempt 2"),
            (13, failed_after(10, failure), "wait { delay: 3s }; waiting 3s for 3"),
            (16, Input::WaitOver, "dial; connecting, attempt 3"),
            (16, failed(Connect), "wait { delay: 12s }; waiting 12s for 4"),
            (28, Input::WaitOver, "dial; connecting, attempt 4"),
            (28, accepted(), LOSS),
        ];
        check(&what, session(NO_SOURCES), lines);
    }
    let lines = vec![
        (0, Input::Connect, DIAL),
        (9, failed_after(9, failed(Protocol)), "wait { delay: 3s }; waiting 3s for 2"),
        (12, Input::WaitOver, "dial; connecting, attempt 2"),
        (12, failed_after(0, refused(504)), "wait { delay: 6s }; waiting 6s for 3"),
        (18, Input::WaitOver, "dial; connecting, attempt 3"),
        (18, accepted(), "read, change 0; open 3"),
    ];
    check("not in vain: it was refused soon", session(NO_SOURCES), lines);
    for (seconds, expected) in
        [(10, "reconnected without an ID: what came in between is lost; read, change 0; open 1"), (9, OPEN)]
    {
        let error = Error::new(Protocol, "scripted").after_waiting(Some(Duration::from_secs(seconds)));
        let accepted = Input::Accepted { head: head(), repeated_after: Some(error) };
        let lines = vec![(0, Input::Connect, DIAL), (10, accepted, expected)];
        check("sent once more on another connection", session(NO_SOURCES), lines);
    }
    // It is an attempt all the same.
    let session = Session::new(config(), ReconnectPolicy::daemon().max_retries(1), NO_SOURCES);
    let lines = vec![
        (0, Input::Connect, DIAL),
        (0, failed(ResponseTimeout), "wait { delay: 3s }; waiting 3s for 2"),
        (3, Input::WaitOver, "dial; connecting, attempt 2"),
        (3, failed(ResponseTimeout), "fail: ResponseTimeout"),
    ];
    check("up to a limit", session, lines);
}

#[test]
fn an_error_says_after_how_many_attempts_the_policy_gave_up() {
    let refuse = || failed(ErrorKind::Connect);
    for (retries, last, expected) in [
        (2, refuse(), "gave up after 3 attempts: scripted"),
        (0, refuse(), "scripted"),
        // Nothing was given up: another attempt would get the same answer.
        (2, failed(ErrorKind::ContentType), "scripted"),
    ] {
        let mut session = Session::new(config(), ReconnectPolicy::daemon().max_retries(retries), NO_SOURCES);
        let now = Instant::now();
        let before = (0..retries).flat_map(|_| [refuse(), Input::WaitOver]);
        let steps = [Input::Connect].into_iter().chain(before).chain([last]).map(|input| session.handle(input, now));
        let Some(Step { action: Action::Close(reason), .. }) = steps.last() else { panic!("the end") };
        assert_eq!(reason.to_string(), expected);
        assert_eq!(reason.error().unwrap().attempts(), Some(retries + 1));
    }
}

#[test]
fn an_id_that_cannot_be_sent_is_left_out_and_kept() {
    const LOSS: &str = "reconnected without an ID: what came in between is lost; read, change 0; open 2";
    let calls = mailbox();
    let lines = vec![
        (0, Input::Connect, DIAL),
        (0, accepted(), OPEN),
        (0, event("\u{1}"), "stay"),
        (0, ended(), "wait { delay: 3s }; waiting 3s for 2"),
        (3, Input::WaitOver, "ID left out, dial; connecting, attempt 2"),
        (3, accepted(), LOSS),
        (3, asked(&calls, set_header(Apply::MakeBeforeBreak)), "ID left out, hand over"),
        (3, failed(ErrorKind::Connect), "stay with the open response, change 1"),
    ];
    let session = check("it is left out", session(NO_SOURCES), lines);
    assert_eq!(session.last_event_id(), "\u{1}");
    let lines = vec![
        (0, event("8"), "stay"),
        (0, ended(), "wait { delay: 3s }; waiting 3s for 2"),
        (3, Input::WaitOver, "dial after 8; connecting, attempt 2"),
    ];
    check("the next one is sent", session, lines);
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
    let story = |what, lines: Vec<StepLine<'_>>| drop(check(what, session(CREDENTIALS), joined(open(), lines)));
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
fn other_calls_replace_a_handover_that_is_under_way() {
    const AFTER_FIVE: &str = "restart, dial after 5; connecting, attempt 1";
    const CONTINUE: &str = "continuehandover; connecting, attempt 1";
    const LINGER: &str = "linger { delay: 5s }";
    let demand = |present| Input::Demand { present };
    let same_origin = (
        "hand over after 7",
        "take over, change 1; open 1",
        "dial after 7; connecting, attempt 1",
        "reconnected, resuming after ID \"7\"; read, change 1; open 1",
    );
    let other_origin = (
        "hand over elsewhere",
        "restart, take over, change 1; open 1",
        "restart, dial; connecting, attempt 1",
        "reconnected without an ID: what came in between is lost; read, change 1; open 1",
    );
    for (hand_over, take_over, dial, gap) in [same_origin, other_origin] {
        let story = |what, then: &dyn Fn(&Mailbox) -> Vec<StepLine<'static>>| {
            let calls = mailbox();
            let handover = if hand_over.ends_with("elsewhere") {
                asked(&calls, set_origin(Apply::MakeBeforeBreak))
            } else {
                asked(&calls, set_header(Apply::MakeBeforeBreak))
            };
            let open = vec![(0, Input::Connect, "stay"), (0, demand(true), DIAL), (0, accepted(), OPEN)];
            let begin = joined(open, vec![(0, event("7"), "stay"), (0, handover, hand_over)]);
            let session = Session::new(lazy(), ReconnectPolicy::daemon(), NO_SOURCES);
            check(&format!("{hand_over}, {what}"), session, joined(begin, then(&calls)));
        };
        story("a change for the next attempt", &|calls| {
            vec![(0, asked(calls, set_header(Apply::NextAttempt)), "stay"), (0, accepted(), take_over)]
        });
        story("a reconnect", &|calls| vec![(0, asked(calls, Mailbox::reconnect), dial), (0, accepted(), gap)]);
        story("another place to resume", &|calls| vec![(0, asked(calls, resume("5")), AFTER_FIVE)]);
        story("no subscriber comes in time", &|_| {
            vec![
                (0, demand(false), LINGER),
                (5, Input::LingerOver, "sleep; idle"),
                (6, demand(true), dial),
                (6, accepted(), gap),
            ]
        });
        story("another handover after the end", &|calls| {
            vec![(0, ended(), CONTINUE), (0, asked(calls, set_header(Apply::MakeBeforeBreak)), dial)]
        });
        story("another place to resume after the end", &|calls| {
            vec![(0, ended(), CONTINUE), (0, asked(calls, resume("5")), AFTER_FIVE)]
        });
        story("no subscriber comes in time after the end", &|_| {
            vec![
                (0, ended(), CONTINUE),
                (0, demand(false), LINGER),
                (5, Input::LingerOver, "sleep; idle"),
                (6, demand(true), dial),
            ]
        });
    }
}

#[test]
fn a_change_of_origin_leaves_the_last_event_id_behind() {
    let open = || vec![(0, Input::Connect, DIAL), (0, accepted(), OPEN), (0, event("7"), "stay")];
    let story = |what, lines: Vec<StepLine<'_>>| check(what, session(NO_SOURCES), joined(open(), lines));
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
