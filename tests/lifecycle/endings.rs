//! The end of a stream, by shutdown and by drop, in every phase. It leaves nothing behind.

use std::time::Duration;

use sseclient::testing::Script;
use sseclient::{CloseReason, ErrorKind, Filter, Handle, State};

use crate::support::transport::Listener;
use crate::support::{OPEN, RawServer, client, serve, status, until, within};

/// The limit for an immediate answer. It is shorter than every other timer here.
const PROMPT: Duration = Duration::from_secs(1);

/// The four phases of a connection.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// The server never accepts: the response head does not come.
    Dialing,
    /// The reconnection time is an hour.
    Waiting,
    /// The server sends events as fast as it can.
    Flooded,
    /// The server sends nothing.
    Silent,
}

const PLACES: [Place; 4] = [Place::Dialing, Place::Waiting, Place::Flooded, Place::Silent];

/// A stream in the phase `place`, its server, and the number of connections that the client has
/// closed.
struct Setting {
    handle: Handle,
    closed: tokio::sync::mpsc::UnboundedReceiver<()>,
    _server: Option<RawServer>,
    _black_hole: Option<Listener>,
}

async fn settle(place: Place) -> Setting {
    let (closing, closed) = tokio::sync::mpsc::unbounded_channel();
    let (url, server, black_hole) = if matches!(place, Place::Dialing) {
        let (listener, authority) = Listener::bind();
        (format!("http://{authority}/"), None, Some(listener))
    } else {
        let server = RawServer::start(move |_, mut connection| {
            let closing = closing.clone();
            async move {
                connection.send(OPEN).await;
                match place {
                    Place::Waiting => return,
                    Place::Flooded => while connection.send(&"data: flood\n\n".repeat(1000)).await {},
                    _ => connection.closed().await,
                }
                let _ = closing.send(());
            }
        })
        .await;
        (server.url.clone(), Some(server), None)
    };
    let handle = client().stream(url).reconnection_time(Duration::from_secs(3600)).build().unwrap();
    let mut states = handle.state_changes();
    handle.connect();
    let arrived = |state: &State| match place {
        Place::Dialing => matches!(state, State::Connecting { .. }),
        Place::Waiting => matches!(state, State::Waiting { .. }),
        Place::Flooded | Place::Silent => state.is_open(),
    };
    while !arrived(&within(states.recv()).await.unwrap()) {}
    Setting { handle, closed, _server: server, _black_hole: black_hole }
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test]
async fn shutdown_ends_the_task_and_closes_the_socket_in_every_phase() {
    for place in PLACES {
        let mut setting = settle(place).await;
        let mut events = setting.handle.subscribe(Filter::all());
        let before = tasks();
        let reason = tokio::time::timeout(PROMPT, setting.handle.shutdown()).await.expect("prompt");
        assert!(matches!(reason, CloseReason::Shutdown), "{place:?}");
        assert!(tasks() < before, "{place:?}: the task is gone");
        assert!(matches!(setting.handle.state(), State::Closed(CloseReason::Shutdown)), "{place:?}");
        while within(events.recv()).await.is_some() {}
        if matches!(place, Place::Flooded | Place::Silent) {
            within(setting.closed.recv()).await.expect("the server saw the socket closed");
        }
        // A second shutdown, and every other call, works on a closed stream.
        assert!(matches!(within(setting.handle.shutdown()).await, CloseReason::Shutdown));
        setting.handle.connect();
        setting.handle.reconnect();
        assert_eq!(setting.handle.set_header("a", "b").unwrap_err().kind(), ErrorKind::Closed);
        assert!(within(setting.handle.subscribe("x").recv()).await.is_none());
        assert!(within(setting.handle.transcript().recv()).await.is_none());
        assert_eq!(setting.handle.opened().await.unwrap_err().kind(), ErrorKind::Closed);
    }
}

#[tokio::test]
async fn commands_are_taken_in_every_phase() {
    for place in PLACES {
        let setting = settle(place).await;
        let mut states = setting.handle.state_changes();
        let present = within(states.recv()).await;
        setting.handle.set_header("x-key", "1").unwrap();
        setting.handle.reconnect();
        // A changed header restarts an attempt that is in progress.
        let state = within(states.recv()).await;
        assert!(
            matches!(state, Some(State::Connecting { .. } | State::Open { .. })),
            "{place:?}: {present:?} {state:?}"
        );
        within(setting.handle.shutdown()).await;
    }
}

