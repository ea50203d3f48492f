//! [`Worker`]: the thread behind a blocking client.

use std::convert::Infallible;
use std::sync::mpsc;
use std::{fmt, io, thread};

use tokio::runtime::{self, EnterGuard, Runtime};
use tokio::sync::mpsc as leases;

use crate::error::{Error, ErrorKind};
use crate::handle::Monitor;

/// What the thread is called.
const NAME: &str = "sseclient";

/// How many more threads there may be for what can only be done by waiting: names that the system resolves, files, the
/// platform's certificates.
const HELPERS: usize = 4;

/// Keeps a thread alive that drives a runtime. The runtime belongs to the thread, which ends by itself after the last
/// worker and the last stream: so there is nothing to be dropped elsewhere that could block, or panic for that reason.
#[derive(Clone)]
pub(super) struct Worker {
    runtime: runtime::Handle,
    /// Nothing is ever sent: the thread waits for the last to be gone.
    lease: leases::Sender<Infallible>,
}

impl Worker {
    pub(super) fn begin() -> Result<Self, Error> {
        let failed = |error| Error::with_source(ErrorKind::Thread, "no thread for streams could be begun", error);
        let (begun, has_begun) = mpsc::sync_channel(1);
        let (lease, leases) = leases::channel(1);
        // Not joined: it ends when it is needed no more, and the last who needs it may be running on it.
        let thread = thread::Builder::new().name(NAME.into()).spawn(move || run(&begun, leases));
        thread.map_err(failed)?;
        let gone = |_| Err(io::Error::other("the thread has ended"));
        let runtime = has_begun.recv().unwrap_or_else(gone).map_err(failed)?;
        Ok(Self { runtime, lease })
    }

    /// Until the guard is dropped, what this thread spawns goes to the worker's, and timers are the worker's.
    pub(super) fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Drives what is spawned there until this stream has ended.
    pub(super) fn keep(&self, stream: Monitor) {
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

fn run(begun: &mpsc::SyncSender<io::Result<runtime::Handle>>, mut leases: leases::Receiver<Infallible>) {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = begun.send(Err(error));
            return;
        }
    };
    // Whoever asked waits for this.
    let _ = begun.send(Ok(runtime.handle().clone()));
    let _: Option<Infallible> = runtime.block_on(leases.recv());
    // All streams have ended. What a helper still waits for (a name server, say), nobody does.
    runtime.shutdown_background();
}

fn runtime() -> io::Result<Runtime> {
    let mut builder = runtime::Builder::new_current_thread();
    builder.enable_all().thread_name(NAME).max_blocking_threads(HELPERS).build()
}
