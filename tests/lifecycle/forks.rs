//! A real fork: the child has the memory of its parent, and not the thread that drives the streams.

#![cfg(all(feature = "blocking", target_os = "linux"))]
// A fork is unsafe: of all threads the child has only the one that forked. This one calls nothing
// but this library and the standard library, while the other thread sleeps and holds no lock.
#![allow(unsafe_code, reason = "the test forks")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use sseclient::blocking::{RecvTimeoutError, Subscription};
use sseclient::testing::{Plan, Script};
use sseclient::{CloseReason, Error, ErrorKind, Filter};

use crate::support::in_own_process;
use crate::support::plain::{self, Server, until};

// The standard library links the C library, so that these need no dependency.
unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    safe fn alarm(seconds: u32) -> u32;
    safe fn _exit(status: i32) -> !;
}

/// The seconds after which a child that hangs is killed.
const LIMIT: u32 = 15;

/// The child's exit status after a panic.
const PANICKED: i32 = 99;

/// Runs `work` in a child process, and returns its exit status: 0 if the child has returned that.
fn in_child(work: impl FnOnce() -> i32) -> i32 {
    // SAFETY: see the head of this file.
    let child = unsafe { fork() };
    if child == 0 {
        alarm(LIMIT);
        // The child has a copy of the test runner, which must not run on.
        _exit(catch_unwind(AssertUnwindSafe(work)).unwrap_or(PANICKED));
    }
    let mut status = -1;
    // SAFETY: the pointer is valid during the call.
    assert_eq!(unsafe { waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status & 0x7f, 0, "killed by a signal: it hung, if that is SIGALRM (14)");
    status >> 8
}

/// Returns true if the client's thread sleeps, so that it holds no lock.
fn is_asleep() -> bool {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("stat")).ok());
    stats.filter(|stat| stat.contains("(sseclient) ")).all(|stat| stat.contains("(sseclient) S "))
}

fn is_thread<T>(result: Option<Result<T, Error>>) -> bool {
    matches!(result, Some(Err(error)) if error.kind() == ErrorKind::Thread)
}

fn closed(reason: Option<CloseReason>) -> Option<Result<(), Error>> {
    reason.and_then(|reason| reason.error().cloned()).map(Err)
}

fn data(events: &mut Subscription) -> String {
    events.next().unwrap().unwrap().data().to_owned()
}

/// The test starts itself in a process of its own, which has no other tests in other threads.
#[tokio::test]
async fn a_forked_child_gets_typed_errors_and_its_parent_goes_on() {
    const NAME: &str = "forks::a_forked_child_gets_typed_errors_and_its_parent_goes_on";
    const HERE: &str = "SSECLIENT_TEST_HERE";
    if std::env::var_os(HERE).is_none() {
        return in_own_process(NAME, &[(HERE, "yes")]).await;
    }
    std::thread::spawn(fork_and_compare).join().unwrap();
}

fn fork_and_compare() {
    let server = Server::start(Plan::each(|_, _| Script::open().bytes("data: a\n\ndata: b\n\n")));
    let client = plain::client();
    let mut events = client.open(client.stream(server.url()), Filter::all()).unwrap();
    let mut other = Subscription::from(events.handle().subscribe("other"));
    let idle = client.stream(server.url()).build().unwrap();
    assert_eq!(data(&mut events), "a");
    until("the other event is queued", || events.queued() == 1);
    until("the client's thread sleeps", is_asleep);
    let failed = in_child(|| {
        let steps = [
            data(&mut events) == "b",
            is_thread(events.next()),
            events.next().is_none(),
            other.recv_timeout(Duration::MAX) == Err(RecvTimeoutError::Closed),
            is_thread(closed(other.close_reason())),
            is_thread(Some(client.open(client.stream(server.url()), Filter::all()))),
            {
                client.connect(&idle);
                is_thread(closed(idle.close_reason()))
            },
            {
                let client = plain::client();
                let mut own = client.open(client.stream(server.url()), Filter::all()).unwrap();
                data(&mut own) == "a"
            },
        ];
        // The number of the first step that failed, or 0.
        steps.iter().position(|is_right| !is_right).map_or(0, |step| step as i32 + 1)
    });
    assert_eq!(failed, 0, "the step in the child that failed");
    assert_eq!(data(&mut events), "b");
    client.connect(&idle);
    assert!(client.wait(idle.opened()).is_ok(), "the parent's own is as it was");
}
