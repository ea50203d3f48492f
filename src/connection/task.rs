//! [`TaskSlot`]: the connection task as others see it, from before its start to after its end.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;

use crate::connection::config::Config;
use crate::connection::hook::Hook;
use crate::reconnect::ReconnectPolicy;
use crate::resume::Store;
use crate::transport::{BoxFuture, Connect};

/// Everything that the connection task needs to begin.
pub(crate) struct Launch {
    pub(crate) config: Config,
    pub(crate) policy: ReconnectPolicy,
    /// What is asked before each attempt, in this order.
    pub(crate) hooks: Arc<[Hook]>,
    pub(crate) connector: Arc<dyn Connect>,
    /// The caller's future: when it completes, the stream shuts down.
    pub(crate) stop: Option<BoxFuture<()>>,
    pub(crate) store: Option<Store>,
}

/// The one task of a connection: to be spawned, running, or gone.
pub(crate) struct TaskSlot {
    /// Taken when the task is spawned, or when it is certain that it never will be.
    launch: Mutex<Option<Box<Launch>>>,
    /// Set when the task is spawned. Emptied by the first caller that sees the task end.
    task: OnceLock<AsyncMutex<Option<JoinHandle<()>>>>,
    /// The process in which the task was spawned: a forked child does not have its thread.
    #[cfg(feature = "blocking")]
    process: OnceLock<u32>,
}

impl TaskSlot {
    pub(super) fn new(launch: Launch) -> Self {
        Self {
            launch: Mutex::new(Some(Box::new(launch))),
            task: OnceLock::new(),
            #[cfg(feature = "blocking")]
            process: OnceLock::new(),
        }
    }

    /// Spawns the task if that has not been done, and returns true if it has been done now.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, before anything has changed.
    #[track_caller]
    pub(super) fn spawn<F>(&self, run: impl FnOnce(Box<Launch>) -> F) -> bool
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = tokio::runtime::Handle::current();
        // Locked until the task is in its slot: a concurrent shutdown has to find it there.
        let mut slot = self.launch();
        let Some(launch) = slot.take() else { return false };
        let task = runtime.spawn(run(launch));
        // There is one launch, so the slot is empty.
        let _ = self.task.set(AsyncMutex::new(Some(task)));
        #[cfg(feature = "blocking")]
        let _ = self.process.set(std::process::id());
        true
    }

    /// Replaces the connector, unless the task was spawned.
    #[cfg(feature = "testing")]
    pub(crate) fn set_connector(&self, connector: Arc<dyn Connect>) {
        if let Some(launch) = &mut *self.launch() {
            launch.connector = connector;
        }
    }

    /// Returns true if the task was spawned, whether or not it has ended.
    #[inline]
    pub(crate) fn is_spawned(&self) -> bool {
        self.task.get().is_some()
    }

    /// Returns the process in which the task was spawned, if it was.
    #[cfg(feature = "blocking")]
    pub(crate) fn process(&self) -> Option<u32> {
        self.process.get().copied()
    }

    /// Makes the task, once it is spawned, seem to be of another process, as in a forked child.
    #[cfg(all(test, feature = "blocking"))]
    pub(crate) fn fork(&self) {
        self.process.set(0).unwrap();
    }

    /// Gives up the task if it has not been spawned. Returns true if it never will be, from now on.
    pub(super) fn cancel(&self) -> bool {
        // Dropped when the lock is free: it holds closures of the caller's.
        let launch = self.launch().take();
        launch.is_some()
    }

    /// Waits until the task is gone; at once if it was never spawned.
    ///
    /// # Cancel safety
    ///
    /// Any number of callers may wait, and each may give up.
    pub(crate) async fn ended(&self) {
        let Some(task) = self.task.get() else { return };
        // An async lock, because a caller holds it while it waits. When it gives up, the next one
        // waits on.
        let mut task = task.lock().await;
        if let Some(task) = task.as_mut() {
            // If the task has panicked, the close reason says so.
            let _ = task.await;
        }
        // A handle must not be polled again after it has ended.
        *task = None;
    }

    fn launch(&self) -> MutexGuard<'_, Option<Box<Launch>>> {
        // Holds one value that is taken whole: a panic cannot leave it half changed.
        self.launch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
