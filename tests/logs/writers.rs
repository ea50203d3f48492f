//! A `tracing` subscriber of the program may panic. Waiters still learn that the stream has ended.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use sseclient::{CloseReason, ErrorKind, Handle, Monitor};
use tokio::runtime::Builder;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::client;

/// Panics on the event `closed`.
struct Breaks;

impl Subscriber for Breaks {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sseclient"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        assert_ne!(event.metadata().name(), "closed", "the disk is full");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A stream whose runtime is dropped, with or without a panic.
fn left_behind(panics: bool) -> Monitor {
    let monitor = OnceLock::new();
    let handle: OnceLock<Handle> = OnceLock::new();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = handle.get_or_init(|| client().stream("http://127.0.0.1:9/").build().unwrap());
            monitor.get_or_init(|| stream.monitor());
            stream.connect();
            tokio::task::yield_now().await;
            assert!(!panics, "the program has a bug");
        });
    }));
    assert_eq!(ended.is_err(), panics);
    monitor.into_inner().unwrap()
}

#[test]
fn a_panicking_log_writer_does_not_hide_the_end_of_the_stream() {
    tracing::subscriber::set_global_default(Breaks).unwrap();
    for (panics, says) in [(false, "runtime was shut down"), (true, "ended in a panic")] {
        let Some(CloseReason::Failed(error)) = left_behind(panics).close_reason() else { panic!("it has ended") };
        assert_eq!(error.kind(), ErrorKind::TaskFailed);
        assert!(error.to_string().contains(says), "{error}");
    }
}
