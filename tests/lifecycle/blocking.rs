//! The blocking client, against a server on a thread of its own.

#![cfg(feature = "blocking")]

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sseclient::blocking::{self, Client, RecvTimeoutError, Subscription};
use sseclient::testing::{Plan, Script};
use sseclient::{
    CloseReason, Commit, Delivery, Drain, ErrorKind, Filter, Gap, NextAttempt, ResumeStore, State, StreamBuilder,
    SubscribeOptions, TryRecvError,
};
use tokio::sync::oneshot;

use crate::support::LIMIT;
use crate::support::plain::{Server, client, until};
use crate::support::status;
use crate::support::transport::TestTransport;

/// A stream that reconnects at once.
fn stream(client: &Client, server: &Server) -> StreamBuilder {
    client.stream(server.url()).reconnection_time(Duration::from_millis(1))
}

fn open(server: &Server) -> Subscription {
    let client = client();
    client.open(stream(&client, server), Filter::all()).unwrap()
}

/// A response that ends after these events.
fn part(events: &'static str) -> Script {
    Script::open().bytes(events).end()
}

/// A server whose response ends when told, and that then answers 204.
fn until_told(events: impl Into<Bytes>) -> (Server, oneshot::Sender<()>) {
    let (hang_up, told) = oneshot::channel();
    (Server::start([Script::open().bytes(events).wait_for(told).end(), status(204)]), hang_up)
}

fn data(events: &mut Subscription, count: usize) -> Vec<String> {
    events.take(count).map(|event| event.unwrap().data().to_owned()).collect()
}

#[test]
fn events_come_one_after_the_other_and_a_clean_end_just_ends() {
    let server = Server::start([part("id: 1\ndata: a\n\n"), part("data: b\n\n"), status(204)]);
    let mut events = open(&server);
    assert_eq!(data(&mut events, 2), ["a", "b"]);
    assert!(events.next().is_none() && events.next().is_none());
    assert!(matches!(events.close_reason(), Some(CloseReason::NoContent)));
}

#[test]
fn a_hook_is_asked_before_each_attempt_on_the_clients_thread() {
    let server = Server::start([part("id: 7\ndata: a\n\n"), status(204)]);
    let client = client();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let hook = move |attempt: NextAttempt| {
        let name = thread::current().name().map(str::to_owned);
        noted.lock().unwrap().push((attempt.last_event_id().map(str::to_owned), name));
        // The runtime's clock runs there.
        async move {
            tokio::time::sleep(Duration::ZERO).await;
            Ok::<_, Infallible>(attempt)
        }
    };
    let mut events = client.open(stream(&client, &server).before_attempt(hook), Filter::all()).unwrap();
    assert_eq!(data(&mut events, 1), ["a"]);
    assert!(events.next().is_none());
    let asked = asked.lock().unwrap();
    let [(None, first), (Some(id), second)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((&**id, first), ("7", second));
    assert_ne!(first.as_deref(), thread::current().name());
}

#[test]
fn a_final_failure_is_the_last_item_once() {
    let server = Server::start([part("data: a\n\n"), status(404)]);
    let mut events = open(&server);
    let items: Vec<_> = events.by_ref().collect();
    let [Ok(event), Err(error)] = &items[..] else { panic!("an event and an error: {items:?}") };
    assert_eq!((event.data(), error.status().unwrap().as_u16()), ("a", 404));
    assert!(events.next().is_none() && events.recv().is_none());
    let bad = events.handle().subscribe(Filter::all());
    assert!(Subscription::from(bad).next().unwrap().is_err(), "who comes late is told, too");
}

#[test]
fn a_first_attempt_that_fails_is_the_error_of_open() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(blocking::open(format!("http://{unused}/")).unwrap_err().kind(), ErrorKind::Connect);
    let server = Server::start(status(404));
    assert_eq!(blocking::open(server.url()).unwrap_err().kind(), ErrorKind::Status);
    assert_eq!(blocking::open("no URL").unwrap_err().kind(), ErrorKind::InvalidUrl);
}

