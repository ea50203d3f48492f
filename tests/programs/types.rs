//! Settings take what programs have, and futures can be kept.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use sseclient::testing::Script;
use sseclient::wire::Decoder;
use sseclient::{Client, CloseReason, Delivery, Drain, Event, EventStream, Filter, Gap, Overflow, SubscribeOptions};

use crate::support::{client, next_event, serve, status, staying, stream, within};

#[tokio::test]
async fn a_last_event_id_is_any_string_or_an_option_of_one() {
    let url = "http://127.0.0.1/";
    let id = || "7".to_owned();
    let (kept, shared) = (id(), Arc::<str>::from("7"));
    for stream in [
        Client::new().stream(url).last_event_id("7"),
        Client::new().stream(url).last_event_id(id()),
        Client::new().stream(url).last_event_id(&kept),
        Client::new().stream(url).last_event_id(Cow::Borrowed("7")),
        Client::new().stream(url).last_event_id(Arc::clone(&shared)),
        Client::new().stream(url).last_event_id(&shared),
        Client::new().stream(url).last_event_id(Box::<str>::from("7")),
        Client::new().stream(url).last_event_id(Some("7")),
        Client::new().stream(url).last_event_id(Some(id())),
        Client::new().stream(url).last_event_id(Some(&id())),
    ] {
        assert_eq!(stream.build().unwrap().last_event_id(), "7");
    }
    for stream in [
        Client::new().stream(url).last_event_id(""),
        Client::new().stream(url).last_event_id(None::<String>),
        Client::new().stream(url).last_event_id(Some(String::new())),
    ] {
        assert_eq!(stream.build().unwrap().last_event_id(), "");
    }
    // A row of a database, for example.
    let saved: Option<String> = Some(id());
    assert_eq!(Decoder::new().last_event_id(saved.as_deref()).current_last_event_id(), "7");
    let body = http_body_util::Empty::<bytes::Bytes>::new();
    assert_eq!(EventStream::new(body).resumed_from(saved).last_event_id(), "7");
}

#[tokio::test]
async fn a_supervisor_waits_in_a_task_while_the_program_keeps_the_handle() {
    let server = staying("").await;
    let handle = stream(server.url()).build().unwrap();
    // Each future is moved into a task, so it must not borrow the handle.
    let opened = tokio::spawn(handle.opened());
    let first = tokio::spawn(handle.first_attempt());
    let closed = tokio::spawn(handle.closed());
    let watched = tokio::spawn(handle.monitor().closed());
    handle.connect();
    within(opened).await.unwrap().unwrap();
    within(first).await.unwrap().unwrap();
    drop(handle);
    for closed in [closed, watched] {
        // They keep nothing alive.
        assert!(matches!(within(closed).await.unwrap(), CloseReason::Abandoned));
    }
}

/// A `select!` loop keeps the future of the end across its rounds.
#[tokio::test]
async fn a_response_that_opens_between_the_call_and_the_first_poll_counts() {
    let server = serve(Script::open().end()).await;
    let handle = client().stream(server.url()).reconnection_time(Duration::from_secs(3600)).build().unwrap();
    let opened = handle.opened();
    handle.connect();
    within(async {
        while handle.stats().opens == 0 || handle.state().is_open() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    within(opened).await.unwrap();
}

#[tokio::test]
async fn a_subscription_has_its_options_from_the_start() {
    let server = staying("event: tick\ndata: 1\n\n").await;
    let options = SubscribeOptions::default().name("ledger").overflow(Overflow::Block).acknowledging();
    let mut ticks = within(stream(server.url()).open_with("tick", options)).await.unwrap();
    assert_eq!(ticks.name(), "ledger");
    let tick = next_event(&mut ticks).await;
    assert!(ticks.acknowledge(&tick), "it is acknowledging");
    let refused = serve(status(404)).await;
    within(stream(refused.url()).open_with(Filter::all(), SubscribeOptions::default())).await.unwrap_err();
}

#[tokio::test]
async fn a_drain_is_made_by_a_call_and_a_delivery_is_mapped() {
    const FIVE: Drain = Drain::new(Duration::from_secs(5));
    assert_eq!(FIVE, Drain { deadline: Duration::from_secs(5) });
    let server = staying("data: 7\n\n").await;
    let mut events = within(stream(server.url()).open(Filter::all())).await.unwrap();
    let delivery = within(events.recv()).await.unwrap();
    assert_eq!(delivery.map(|event: Event| event.data().parse::<u32>()), Delivery::Event(Ok(7)));
    assert_eq!(Delivery::<Event>::Gap(Gap::lagged(1)).map(|_| ()), Delivery::Gap(Gap::lagged(1)));
    assert_eq!(within(events.handle().shutdown_with(FIVE)).await.dropped, 0);
}