#[tokio::test]
async fn dropping_everything_ends_the_task_and_closes_the_socket_in_every_phase() {
    for place in PLACES {
        let mut setting = settle(place).await;
        let (subscription, monitor) = (setting.handle.subscribe("x"), setting.handle.monitor());
        let before = tasks();
        drop(setting.handle);
        assert!(monitor.close_reason().is_none(), "{place:?}: a subscription keeps the stream alive");
        drop(subscription);
        let reason = within(monitor.closed()).await;
        assert!(matches!(reason, CloseReason::Abandoned), "{place:?}: {reason:?}");
        until("the task is gone", || tasks() < before).await;
        if matches!(place, Place::Flooded | Place::Silent) {
            within(setting.closed.recv()).await.expect("the server saw the socket closed");
        }
    }
}

/// A second shutdown, and one after a dropped shutdown future, wait as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shutdown_waits_for_the_task() {
    for _ in 0..100 {
        let setting = settle(Place::Silent).await;
        let before = tasks();
        drop(setting.handle.shutdown());
        let (one, other) = (setting.handle.shutdown(), setting.handle.shutdown());
        within(async { tokio::join!(one, other) }).await;
        // The runtime wakes tasks that await a task shortly before it stops counting it.
        until("the task is gone", || tasks() < before).await;
    }
}

#[tokio::test]
async fn a_stream_that_was_never_connected_ends_with_its_last_handle() {
    let handle = client().stream("http://127.0.0.1:9/").build().unwrap();
    let mut events = handle.subscribe("x");
    let another = handle.clone();
    drop(handle);
    assert!(events.close_reason().is_none());
    drop(another);
    assert!(within(events.recv()).await.is_none());
    assert!(matches!(events.close_reason(), Some(CloseReason::NeverConnected)));
    // A handle that is made later finds the stream closed.
    events.handle().connect();
    assert!(matches!(events.handle().state(), State::Closed(CloseReason::NeverConnected)));
}

#[tokio::test]
async fn shutdown_before_connect_closes_without_a_task() {
    let handle = client().stream("http://127.0.0.1:9/").build().unwrap();
    let before = tasks();
    assert!(matches!(within(handle.shutdown()).await, CloseReason::Shutdown));
    handle.connect();
    assert_eq!(tasks(), before);
}

#[test]
fn connect_outside_a_runtime_panics_and_leaves_the_handle_usable() {
    let handle = client().stream("http://127.0.0.1:9/").build().unwrap();
    let place = std::sync::Arc::new(std::sync::Mutex::new(None));
    let (seen, default) = (std::sync::Arc::clone(&place), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        let location = panic.location().unwrap();
        seen.lock().unwrap().get_or_insert((location.file().to_owned(), location.line()));
        default(panic);
    }));
    let line = line!() + 1;
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| handle.connect()));
    assert!(panicked.is_err());
    assert_eq!(place.lock().unwrap().take(), Some((file!().to_owned(), line)), "the caller's line");
    assert!(matches!(handle.state(), State::Idle));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut states = handle.state_changes();
        handle.connect();
        while !matches!(within(states.recv()).await, Some(State::Waiting { .. })) {}
        within(handle.shutdown()).await;
    });
}

#[test]
fn a_runtime_that_is_shut_down_gives_the_stream_a_reason() {
    let handle = client().stream("http://127.0.0.1:9/").build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { handle.connect() });
    drop(runtime);
    let reason = handle.close_reason().unwrap();
    assert_eq!(reason.error().unwrap().kind(), ErrorKind::TaskFailed);
}

#[tokio::test]
async fn queued_events_are_delivered_after_the_end() {
    let server = serve([Script::open().bytes("data: 1\n\ndata: 2\n\n").end(), status(204)]).await;
    let handle = client().stream(server.url()).reconnection_time(Duration::ZERO).build().unwrap();
    let mut events = handle.subscribe("message").into_events();
    handle.connect();
    within(handle.closed()).await;
    assert_eq!(events.recv().await.unwrap().data(), "1");
    assert_eq!(events.recv().await.unwrap().data(), "2");
    assert!(events.recv().await.is_none());
}
