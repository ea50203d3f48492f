//! Streams that break off at the same place again and again, and such as only look like it.

use crate::{Apply, Resume};

use super::*;

const CUT_BLOCK: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: x\n\ndata: y\n";
const UNFINISHED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: y\n";
const LONG: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\n";
const ENOUGH: usize = 12;

/// Says all of this, the body in parts a second apart, and closes: before the length that was
/// promised.
fn cut(body: &[&'static str]) -> Script {
    let part = |part: &&'static str| (Duration::from_secs(1), *part);
    Script::Talk([(AT_ONCE, LONG)].into_iter().chain(body.iter().map(part)).collect())
}

/// Returns true if a stream of these scripts is given up as poisoned within so many attempts.
async fn is_poisoned(scripts: Vec<Script>, attempts: usize) -> bool {
    let (scripted, handle) = stream_with(ReconnectPolicy::daemon().stop_on_poison(), scripts);
    handle.connect();
    let mut asked = scripted.asked.subscribe();
    tokio::select! {
        reason = handle.closed() => reason.error().unwrap().kind() == ErrorKind::Poisoned,
        _ = asked.wait_for(|asked| asked.len() >= attempts) => false,
    }
}

#[tokio::test(start_paused = true)]
async fn five_breaks_at_one_place_are_poison_and_retried_every_minute() {
    let first = || Script::Answer(WITH_ID, AT_ONCE);
    for poison in [CUT, CUT_BLOCK] {
        let scripts = vec![first(), Script::Answer(poison, AT_ONCE)];
        let (_, handle) = stream(scripts.clone());
        let mut states = handle.state_changes();
        handle.connect();
        let cause = loop {
            if let Some(State::Waiting { cause, .. }) = states.recv().await {
                if cause.kind() == ErrorKind::Poisoned {
                    break cause;
                }
            }
        };
        assert!(cause.to_string().contains("5 times in a row after the ID \"7\""), "{cause}");
        assert_eq!(handle.stats().failures[&ErrorKind::Poisoned], 1);
        assert_back_off(&pauses(scripts.clone(), 8).await, &[3.0, 3.0, 3.0, 3.0, 3.0, 60.0, 60.0]);

        let (scripted, handle) = stream_with(ReconnectPolicy::daemon().stop_on_poison(), scripts);
        handle.connect();
        assert_eq!(handle.closed().await.error().unwrap().kind(), ErrorKind::Poisoned);
        assert_eq!(scripted.asked.borrow().len(), 6);
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_always_waits_as_long_does_so_for_a_poisoned_stream() {
    let scripts = vec![Script::Answer(WITH_ID, AT_ONCE), Script::Answer(CUT, AT_ONCE)];
    assert_eq!(seconds(&pauses_with(ReconnectPolicy::standard(), scripts, 9).await), [3; 8]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_no_poison_unless_the_silence_is_within_a_block() {
    let seconds = Duration::from_secs;
    // Also if a response that stayed open as long as that would be a healthy one.
    for (text, timeout, is_poison) in [
        (EMPTY, seconds(5), false),
        (EMPTY, seconds(60), false),
        (UNFINISHED, seconds(5), true),
        (UNFINISHED, seconds(60), true),
    ] {
        let silent = Script::Answer(text, Duration::from_secs(3600));
        let scripts = vec![Script::Answer(WITH_ID, AT_ONCE), silent];
        let scripted = Arc::new(Scripted { scripts, asked: watch::Sender::default() });
        let stream = Client::with_connector(scripted.clone()).stream("http://host/");
        let policy = ReconnectPolicy::daemon().stop_on_poison();
        let handle = stream.reconnect_policy(policy).idle_timeout(timeout).build().unwrap();
        handle.connect();
        let mut asked = scripted.asked.subscribe();
        let reason = tokio::select! {
            reason = handle.closed() => Some(reason),
            _ = asked.wait_for(|asked| asked.len() >= 12) => None,
        };
        let kind = reason.as_ref().and_then(CloseReason::error).map(Error::kind);
        assert_eq!(kind, is_poison.then_some(ErrorKind::Poisoned), "{text}, {timeout:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn breaks_between_blocks_without_an_id_or_after_long_are_no_poison() {
    let cut_late = Script::Talk(vec![(AT_ONCE, CUT), (Duration::from_secs(10), "")]);
    for scripts in [
        vec![Script::Answer(WITH_ID, AT_ONCE)],
        vec![Script::Answer(CUT, AT_ONCE)],
        vec![Script::Answer(WITH_ID, AT_ONCE), cut_late],
    ] {
        assert!(pauses(scripts, 12).await.iter().all(|&pause| pause < 15.0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_new_events_is_no_poison_with_or_without_ids() {
    let lines = ["data: a\n\n", "data: b\n\n", "data: c\n\n", "data: d\n\n", "data: e\n\n", "data: f\n\n"];
    let first = || Script::Answer(WITH_ID, AT_ONCE);
    // Others each time, and more each time.
    let others = lines.iter().map(|line| cut(&[line]));
    let more = (1..=lines.len()).map(|some| cut(&lines[..some]));
    for flow in [others.collect::<Vec<_>>(), more.collect()] {
        let attempts = 1 + flow.len();
        assert!(!is_poisoned([vec![first()], flow].concat(), attempts + 1).await);
    }
    // Repeating the same events is no progress.
    assert!(is_poisoned(vec![first(), cut(&lines[..3])], ENOUGH).await);
    assert!(is_poisoned(vec![first(), cut(&lines[..3]), cut(&lines[..2]), cut(&lines[..3])], ENOUGH).await);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_that_a_proxy_cuts_off_are_no_poison() {
    for body in [&[":\n\n", ":\n\n", ": still here\n\n"][..], &[":\n"], &[": stil"], &[":\n\n", ":"], &[]] {
        assert!(!is_poisoned(vec![Script::Answer(WITH_ID, AT_ONCE), cut(body)], ENOUGH).await, "{body:?}");
    }
    assert!(is_poisoned(vec![Script::Answer(WITH_ID, AT_ONCE), cut(&[":\n\n", "data: y\n"])], ENOUGH).await);
}

/// Asks for something else.
type Ask = fn(&Handle);

#[tokio::test(start_paused = true)]
async fn a_reconnect_or_an_update_by_the_caller_begins_the_count_anew() {
    let hour = Duration::from_secs(3600);
    let broken = || Script::Answer(CUT_BLOCK, AT_ONCE);
    let well = |text| Script::Answer(text, hour);
    let reconnect: Ask = |handle| handle.reconnect();
    let elsewhere: Ask = |handle| handle.reconnect_from(Resume::Id("3".into())).unwrap();
    let url: Ask = |handle| drop(handle.update(|request| request.url("http://host/other"), Apply::Reconnect));
    let beside: Ask = |handle| drop(handle.update(|request| request, Apply::MakeBeforeBreak));
    for (open, ask) in [(EMPTY, reconnect), (EMPTY, elsewhere), (EMPTY, url), (EMPTY, beside), (WITH_ID, reconnect)] {
        let row = [Script::Answer(WITH_ID, AT_ONCE), broken(), broken(), broken(), broken(), well(open), broken()];
        let (scripted, handle) = stream_with(ReconnectPolicy::daemon().stop_on_poison(), row.into());
        handle.connect();
        let mut asked = scripted.asked.subscribe();
        asked.wait_for(|asked| asked.len() == 6).await.unwrap();
        handle.opened().await.unwrap();
        ask(&handle);
        assert_eq!(handle.closed().await.error().unwrap().kind(), ErrorKind::Poisoned);
        assert_eq!(scripted.asked.borrow().len(), 6 + 5, "five more");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_asks_for_something_else_restarts_the_count() {
    let reconnect: Ask = |handle| handle.reconnect();
    let elsewhere: Ask = |handle| handle.reconnect_from(Resume::Id("7".into())).unwrap();
    let changed: Ask = |handle| drop(handle.update(|request| request.bearer_auth("fresh"), Apply::Reconnect));
    for ask in [reconnect, elsewhere, changed] {
        let (scripted, handle) = stream_with(
            ReconnectPolicy::daemon().stop_on_poison(),
            vec![Script::Answer(WITH_ID, AT_ONCE), Script::Answer(CUT_BLOCK, AT_ONCE)],
        );
        let mut states = handle.state_changes();
        handle.connect();
        scripted.asked.subscribe().wait_for(|asked| asked.len() == 5).await.unwrap();
        while !matches!(states.recv().await, Some(State::Waiting { attempt: 2, .. })) {}
        ask(&handle);
        assert_eq!(handle.closed().await.error().unwrap().kind(), ErrorKind::Poisoned);
        assert_eq!(scripted.asked.borrow().len(), 5 + 5);
    }
}
