//! The thread of a blocking client: there is one, and it ends with the last stream.

#![cfg(all(feature = "blocking", target_os = "linux"))]

use std::time::Duration;
use std::{fs, thread};

use sseclient::blocking::{self, Client};
use sseclient::testing::{Plan, Script};
use sseclient::{CloseReason, ErrorKind, Filter};
use tokio::sync::watch;

use crate::counting;
use crate::support::in_own_process;
use crate::support::plain::{self, Server, until};
use crate::support::status;

/// The number of threads of blocking clients.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    // A thread that has just ended has no name.
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.trim_end() == "sseclient").count()
}

fn open(client: &Client, server: &Server) -> blocking::Subscription {
    let stream = client.stream(server.url()).reconnection_time(Duration::from_millis(1));
    let mut subscription = client.open(stream, Filter::all()).unwrap();
    assert_eq!(subscription.next().unwrap().unwrap().data(), "x");
    subscription
}

async fn hung_up(mut told: watch::Receiver<bool>) {
    let _ = told.wait_for(|is_told| *is_told).await;
}

/// It does not matter where the last stream is dropped.
#[test]
fn a_client_has_one_thread_that_ends_with_its_last_stream() {
    let _alone = counting::lock();
    let (hang_up, told) = watch::channel(false);
    let server = Server::start(Plan::each(move |number, _| match number {
        1 | 2 => Script::open().bytes("data: x\n\n"),
        ..=10 => Script::open().bytes("data: x\n\n").wait_for(hung_up(told.clone())).end(),
        _ => status(204),
    }));
    assert_eq!(threads(), 0);
    let client = plain::client();
    let (one, two) = (open(&client, &server), open(&client.clone(), &server));
    let readers: Vec<_> = (0..8).map(|_| open(&client, &server)).map(|one| thread::spawn(|| one.count())).collect();
    assert_eq!(threads(), 1, "for ten streams");

    let handle = two.handle();
    drop((one, two));
    handle.shutdown();
    assert!(matches!(client.wait(handle.closed()), CloseReason::Shutdown));
    assert_eq!(threads(), 1, "others go on, and the client");
    drop(client);
    assert_eq!(threads(), 1, "others go on");
    hang_up.send_replace(true);
    until("the thread is gone, though a handle of a closed stream is not", || threads() == 0);
    readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap(), 0, "a 204 ends it well"));
    drop(handle);

    let server = Server::start(Script::open().bytes("data: x\n\n"));
    let subscription = open(&plain::client(), &server);
    assert_eq!(threads(), 1);
    let handle = subscription.handle();
    drop(subscription);
    assert_eq!(threads(), 1, "a handle keeps its stream alive");
    // Here the handle is dropped inside a runtime, where dropping another runtime would panic.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async move { drop(handle) });
    until("the thread is gone", || threads() == 0);

    drop(plain::client());
    until("the thread of a client without streams is gone", || threads() == 0);
}

/// The test starts itself in a process of its own, which cannot open anything.
#[tokio::test]
async fn a_client_without_descriptors_is_a_typed_error() {
    const NAME: &str = "blocking_thread::a_client_without_descriptors_is_a_typed_error";
    const HERE: &str = "SSECLIENT_TEST_HERE";
    if std::env::var_os(HERE).is_none() {
        return in_own_process(NAME, &[(HERE, "yes")]).await;
    }
    let hard = rlimit::Resource::NOFILE.get_hard().unwrap();
    rlimit::Resource::NOFILE.set(0, hard).unwrap();
    let errors = [Client::new().map(drop), blocking::open("http://127.0.0.1:9/").map(drop)].map(Result::unwrap_err);
    rlimit::Resource::NOFILE.set(hard, hard).unwrap();
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Thread, "{error}");
    }
    assert!(Client::new().is_ok());
}
