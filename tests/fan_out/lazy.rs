//! Lazy streams, which are open only while there are subscribers: connections, and saves to the
//! resume store.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sseclient::{Apply, CloseReason, Commit, Filter, Handle, ResumeStore, State, SubscribeOptions, Subscription};
use tokio::sync::mpsc;

use crate::support::{LIMIT, OPEN, RawServer, header, short, stream, until, within};

/// A server that sends two events after the last event ID, and reports when the client has closed
/// the connection.
async fn server() -> (RawServer, mpsc::UnboundedReceiver<usize>) {
    let (left, leaves) = mpsc::unbounded_channel();
    let server = RawServer::start(move |number, mut connection| {
        let left = left.clone();
        async move {
            let after = header(&connection.request, "last-event-id").map_or(0, |id| id.parse().unwrap());
            let event = |id: usize| format!("id: {id}\ndata: {id}\n\n");
            connection.send(&format!("{OPEN}{}{}", event(after + 1), event(after + 2))).await;
            connection.closed().await;
            left.send(number).unwrap();
        }
    })
    .await;
    (server, leaves)
}

async fn idle(handle: &Handle) {
    until("the stream is idle", || matches!(handle.state(), State::Idle)).await;
}

async fn read(handle: &Handle, deliveries: usize) -> (Subscription, Vec<String>) {
    let mut subscription = handle.subscribe(Filter::all());
    let mut all = Vec::new();
    for _ in 0..deliveries {
        all.push(short(&mut subscription).await);
    }
    (subscription, all)
}

/// The policy of a `POST` sends nothing again, but here the program asks for it.
#[tokio::test]
async fn a_new_subscription_after_a_pause_sends_the_post_again() {
    let (server, mut leaves) = server().await;
    let handle = stream(&server.url).body("{}").lazy(Duration::ZERO).build().unwrap();
    handle.connect();
    for number in 0..2 {
        let (subscription, _) = read(&handle, 2).await;
        drop(subscription);
        assert_eq!(within(leaves.recv()).await, Some(number));
        idle(&handle).await;
    }
    let requests = server.requests();
    assert!(requests.len() == 2 && requests.iter().all(|request| request.starts_with("POST ")), "{requests:?}");
}

#[tokio::test]
async fn the_connection_is_closed_when_the_last_has_left_and_the_next_resumes() {
    let (server, mut leaves) = server().await;
    let handle = stream(&server.url).lazy(Duration::ZERO).build().unwrap();
    handle.connect();
    assert!(matches!(handle.state(), State::Idle));
    for (number, expected) in [vec!["1", "2"], vec!["reconnected after Some(\"2\")", "3", "4"]].into_iter().enumerate()
    {
        let (subscription, all) = read(&handle, expected.len()).await;
        assert_eq!(all, expected);
        let other = handle.subscribe("other");
        drop(subscription);
        assert!(handle.state().is_open());
        drop(other);
        assert_eq!(within(leaves.recv()).await, Some(number));
        idle(&handle).await;
    }
    assert_eq!(handle.last_event_id(), "4");
    assert_eq!(server.headers("last-event-id"), [None, Some("2".to_owned())]);
    assert!(matches!(within(handle.shutdown()).await, CloseReason::Shutdown));
}

#[tokio::test]
async fn a_change_of_an_idle_stream_takes_effect_with_the_next_subscriber() {
    let (server, _leaves) = server().await;
    let handle = stream(&server.url).lazy(Duration::ZERO).build().unwrap();
    handle.connect();
    let (first, _) = read(&handle, 2).await;
    drop(first);
    idle(&handle).await;
    for apply in [Apply::Reconnect, Apply::MakeBeforeBreak] {
        let update = tokio::spawn(handle.update(|request| request.header("x-mode", format!("{apply:?}")), apply));
        let (subscription, _) = read(&handle, 3).await;
        within(update).await.unwrap().unwrap();
        drop(subscription);
        idle(&handle).await;
    }
    let modes = server.headers("x-mode");
    assert_eq!(
        modes,
        [None, Some("Reconnect".to_owned()), Some("MakeBeforeBreak".to_owned())],
        "and nothing in between"
    );
}

/// A store that counts its loads and keeps the last save.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<(usize, Option<String>)>>);

impl ResumeStore for Noting {
    type Error = Infallible;

    async fn load(&self) -> Result<Option<String>, Infallible> {
        self.0.lock().unwrap().0 += 1;
        Ok(Some("10".to_owned()))
    }

    async fn save(&self, id: String) -> Result<(), Infallible> {
        self.0.lock().unwrap().1 = Some(id);
        Ok(())
    }
}

/// The first subscriber makes the stream load it.
#[tokio::test]
async fn a_resume_store_is_loaded_once_and_saves_while_the_stream_is_idle() {
    let (server, _leaves) = server().await;
    let store = Noting::default();
    let stream = stream(&server.url).lazy(Duration::ZERO).resume_store(store.clone(), Commit::Acknowledgement);
    let handle = stream.build().unwrap();
    handle.connect();
    tokio::task::yield_now().await;
    assert_eq!(store.0.lock().unwrap().0, 0, "there is no subscriber");
    let mut orders = handle.subscribe_with(Filter::all(), SubscribeOptions::default().acknowledging());
    let first = within(orders.recv()).await.unwrap().event().unwrap();
    assert_eq!(first.data(), "11");
    assert!(orders.acknowledge(&first));
    orders.retire();
    idle(&handle).await;
    let (other, all) = read(&handle, 2).await;
    assert_eq!(all, ["reconnected after Some(\"12\")", "13"]);
    drop(other);
    until("the ID is saved", || store.0.lock().unwrap().1.as_deref() == Some("11")).await;
    assert_eq!(store.0.lock().unwrap().0, 1);
    assert_eq!(server.headers("last-event-id"), [Some("10".to_owned()), Some("12".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_may_come_and_go_from_many_tasks() {
    let (server, _leaves) = server().await;
    let handle = stream(&server.url).lazy(Duration::ZERO).build().unwrap();
    handle.connect();
    let restless = (0..8).map(|_| {
        let handle = handle.clone();
        tokio::spawn(async move {
            for round in 0..200 {
                let subscription = handle.subscribe(Filter::all());
                if round % 3 == 0 {
                    tokio::task::yield_now().await;
                }
                drop(subscription);
            }
        })
    });
    for one in restless.collect::<Vec<_>>() {
        tokio::time::timeout(LIMIT, one).await.unwrap().unwrap();
    }
    idle(&handle).await;
    let mut last = handle.subscribe(Filter::all());
    while short(&mut last).await.starts_with("reconnected") {}
    assert!(handle.state().is_open());
    drop(last);
    idle(&handle).await;
}
