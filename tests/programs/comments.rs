//! Comments in their place between the events.

use sseclient::{Filter, Gap, Overflow, SubscribeOptions, Transcript, TranscriptItem, TryRecvError};

use crate::support::{staying, stream, until, within};

/// An item in short; `None` for states.
fn short(item: TranscriptItem) -> Option<String> {
    match item {
        TranscriptItem::Event(event) => Some(event.data().to_owned()),
        TranscriptItem::Comment(comment) => Some(format!(":{comment}")),
        TranscriptItem::Gap(Gap::Lagged { missed, .. }) => Some(format!("{missed} missed")),
        TranscriptItem::Gap(gap) => Some(gap.to_string()),
        _ => None,
    }
}

/// The next items that are no states.
async fn next(transcript: &mut Transcript, items: usize) -> Vec<String> {
    let mut taken = Vec::new();
    while taken.len() < items {
        taken.extend(short(within(transcript.recv()).await.unwrap()));
    }
    taken
}

#[tokio::test]
async fn a_transcript_has_comments_between_the_events_that_its_filter_passes() {
    let events =
        ": one\n\nevent: a\ndata: 1\n\nevent: b\ndata: 2\n\n: two\n\nevent: a\ndata: 3\n\ndata: 4\n\n: end\n\n";
    let server = staying(events).await;
    let handle = stream(server.url()).build().unwrap();
    let options = SubscribeOptions::default;
    let mut all = handle.transcript();
    let mut only_a = handle.transcript_with("a", options().name("a"));
    let mut large = handle.transcript_with(Filter::from(["a", "b"]).and(|event| event.data() > "1"), options());
    assert_eq!((only_a.name(), all.name()), ("a", ""));
    handle.connect();
    assert_eq!(next(&mut all, 7).await, [": one", "1", "2", ": two", "3", "4", ": end"]);
    assert_eq!(next(&mut only_a, 5).await, [": one", "1", ": two", "3", ": end"]);
    assert_eq!(next(&mut large, 5).await, [": one", "2", ": two", "3", ": end"]);
    // Like subscriptions, they end with the stream, after its last state.
    within(handle.shutdown()).await;
    for mut transcript in [all, only_a, large] {
        assert!(matches!(transcript.try_recv(), Ok(TranscriptItem::State(state)) if state.close_reason().is_some()));
        assert!(matches!(transcript.try_recv(), Err(TryRecvError::Closed)));
    }
}

#[tokio::test]
async fn a_transcript_takes_many_items_at_once() {
    let server = staying(": one\n\ndata: 1\n\ndata: 2\n\n: two\n\n").await;
    let handle = stream(server.url()).build().unwrap();
    let mut transcript = handle.transcript();
    assert!(matches!(transcript.try_recv(), Err(TryRecvError::Empty)));
    handle.connect();
    until("all have come", || handle.stats().comments == 2).await;
    let mut items = Vec::new();
    assert_eq!(within(transcript.recv_many(&mut items, 0)).await, 0);
    // Two states come first.
    assert_eq!(within(transcript.recv_many(&mut items, 3)).await, 3);
    while items.len() < 6 {
        assert!(within(transcript.recv_many(&mut items, 100)).await > 0);
    }
    let items: Vec<String> = items.drain(..).filter_map(short).collect();
    assert_eq!(items, [": one", "1", "2", ": two"]);
    within(handle.shutdown()).await;
    let mut rest = Vec::new();
    assert_eq!(within(transcript.recv_many(&mut rest, 100)).await, 1, "the last state");
    assert_eq!(within(transcript.recv_many(&mut rest, 100)).await, 0);
}

#[tokio::test]
async fn a_transcript_with_a_policy_of_its_own_disturbs_no_other() {
    let server = staying("data: x\n\n: y\n\n".repeat(500)).await;
    let handle = stream(server.url()).build().unwrap();
    let options = SubscribeOptions::default().capacity(4).overflow(Overflow::Conflate);
    let mut display = handle.transcript_with(Filter::all(), options);
    let mut recorder = handle.transcript();
    handle.connect();
    assert_eq!(next(&mut recorder, 1000).await.len(), 1000);
    // It has held up nothing, and knows what it has lost.
    let TranscriptItem::Gap(gap) = within(display.recv()).await.unwrap() else { panic!("a gap") };
    assert!(matches!(gap, Gap::Lagged { .. }), "{gap}");
}

#[tokio::test]
async fn events_that_a_filter_rejects_take_no_room_in_a_transcript() {
    let server = staying(format!("event: rare\ndata: 1\n\n{}: end\n\n", "data: x\n\n".repeat(500))).await;
    let handle = stream(server.url()).build().unwrap();
    let options = SubscribeOptions::default().capacity(4).overflow(Overflow::DropOldest);
    let mut rare = handle.transcript_with("rare", options);
    handle.connect();
    until("all have come", || handle.stats().comments == 1).await;
    assert_eq!(next(&mut rare, 2).await, ["1", ": end"]);
}
