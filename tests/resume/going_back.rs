//! A program that goes back to its last committed ID. All later events come again, and count again.

use sseclient::testing::{Plan, Script};
use sseclient::{Commit, Delivery, Filter, Gap, Overflow, Resume, SubscribeOptions, Subscription};

use super::memory::{Memory, acknowledging};
use crate::support::{numbered, resuming, serve, stream, until, within};

async fn expect(subscription: &mut Subscription, expected: &[&str]) {
    for expected in expected {
        match within(subscription.recv()).await {
            Some(Delivery::Event(event)) => {
                assert_eq!(event.data(), *expected);
                subscription.acknowledge(&event);
            }
            other => panic!("{other:?}, not {expected}"),
        }
    }
}

#[tokio::test]
async fn events_that_a_program_goes_back_for_are_no_repeats() {
    for (resume, sent, again) in
        [(Resume::Id("2".into()), Some("2"), &["3", "4", "5"][..]), (Resume::Fresh, None, &["1", "2", "3", "4", "5"])]
    {
        let server = resuming(|after| numbered(after + 1..=5)).await;
        let memory = Memory::default();
        let stream = stream(server.url()).drop_repeats(100).resume_store(memory.clone(), Commit::Acknowledgement);
        let handle = stream.build().unwrap();
        let mut events = acknowledging(&handle, Filter::all());
        handle.connect();
        expect(&mut events, &["1", "2", "3", "4", "5"]).await;
        memory.holds("5").await;
        handle.reconnect_from(resume).unwrap();
        assert_eq!(within(events.recv()).await, Some(Delivery::Gap(Gap::reconnected(sent.map(str::to_owned)))));
        memory.holds(sent.unwrap_or_default()).await;
        expect(&mut events, again).await;
        memory.holds("5").await;
        assert_eq!(handle.stats().repeats, 0);
        // Events that come after the call can be acknowledged.
        handle.reconnect();
        assert_eq!(within(events.recv()).await, Some(Delivery::Gap(Gap::reconnected(Some("5".into())))));
    }
}

#[tokio::test]
async fn a_program_can_go_back_to_an_inherited_id_and_save_it_again() {
    const INHERITING: u64 = 60;
    let server = serve(Plan::each(|number, _| {
        let inheriting = "data: x\n\n".repeat(INHERITING as usize);
        Script::open().bytes(match number {
            1 => format!("id: 1\ndata: first\n\n{inheriting}"),
            _ => format!("{inheriting}id: 2\ndata: last\n\n"),
        })
    }))
    .await;
    let memory = Memory::default();
    let stream = stream(server.url()).capacity(16).resume_store(memory.clone(), Commit::Acknowledgement);
    let handle = stream.build().unwrap();
    let lossy = SubscribeOptions::default().acknowledging().overflow(Overflow::default());
    // It has nothing to take, so the stream waits for the other one for a second only.
    let _held_up = handle.subscribe("other");
    let mut events = handle.subscribe_with(Filter::all(), lossy);
    handle.connect();
    until("the queue has overflown", || handle.stats().events == 1 + INHERITING).await;
    assert_eq!(handle.last_event_id(), "1");
    loop {
        match within(events.recv()).await {
            Some(Delivery::Gap(Gap::Lagged { .. })) => handle.reconnect_from(Resume::Id("1".into())).unwrap(),
            Some(Delivery::Event(event)) => {
                events.acknowledge(&event);
                if event.data() == "last" {
                    break;
                }
            }
            Some(Delivery::Gap(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    memory.holds("2").await;
}

#[tokio::test]
async fn from_the_call_on_nothing_that_came_before_can_be_acknowledged() {
    let server = resuming(|after| numbered(after + 1..=3)).await;
    let memory = Memory::default();
    let handle = stream(server.url()).resume_store(memory.clone(), Commit::Acknowledgement).build().unwrap();
    let mut events = acknowledging(&handle, Filter::all());
    handle.connect();
    expect(&mut events, &["1"]).await;
    let Some(Delivery::Event(second)) = within(events.recv()).await else { panic!("an event") };
    until("the third is here", || handle.stats().events == 3).await;
    handle.reconnect_from(Resume::Id("1".into())).unwrap();
    // The connection task has not seen the call yet.
    assert!(!events.acknowledge(&second));
    let Some(Delivery::Event(third)) = within(events.recv()).await else { panic!("an event") };
    assert!(!events.acknowledge(&third), "it comes again");
    assert_eq!(within(events.recv()).await, Some(Delivery::Gap(Gap::reconnected(Some("1".into())))));
    for id in ["2", "3"] {
        let Some(Delivery::Event(event)) = within(events.recv()).await else { panic!("an event") };
        assert_eq!(event.data(), id);
        assert!(events.acknowledge(&event));
        memory.holds(id).await;
    }
}
