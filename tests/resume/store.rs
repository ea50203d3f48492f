//! Resumption across restarts: when a resume store loads and saves, and streams whose store fails.

use std::time::Duration;

use super::memory::{Memory, acknowledging};
use crate::support::folder::Folder;
use crate::support::{headers, next_event, numbered, resuming, serve, status, staying, stream, until, within};
use sseclient::testing::{Script, Server};
use sseclient::{
    CloseReason, Commit, Delivery, Drain, ErrorKind, Event, FileStore, Filter, Gap, ReconnectPolicy, Resume,
    Subscription,
};

/// A server with the events 1 to `last`, of type `even` or `odd`, that resumes after the last event
/// ID.
async fn numbers(last: u64) -> Server {
    resuming(move |after| {
        let event = |id| format!("event: {}\nid: {id}\ndata: {id}\n\n", if id % 2 == 0 { "even" } else { "odd" });
        (after + 1..=last).map(event).collect()
    })
    .await
}

async fn take(subscription: &mut Subscription, events: usize) -> Vec<Event> {
    let mut taken = Vec::new();
    while taken.len() < events {
        taken.push(next_event(subscription).await);
    }
    taken
}

#[tokio::test]
async fn the_next_run_goes_on_after_what_was_delivered() {
    let server = numbers(10).await;
    let memory = Memory::default();
    for (sent, first) in [(None, Some("1")), (Some("10"), None)] {
        let handle = stream(server.url()).resume_store(memory.clone(), Commit::Delivery).build().unwrap();
        let mut events = handle.subscribe(Filter::all());
        handle.connect();
        within(handle.opened()).await.unwrap();
        if let Some(first) = first {
            assert_eq!(next_event(&mut events).await.data(), first);
        }
        memory.holds("10").await;
        within(handle.shutdown()).await;
        assert_eq!(headers(&server, "last-event-id").last().unwrap().as_deref(), sent);
    }
    assert_eq!(memory.loads(), 2);
}

#[tokio::test]
async fn a_stored_id_overrides_the_programs_and_an_empty_store_does_not() {
    let server = numbers(0).await;
    for (memory, sent) in
        [(Memory::holding("5"), Some("5")), (Memory::holding(""), None), (Memory::default(), Some("3"))]
    {
        let handle = stream(server.url()).last_event_id("3").resume_store(memory, Commit::Delivery).build().unwrap();
        handle.connect();
        within(handle.opened()).await.unwrap();
        assert_eq!(headers(&server, "last-event-id").last().unwrap().as_deref(), sent);
    }
}

/// The order of the acknowledgements does not matter.
#[tokio::test]
async fn the_store_moves_as_far_as_every_event_is_acknowledged() {
    let server = numbers(6).await;
    let memory = Memory::default();
    let handle = stream(server.url()).resume_store(memory.clone(), Commit::Acknowledgement).build().unwrap();
    let mut orders = acknowledging(&handle, Filter::all());
    handle.connect();
    let events = take(&mut orders, 5).await;
    assert!(orders.acknowledge(&events[0]));
    memory.holds("1").await;
    assert!(!orders.acknowledge(&events[0]), "twice");
    for index in [4, 2, 1] {
        assert!(orders.acknowledge(&events[index]));
    }
    memory.holds("3").await;
    orders.acknowledge(&events[3]);
    memory.holds("5").await;
    let last = next_event(&mut orders).await;
    within(handle.shutdown()).await;
    assert_eq!(memory.id().unwrap(), "5");
    assert!(orders.acknowledge(&last), "the drain is over, so this ID is not saved");
}

#[tokio::test]
async fn each_acknowledging_subscription_holds_the_store_back_and_others_do_not() {
    let server = numbers(9).await;
    let memory = Memory::default();
    let handle = stream(server.url()).resume_store(memory.clone(), Commit::Acknowledgement).build().unwrap();
    let (mut even, mut odd) = (acknowledging(&handle, "even"), acknowledging(&handle, "odd"));
    let mut reader = handle.subscribe(Filter::all());
    handle.connect();
    for event in take(&mut odd, 5).await {
        odd.acknowledge(&event);
    }
    memory.holds("1").await;
    for (event, safe) in take(&mut even, 4).await.iter().zip(["3", "5", "7", "9"]) {
        assert!(!reader.acknowledge(event) && !odd.acknowledge(event), "an event of another subscription");
        even.acknowledge(event);
        memory.holds(safe).await;
    }
    assert_eq!(next_event(&mut reader).await.data(), "1");
}

