//! Handover from a response that is still read to a second one: which events are dropped, and when
//! a gap is due.

use std::sync::Arc;

use sseclient::testing::{Script, Server};
use sseclient::{Apply, Delivery, Gap, Subscription};
use tokio::sync::Notify;

use crate::support::{OPEN, follow, notified, serve, stream, until, within};

/// Parses a line of events. The part before the slash is the ID, the whole word is the data. `-` is
/// no ID. A plus joins events that the server sends in one piece.
fn events(line: &str) -> String {
    let event = |name: &str| match name.split_once('/') {
        Some(("-", _)) => format!("data: {name}\n\n"),
        // A block without data.
        Some((id, "")) => format!("id: {id}\n\n"),
        Some((id, _)) => format!("id: {id}\ndata: {name}\n\n"),
        None => format!("id: {name}\ndata: {name}\n\n"),
    };
    line.split([' ', '+']).filter(|name| !name.is_empty()).map(event).collect()
}

/// The events of two responses: of the first before and after the request for the second, and of
/// the second.
#[derive(Debug, Clone, Copy)]
struct Case {
    before: &'static str,
    meanwhile: &'static str,
    second: &'static str,
    /// The deliveries of the second response.
    expected: &'static str,
}

/// A server that sends the events of the first response one by one, when told, and those of the
/// second at once.
async fn told(case: Case) -> (Server, [Arc<Notify>; 2]) {
    let told = <[Arc<Notify>; 2]>::default();
    let first = case.before.split_whitespace().chain(case.meanwhile.split_whitespace());
    let first = first.fold(Script::open(), |script, event| script.wait_for(notified(&told[0])).bytes(events(event)));
    let second = Script::raw().wait_for(notified(&told[1])).bytes(format!("{OPEN}{}", events(case.second)));
    (serve([first, second]).await, told)
}

/// The next deliveries in a line, up to the event called `last`.
async fn line(subscription: &mut Subscription, last: &str) -> String {
    let mut line = Vec::new();
    while line.last().is_none_or(|newest| newest != last) {
        line.push(match within(subscription.recv()).await.expect("the stream goes on") {
            Delivery::Event(event) => event.data().to_owned(),
            Delivery::Gap(Gap::Reconnected { .. }) => "gap".to_owned(),
            Delivery::Gap(gap) => panic!("{gap}"),
        });
    }
    line.join(" ")
}

async fn assert_takes_over(case: Case) {
    let (server, go_on) = told(case).await;
    let (handle, mut subscription) = follow(stream(server.url()));
    until("it is open", || handle.state().is_open()).await;
    for event in case.before.split_whitespace() {
        go_on[0].notify_one();
        let events: Vec<_> = event.split('+').filter(|name| !name.ends_with('/')).collect();
        assert_eq!(line(&mut subscription, events.last().unwrap()).await, events.join(" "));
    }
    let update = handle.update(|request| request, Apply::MakeBeforeBreak);
    until("the second request comes", || server.requests().len() == 2).await;
    for event in case.meanwhile.split_whitespace() {
        go_on[0].notify_one();
        assert_eq!(line(&mut subscription, event).await, event);
    }
    go_on[1].notify_one();
    within(update).await.unwrap();
    let last = case.expected.split_whitespace().last().unwrap();
    assert_eq!(line(&mut subscription, last).await, case.expected, "{case:?}");
    let gaps = case.expected.split_whitespace().filter(|word| *word == "gap").count();
    assert_eq!(handle.stats().gaps, gaps as u64, "{case:?}");
}

async fn assert_take_over(cases: &[(&'static str, &'static str, &'static str, &'static str)]) {
    for &(before, meanwhile, second, expected) in cases {
        assert_takes_over(Case { before, meanwhile, second, expected }).await;
    }
}

#[tokio::test]
async fn ids_that_are_not_unique_hide_nothing() {
    assert_take_over(&[
        ("v/1", "v/2", "v/2 v/3 v/4", "gap v/2 v/3 v/4"),
        ("v/1", "v/2 v/3", "v/4", "gap v/4"),
        ("v/1 v/2", "", "v/3", "gap v/3"),
        ("5+6/a+6/b", "", "6/new 7", "gap 6/new 7"),
        ("5 6/a 6/b", "", "6/new 7", "gap 6/new 7"),
        ("5+6/a 6/b", "", "6/new 7", "gap 6/new 7"),
        ("5+5+6/a", "", "6/a 7", "7"),
        ("5 6/a+6/b+6/", "", "6/new 7", "gap 6/new 7"),
        ("5 6/a+-/b+6/", "", "-/new 7", "gap -/new 7"),
        ("5 6/a 6/b+6/", "", "6/new 7", "gap 6/new 7"),
        ("1", "2/a 3/b 2/c", "2/d 2/e", "gap 2/d 2/e"),
        ("1", "2/a 2/b", "2/a 2/b 2/c", "gap 2/a 2/b 2/c"),
        // IDs that are not unique are recognised as long as the order repeats.
        ("1", "2 3/a 3/b 4", "2 3/a 3/b 4 5", "5"),
    ])
    .await;
}

#[tokio::test]
async fn without_any_id_a_second_response_is_compared_with_recent_events() {
    assert_take_over(&[
        ("", "1 2", "1 2 3", "3"),
        ("", "1 2", "2 3", "3"),
        ("-/a", "1", "1 2", "2"),
        ("-/a", "1", "-/a 1 2", "gap -/a 1 2"),
        ("", "1 2", "5", "gap 5"),
        ("", "", "1", "gap 1"),
    ])
    .await;
}

#[tokio::test]
async fn an_order_that_turns_back_is_a_gap() {
    assert_take_over(&[("1", "2 3 4", "2 3 2 4 5", "gap 2 4 5"), ("1", "2 3", "2 2 3", "gap 2 3")]).await;
}

#[tokio::test]
async fn an_event_without_an_id_is_not_lost_without_a_gap() {
    assert_take_over(&[
        ("1", "-/b -/c", "-/d -/e", "gap -/d -/e"),
        ("1 -/b", "", "-/c", "gap -/c"),
        ("1", "2 -/b", "2 -/c", "gap -/c"),
        ("1", "-/b 2", "-/c 3", "gap -/c 3"),
        ("1", "2 -/b 3", "2 -/b -/c 3 4", "gap -/c 3 4"),
        // In its place in the order it is a repeat.
        ("1", "2 -/b 3", "2 -/b 3 -/c 4", "-/c 4"),
        ("1", "2 -/b 3", "2 3 -/c 4", "-/c 4"),
        ("1", "", "-/b 2", "-/b 2"),
    ])
    .await;
}

#[tokio::test]
async fn a_server_may_begin_with_the_event_whose_id_was_sent() {
    assert_take_over(&[
        ("1", "2 3", "1 2 3 4", "4"),
        ("1", "", "1 2", "2"),
        ("1 2", "", "2 3", "3"),
        ("1", "-/b 2", "1 -/b 2 3", "3"),
        // After the repeats the second response continues elsewhere.
        ("1", "2", "1 3", "gap 3"),
        // Later in the response it is a new event.
        ("1", "2 3", "2 1 3 4", "gap 1 3 4"),
    ])
    .await;
}

#[tokio::test]
async fn a_response_that_takes_over_from_a_quiet_one_is_taken_at_its_word() {
    assert_take_over(&[("1", "", "2 3", "2 3"), ("1", "", "9", "9")]).await;
}
