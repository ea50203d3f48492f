//! [`Worker`]: the thread behind a blocking client.

use std::convert::Infallible;
use std::sync::mpsc;
use std::{fmt, process, thread};

use tokio::runtime::{self, EnterGuard, Runtime};
use tokio::sync::mpsc as leases;

use crate::error::{Error, ErrorKind};
use crate::handle::Monitor;

use super::fork::is_elsewhere;

const THREAD_NAME: &str = "sseclient";

/// Threads for calls that block: name resolution by the system, files, the platform's certificates.
const MAX_BLOCKING_THREADS: usize = 4;

/// Keeps a thread alive that drives a runtime.
///
/// The thread owns the runtime, and ends after the last worker and the last stream. So a worker can
/// be dropped anywhere: dropping a runtime blocks, and panics on the threads of another one.
#[derive(Clone)]
pub(super) struct Worker {
    runtime: runtime::Handle,
    /// Carries no messages: the thread ends when the last sender is dropped.
    lease: leases::Sender<Infallible>,
    /// The process that has the thread.
    pub(super) process: u32,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Thread`] if the system has no thread or no descriptors left.
    pub(super) fn start() -> Result<Self, Error> {
        let message = "the thread that drives the streams could not start";
        let failed = |error| Error::with_source(ErrorKind::Thread, message, error);
        let (lease, mut leases) = leases::channel::<Infallible>(1);
        let (sender, receiver) = mpsc::channel::<Runtime>();
        let drive = move || {
            // The other end is dropped without a runtime if none could be built.
            let Ok(runtime) = receiver.recv() else { return };
            let _: Option<Infallible> = runtime.block_on(leases.recv());
            // All streams have ended, so no task needs a blocking call that is still running.
            runtime.shutdown_background();
        };
        // Before the runtime: one that no thread can take over would be dropped here, which may
        // panic. Never joined: the last stream may drop the last lease on this very thread.
        thread::Builder::new().name(THREAD_NAME.into()).spawn(drive).map_err(failed)?;
        let mut builder = runtime::Builder::new_current_thread();
        builder.enable_all().thread_name(THREAD_NAME).max_blocking_threads(MAX_BLOCKING_THREADS);
        let runtime = builder.build().map_err(failed)?;
        let worker = Self { runtime: runtime.handle().clone(), lease, process: process::id() };
        // Cannot fail: the thread waits for it.
        let _ = sender.send(runtime);
        Ok(worker)
    }

    /// Returns true in a forked child, which does not have the thread.
    pub(super) fn is_elsewhere(&self) -> bool {
        is_elsewhere(Some(self.process))
    }

    /// Makes the calling thread spawn tasks and timers on the worker's, until the guard is dropped.
    pub(super) fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Keeps the thread alive until this stream has ended.
    pub(super) fn keep_alive_for(&self, stream: Monitor) {
        let lease = self.lease.clone();
        self.runtime.spawn(async move {
            stream.ended().await;
            drop(lease);
        });
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}