/// Predicates run at the end of a turn, so their events are queued after newer ones.
#[tokio::test]
async fn an_id_of_several_events_waits_for_all_of_them_beside_a_predicate() {
    let server = staying("id: 1\ndata: some\n\nid: 2\ndata: x\n\nid: 2\ndata: y\n\n").await;
    let memory = Memory::default();
    let handle = stream(server.url()).resume_store(memory.clone(), Commit::Acknowledgement).build().unwrap();
    let mut all = acknowledging(&handle, Filter::all());
    let mut some = acknowledging(&handle, Filter::all().and(|event: &Event| event.data() == "some"));
    handle.connect();
    let first = next_event(&mut some).await;
    some.acknowledge(&first);
    let events = take(&mut all, 3).await;
    assert!(events[..2].iter().all(|event| all.acknowledge(event)));
    within(handle.shutdown()).await;
    assert_eq!(memory.id().as_deref(), Some("1"), "a client that resumes after 2 gets none of its events again");
}

/// When no other event is unacknowledged.
#[tokio::test]
async fn events_without_an_acknowledging_subscriber_move_the_store() {
    let server = numbers(9).await;
    let memory = Memory::default();
    let handle = stream(server.url()).resume_store(memory.clone(), Commit::Acknowledgement).build().unwrap();
    let _other = acknowledging(&handle, "another type");
    handle.connect();
    memory.holds("9").await;
}

#[tokio::test]
async fn a_dropped_subscription_holds_the_store_and_a_retired_one_does_not() {
    for retire in [false, true] {
        let server = numbers(9).await;
        let memory = Memory::default();
        let handle = stream(server.url()).resume_store(memory.clone(), Commit::Acknowledgement).build().unwrap();
        let (mut all, mut even) = (acknowledging(&handle, Filter::all()), acknowledging(&handle, "even"));
        handle.connect();
        let first = next_event(&mut even).await;
        even.acknowledge(&first);
        next_event(&mut even).await;
        if retire {
            even.retire();
        } else {
            drop(even);
        }
        for event in take(&mut all, 9).await {
            all.acknowledge(&event);
        }
        memory.holds(if retire { "9" } else { "3" }).await;
        within(handle.shutdown()).await;
        memory.holds(if retire { "9" } else { "3" }).await;
    }
}

#[tokio::test]
async fn without_an_acknowledging_subscription_nothing_is_saved() {
    let server = numbers(9).await;
    let memory = Memory::default();
    let handle = stream(server.url()).resume_store(memory.clone(), Commit::Acknowledgement).build().unwrap();
    let mut reader = handle.subscribe(Filter::all());
    handle.connect();
    take(&mut reader, 9).await;
    within(handle.shutdown()).await;
    assert_eq!(memory.id(), None);
}

#[tokio::test]
async fn a_drain_waits_for_acknowledgements_and_saves_them() {
    let server = numbers(9).await;
    let memory = Memory::default();
    let handle = stream(server.url()).resume_store(memory.clone(), Commit::Acknowledgement).build().unwrap();
    let mut orders = acknowledging(&handle, Filter::all());
    handle.connect();
    until("everything is queued", || handle.last_event_id() == "9").await;
    let draining = handle.shutdown_with(Drain { deadline: Duration::from_secs(15) });
    let consumer = async {
        within(handle.closed()).await;
        for event in take(&mut orders, 9).await {
            tokio::task::yield_now().await;
            orders.acknowledge(&event);
        }
    };
    let (drained, ()) = within(async { tokio::join!(draining, consumer) }).await;
    assert_eq!((drained.delivered, drained.dropped), (9, 0));
    assert_eq!(memory.id().as_deref(), Some("9"));
}

#[tokio::test]
async fn after_the_server_has_ended_the_stream_acknowledgements_are_still_saved() {
    let server = serve([Script::open().bytes(numbered([1, 2])).end(), status(204)]).await;
    let memory = Memory::default();
    let handle = stream(server.url()).resume_store(memory.clone(), Commit::Acknowledgement).build().unwrap();
    let mut orders = acknowledging(&handle, Filter::all());
    handle.connect();
    within(handle.closed()).await;
    for event in take(&mut orders, 2).await {
        let id = event.last_event_id().to_owned();
        orders.acknowledge(&event);
        memory.holds(&id).await;
    }
    assert_eq!(within(orders.recv()).await, None);
    within(handle.shutdown()).await;
}

