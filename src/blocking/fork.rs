//! Forked processes: a child has the memory of its parent, but not the thread that drives the
//! streams.

use std::future::poll_fn;
use std::pin::pin;
use std::process;
use std::task::Poll;

use crate::error::{Error, ErrorKind};

/// Returns true if the process that made something is not this one.
pub(super) fn is_elsewhere(made_in: Option<u32>) -> bool {
    made_in.is_some_and(|made_in| made_in != process::id())
}

/// Returns the error of a call that only the parent process could serve.
pub(super) fn forked() -> Error {
    let message = "the thread that drives the streams is in the parent process; make a client after the fork";
    Error::new(ErrorKind::Thread, message)
}

/// Waits for a future that the thread of a process drives. `None` instead of a wait without end, in
/// a child of that process.
pub(super) async fn in_process<F: Future>(made_in: Option<u32>, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    // Only where the caller would sleep, because each question is a system call.
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Pending if is_elsewhere(made_in) => Poll::Ready(None),
        polled => polled.map(Some),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::blocking::{Client, RecvTimeoutError, Subscription};
    use crate::error::ErrorKind;
    use crate::hub::Filter;
    use crate::state::CloseReason;

    fn is_forked(reason: Option<CloseReason>) -> bool {
        matches!(reason, Some(CloseReason::Failed(error)) if error.kind() == ErrorKind::Thread)
    }

    // As in a child, on any system. A test of `tests/lifecycle` forks.
    #[test]
    fn a_subscription_in_a_forked_child_ends_with_an_error() {
        let client = Client::new().unwrap();
        let handle = client.stream("http://127.0.0.1:9/").build().unwrap();
        let inner = handle.subscribe(Filter::all());
        inner.guard().connection().task.fork();
        let mut events = Subscription::from(inner);
        client.connect(&handle);
        assert_eq!(events.recv_timeout(Duration::MAX), Err(RecvTimeoutError::Closed));
        assert_eq!((events.recv(), events.recv_many(&mut Vec::new(), 9)), (None, 0));
        assert_eq!(events.recv_batch(&mut Vec::new(), 9, Duration::MAX), 0);
        assert!(is_forked(events.close_reason()));
        assert_eq!(events.next().unwrap().unwrap_err().kind(), ErrorKind::Thread);
        assert!(events.next().is_none(), "once");
    }

    #[test]
    fn a_client_in_a_forked_child_connects_nothing_and_says_so() {
        let mut client = Client::new().unwrap();
        client.worker.process = 0;
        let stream = || client.stream("http://127.0.0.1:9/");
        assert_eq!(client.open(stream(), Filter::all()).unwrap_err().kind(), ErrorKind::Thread);
        let handle = stream().build().unwrap();
        let mut events = Subscription::from(handle.subscribe(Filter::all()));
        client.connect(&handle);
        assert_eq!(events.next().unwrap().unwrap_err().kind(), ErrorKind::Thread);
        assert!(is_forked(handle.close_reason()));
    }
}