#[test]
fn the_iterator_counts_gaps_and_deliveries_shows_them_in_order() {
    let answers = [part("data: a\n\n"), part("id: 1\ndata: b\n\n"), part("data: c\n\n"), status(204)];
    let server = Server::start(answers);
    let client = client();
    let handle = stream(&client, &server).build().unwrap();
    let [mut bare, mut told] = [(); 2].map(|()| Subscription::from(handle.subscribe(Filter::all())));
    client.connect(&handle);
    let short = |delivery: Delivery| match delivery {
        Delivery::Event(event) => event.data().to_owned(),
        Delivery::Gap(Gap::Reconnected { sent, .. }) => format!("{sent:?}"),
        Delivery::Gap(gap) => panic!("{gap}"),
    };
    assert_eq!(told.deliveries().map(short).collect::<Vec<_>>(), ["a", "None", "b", "Some(\"1\")", "c"]);
    assert_eq!(bare.by_ref().map(|event| event.unwrap().data().to_owned()).collect::<String>(), "abc");
    assert_eq!((bare.losses(), bare.missed()), (1, 0), "the one without an ID");
    assert_eq!(told.losses(), 0, "none was passed over");
}

#[test]
fn recv_timeout_gives_up_after_its_time() {
    let (server, hang_up) = until_told("data: a\n\n");
    let mut events = open(&server);
    assert!(events.recv_timeout(LIMIT).is_ok());
    assert_eq!(events.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
    let (begun, time) = (Instant::now(), Duration::from_millis(30));
    assert_eq!(events.recv_timeout(time), Err(RecvTimeoutError::Timeout));
    assert!(begun.elapsed() >= time);
    hang_up.send(()).unwrap();
    assert_eq!(events.recv_timeout(Duration::MAX), Err(RecvTimeoutError::Closed));
    assert_eq!(events.recv_timeout(LIMIT), Err(RecvTimeoutError::Closed));
}

#[test]
fn queued_events_can_be_taken_in_bulk_or_without_waiting() {
    let body: String = (0..10).map(|number| format!("data: {number}\n\n")).collect();
    let (server, hang_up) = until_told(body);
    let mut events = open(&server);
    let mut taken = Vec::new();
    while taken.len() < 8 {
        let missing = 8 - taken.len();
        assert!(events.recv_many(&mut taken, missing) > 0);
    }
    until("the rest is queued", || events.queued() == 2);
    taken.extend(events.try_recv());
    assert_eq!(events.recv_many(&mut taken, 0), 0);
    assert_eq!(events.recv_many(&mut taken, 100), 1);
    let data: String = taken.into_iter().map(|delivery| delivery.event().unwrap().data().to_owned()).collect();
    assert_eq!(data, "0123456789");
    assert_eq!(events.try_recv(), Err(TryRecvError::Empty));
    hang_up.send(()).unwrap();
    assert_eq!(events.recv_many(&mut Vec::new(), 1), 0, "the end");
    assert_eq!(events.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn a_blocking_handle_can_wait_for_every_future_of_an_async_one() {
    let server = Server::start(Script::open().bytes("data: a\n\nevent: b\ndata: b\n\n"));
    let client = client();
    let handle = stream(&client, &server).build().unwrap();
    let mut a = Subscription::from(handle.subscribe(""));
    let mut b = Subscription::from(handle.subscribe_with("b", SubscribeOptions::default().name("b")));
    assert!(matches!(handle.state(), State::Idle));
    client.connect(&handle);
    client.connect(&handle);
    client.wait(handle.opened()).unwrap();
    let (sender, receiver) = mpsc::channel();
    let reader = thread::spawn(move || {
        for event in b.by_ref() {
            sender.send(event.unwrap()).unwrap();
        }
        b.close_reason()
    });
    assert_eq!(receiver.recv_timeout(LIMIT).unwrap().data(), "b");
    assert_eq!(a.next().unwrap().unwrap().data(), "a");
    handle.set_header("x", "y").unwrap();
    assert_eq!(handle.stats().opens, 1);
    let drained = client.wait(handle.shutdown_with(Drain { deadline: LIMIT }));
    assert_eq!(drained.dropped, 0);
    assert!(matches!(reader.join().unwrap(), Some(CloseReason::Shutdown)));
    assert!(a.next().is_none());
}

#[test]
fn a_drain_has_its_deadline_without_a_runtime_around() {
    let server = Server::start(Script::open().bytes("data: a\n\n"));
    let client = client();
    let events = client.open(stream(&client, &server), Filter::all()).unwrap();
    until("the event is there", || events.handle().stats().lag == 1);
    let drained = client.wait(events.handle().shutdown_with(Drain { deadline: Duration::from_millis(10) }));
    assert_eq!((drained.delivered, drained.dropped), (0, 1));
}

#[test]
fn a_stream_of_another_runtime_can_be_read_by_blocking() {
    let (server, hang_up) = until_told("data: a\n\n");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let client = client();
    let handle = stream(&client, &server).build().unwrap();
    let mut events = Subscription::from(handle.subscribe(Filter::all()));
    runtime.block_on(async { handle.connect() });
    client.connect(&handle);
    drop(client);
    assert_eq!(data(&mut events, 1), ["a"]);
    assert_eq!(runtime.metrics().num_alive_tasks(), 1 + TestTransport::current().tasks(), "there");
    hang_up.send(()).unwrap();
    assert_eq!(data(&mut events, 1), [""; 0]);
    assert!(matches!(events.close_reason(), Some(CloseReason::NoContent)));
}

/// More events than tokio's coop budget, which is never renewed on a plain thread.
const MANY: usize = 10_000;

fn read_and_drop(server: &Server) {
    let mut events = open(server);
    assert_eq!(events.by_ref().take(MANY).filter(Result::is_ok).count(), MANY);
    assert_eq!(events.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
    let reason = client().wait(events.handle().shutdown());
    assert!(matches!(reason, CloseReason::Shutdown));
}

#[test]
fn on_the_threads_of_a_runtime_everything_works_and_nothing_panics() {
    let server = Server::start(Plan::each(|_, _| Script::open().bytes("data: x\n\n".repeat(MANY))));
    let server = Arc::new(server);
    let multi = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let current = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for runtime in [multi, current] {
        runtime.block_on(async {
            let there = Arc::clone(&server);
            tokio::spawn(async move { read_and_drop(&there) }).await.unwrap();
            let there = Arc::clone(&server);
            tokio::task::spawn_blocking(move || read_and_drop(&there)).await.unwrap();
            read_and_drop(&server);
        });
    }
}

/// A store whose saves wait for a notification.
#[derive(Clone, Default)]
struct Slow(Arc<Saving>);

#[derive(Default)]
struct Saving {
    go_on: tokio::sync::Notify,
    saved: Mutex<Option<String>>,
}

impl ResumeStore for Slow {
    type Error = Infallible;

    async fn load(&self) -> Result<Option<String>, Infallible> {
        Ok(None)
    }

    async fn save(&self, id: String) -> Result<(), Infallible> {
        self.0.go_on.notified().await;
        *self.0.saved.lock().unwrap() = Some(id);
        Ok(())
    }
}

#[test]
fn a_stream_saves_its_id_after_all_handles_are_gone() {
    let server = Server::start(Script::open().bytes("id: 7\ndata: a\n\n"));
    let (client, store) = (client(), Slow::default());
    let stream = stream(&client, &server).resume_store(store.clone(), Commit::Delivery);
    let mut events = client.open(stream, Filter::all()).unwrap();
    events.next().unwrap().unwrap();
    drop((events, client));
    store.0.go_on.notify_one();
    until("the ID is saved", || store.0.saved.lock().unwrap().as_deref() == Some("7"));
}