#[tokio::test]
async fn after_a_panic_of_the_policy_acknowledgements_are_still_saved() {
    let server = serve(Script::open().bytes(numbered([1, 2])).end()).await;
    let memory = Memory::default();
    let policy = ReconnectPolicy::daemon().decide_with(|failure| panic!("what is {:?}?", failure.error().kind()));
    let stream = stream(server.url()).reconnect_policy(policy).resume_store(memory.clone(), Commit::Acknowledgement);
    let handle = stream.build().unwrap();
    let mut orders = acknowledging(&handle, Filter::all());
    handle.connect();
    let CloseReason::Failed(error) = within(handle.closed()).await else { panic!("a failure") };
    assert_eq!(error.kind(), ErrorKind::TaskFailed);
    assert_eq!(error.to_string(), "the connection task panicked: what is EndOfStream?");
    for event in take(&mut orders, 2).await {
        assert!(orders.acknowledge(&event));
    }
    memory.holds("2").await;
    assert_eq!(within(orders.recv()).await, None);
    within(handle.shutdown()).await;
}

#[tokio::test]
async fn a_program_that_goes_back_begins_anew_with_what_it_has_to_acknowledge() {
    let server = numbers(6).await;
    let memory = Memory::default();
    let handle = stream(server.url()).resume_store(memory.clone(), Commit::Acknowledgement).build().unwrap();
    let mut orders = acknowledging(&handle, Filter::all());
    handle.connect();
    let old = take(&mut orders, 5).await;
    orders.acknowledge(&old[0]);
    memory.holds("1").await;
    handle.reconnect_from(Resume::Id("2".into())).unwrap();
    memory.holds("2").await;
    assert!(!orders.acknowledge(&old[1]), "from before");
    // This event was queued before `reconnect_from`, so its acknowledgement does not count.
    let queued = next_event(&mut orders).await;
    assert!(!orders.acknowledge(&queued));
    assert_eq!(within(orders.recv()).await, Some(Delivery::Gap(Gap::reconnected(Some("2".into())))));
    for event in take(&mut orders, 4).await {
        assert!(orders.acknowledge(&event));
    }
    memory.holds("6").await;
}

#[tokio::test]
async fn a_store_that_fails_to_load_costs_a_gap_and_not_the_stream() {
    let server = numbers(3).await;
    let memory = Memory::failing(3);
    let handle = stream(server.url()).resume_store(memory.clone(), Commit::Delivery).build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    assert_eq!(within(events.recv()).await, Some(Delivery::Gap(Gap::reconnected(None))));
    assert_eq!(next_event(&mut events).await.data(), "1");
    assert_eq!(handle.stats().failures[&ErrorKind::Store], 1);
}

#[tokio::test]
async fn a_store_that_fails_now_and_then_loses_nothing() {
    let server = numbers(3).await;
    let memory = Memory::failing(2);
    let handle = stream(server.url()).resume_store(memory.clone(), Commit::Delivery).build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    within(handle.opened()).await.unwrap();
    assert_eq!(headers(&server, "last-event-id"), [Some("7".into())], "asked again until it answered");
    memory.fail_next(1);
    handle.reconnect_from(Resume::Fresh).unwrap();
    assert_eq!(within(events.recv()).await, Some(Delivery::Gap(Gap::reconnected(None))));
    take(&mut events, 3).await;
    memory.holds("3").await;
    assert_eq!(handle.stats().failures[&ErrorKind::Store], 1);
}

#[tokio::test]
async fn saves_come_one_at_a_time_and_a_slow_store_is_given_only_the_newest() {
    let server = numbers(5_000).await;
    let memory = Memory::default();
    memory.hold_saves();
    let handle = stream(server.url()).capacity(8192).resume_store(memory.clone(), Commit::Delivery).build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    take(&mut events, 5_000).await;
    assert_eq!(memory.saves(), 1, "the first is under way");
    memory.allow_saves(10);
    memory.holds("5000").await;
    assert_eq!(memory.saves(), 2);
}

#[tokio::test]
async fn a_file_holds_the_id_for_the_next_run() {
    let server = numbers(4).await;
    let folder = Folder::new("file");
    let path = folder.join("id");
    for sent in [None, Some("4")] {
        let handle = stream(server.url()).resume_store(FileStore::new(&path), Commit::Delivery).build().unwrap();
        let _events = handle.subscribe(Filter::all());
        handle.connect();
        within(handle.opened()).await.unwrap();
        until("everything came", || handle.last_event_id() == "4").await;
        within(handle.shutdown()).await;
        assert_eq!(headers(&server, "last-event-id").last().unwrap().as_deref(), sent);
    }
}
