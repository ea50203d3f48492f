//! The connection: a task that owns the response and the parser, and what others hold of it.
//!
//! [`Shared`] is what handles, subscriptions, monitors and the task have in common; [`ConnectionGuard`] is what
//! keeps the task alive. Here, and only here, transport, wire format and hub meet.

mod actor;
mod change;
mod committer;
pub(crate) mod config;
pub(crate) mod credentials;
mod exit;
mod log;
mod mailbox;
mod phase;
mod reading;
pub(crate) mod request;
mod session;
pub(crate) mod stats;
mod subscriber_guard;
#[cfg(test)]
mod tests;
mod timer;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::connection::config::Config;
use crate::connection::credentials::Credentials;
use crate::connection::stats::{Counters, Stats};
use crate::error::Error;
use crate::hub::Hub;
use crate::reconnect::ReconnectPolicy;
use crate::resume::Store;
use crate::state::{CloseReason, State};
use crate::transport::{BoxFuture, Connect};

pub use self::change::{Apply, Change, Resume};
use self::mailbox::{Mailbox, Stop};
use self::reading::Counts;
pub(crate) use self::subscriber_guard::SubscriberGuard;

/// What handles, subscriptions, monitors and the connection task have in common.
pub(crate) struct Shared {
    name: String,
    capacity: usize,
    /// The task wants to know when subscriptions come and go.
    is_lazy: bool,
    pub(crate) hub: Hub,
    pub(crate) mailbox: Mailbox,
    standing: watch::Sender<Standing>,
    /// The session's, for those who ask.
    last_event_id: Mutex<String>,
    /// What the task needs to begin; gone once it was spawned, or never will be.
    launch: Mutex<Option<Box<Launch>>>,
    /// For those who call `shutdown`, to wait for.
    task: OnceLock<AsyncMutex<Option<JoinHandle<()>>>>,
    handles: AtomicUsize,
    /// Locked once a turn by the task, and by those who ask.
    counters: Mutex<Counters>,
}

/// What can be watched. A watch skips, so what must not be missed is counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    pub(crate) state: State,
    /// Responses accepted so far.
    pub(crate) accepted: u64,
    /// The number of the last change that an accepted response's request carried.
    pub(crate) applied: u64,
    /// Why the last attempt beside an open response came to nothing, and the last change in it.
    pub(crate) not_replaced: Option<(u64, Error)>,
}

impl Standing {
    /// Whether a response is open, or was since `accepted` of them had been.
    pub(crate) fn opened_since(&self, accepted: u64) -> bool {
        self.state.is_open() || self.accepted > accepted
    }
}

/// What the task needs to begin.
pub(crate) struct Launch {
    pub(crate) config: Config,
    pub(crate) policy: ReconnectPolicy,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) connector: Arc<dyn Connect>,
    /// Done when the stream is to be shut down.
    pub(crate) stop: Option<BoxFuture<()>>,
    pub(crate) store: Option<Store>,
}

impl Shared {
    pub(crate) fn new(launch: Launch) -> Arc<Self> {
        let config = &launch.config;
        let mailbox = Mailbox::new(Arc::clone(&config.request));
        let hub = Hub::new(Arc::clone(&mailbox.signal));
        hub.retain(config.retain.clone());
        Arc::new(Self {
            name: config.name.clone(),
            capacity: config.capacity,
            is_lazy: config.linger.is_some(),
            hub,
            mailbox,
            standing: watch::Sender::default(),
            last_event_id: Mutex::new(config.last_event_id.clone()),
            launch: Mutex::new(Some(Box::new(launch))),
            task: OnceLock::new(),
            handles: AtomicUsize::new(0),
            counters: Mutex::default(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A subscription has come to where it lost so many.
    pub(crate) fn count_missed(&self, missed: u64) {
        self.count(|counters| counters.stats.missed = counters.stats.missed.saturating_add(missed));
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// A subscription has come or gone.
    pub(crate) fn demand_changed(&self) {
        if self.is_lazy {
            self.mailbox.signal.notify_one();
        }
    }

    pub(crate) fn state(&self) -> State {
        self.standing.borrow().state.clone()
    }

    pub(crate) fn standings(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        self.standing.borrow().state.close_reason().cloned()
    }

    /// Never behind an event that somebody has taken: whoever publishes sets it before letting go of
    /// the hub, and who asks waits for that.
    pub(crate) fn last_event_id(&self) -> String {
        let _published = self.hub.publisher();
        lock(&self.last_event_id).clone()
    }

    /// The same, for the task, which alone sets it.
    fn with_last_event_id(&self, look: impl FnOnce(&str)) {
        look(&lock(&self.last_event_id));
    }

    /// Whether it was another before.
    fn set_last_event_id(&self, id: &str) -> bool {
        let mut last = lock(&self.last_event_id);
        let changes = *last != id;
        if changes {
            id.clone_into(&mut last);
        }
        changes
    }

    /// The ID up to which everything has been acknowledged, if that is news.
    fn acknowledged(&self) -> Option<Arc<str>> {
        self.hub.acknowledged(|| lock(&self.last_event_id).as_str().into())
    }

    fn store_failed(&self, error: &Error) {
        log::store_failed(error);
        self.count(|counters| counters.failed(error));
    }

    pub(crate) fn stats(&self) -> Stats {
        // One lock after the other: neither is ever taken under the other.
        let lag = self.hub.lag();
        lock(&self.counters).stats(lag)
    }

    fn count(&self, count: impl FnOnce(&mut Counters)) {
        count(&mut lock(&self.counters));
    }

    fn count_turn(&self, counts: Counts, now: Instant) {
        self.count(|counters| {
            counters.stats.bytes += counts.bytes;
            counters.stats.events += counts.events;
            counters.stats.comments += counts.comments;
            counters.stats.oversized += counts.oversized;
            counters.stats.repeats += counts.repeats;
            counters.stats.gaps += counts.gaps;
            if counts.bytes > 0 {
                counters.last_byte = Some(now);
            }
            if counts.events > 0 {
                counters.last_event = Some(now);
            }
        });
    }

    /// Spawns the task, the first time; whether this was it. Panics outside a runtime, before anything has changed.
    #[track_caller]
    pub(crate) fn connect(self: &Arc<Self>) -> bool {
        let runtime = tokio::runtime::Handle::current();
        // Locked until the task is in its place: who shuts down meanwhile has to find it there.
        let mut slot = lock(&self.launch);
        let Some(launch) = slot.take() else { return false };
        let task = runtime.spawn(actor::run(Arc::clone(self), launch));
        // There is one launch, so nothing is here yet.
        let _ = self.task.set(AsyncMutex::new(Some(task)));
        true
    }

    /// Signals the task to stop, or closes at once if there never was one.
    pub(crate) fn shutdown(&self) {
        self.stop(Stop::Shutdown);
        // As with a store: of several the earliest end counts.
        self.hub.hurry();
    }

    /// The same, and subscribers may take their time until `deadline`.
    pub(crate) fn drain(&self, deadline: Instant) {
        self.stop(Stop::Drain(deadline));
    }

    /// Waits until the task is gone. Any number of callers may, and each may give up.
    pub(crate) async fn task_ended(&self) {
        let Some(task) = self.task.get() else { return };
        let mut task = task.lock().await;
        if let Some(task) = task.as_mut() {
            // A task that panicked has said so in the close reason.
            let _ = task.await;
        }
        *task = None;
    }

    fn stop(&self, stop: Stop) {
        self.mailbox.stop(stop);
        self.close_unlaunched(stop.into());
    }

    fn close_unlaunched(&self, reason: CloseReason) {
        let launch = lock(&self.launch).take();
        if launch.is_some() {
            self.close(reason);
        }
    }

    /// The one exit: whoever awaits the end is told, and queues end after what is in them.
    fn close(&self, reason: CloseReason) {
        // The state first: who sees a queue end can ask why.
        self.announce(State::Closed(reason));
        self.hub.close();
    }

    /// The number of the last change that an accepted response's request carried.
    fn applied(&self, applied: u64) {
        self.standing.send_if_modified(|standing| std::mem::replace(&mut standing.applied, applied) != applied);
    }

    fn not_replaced(&self, change: u64, cause: Error) {
        // What is replaced may hold an error of the user's: it is dropped when no lock is held.
        let mut replaced = Some((change, cause));
        self.standing.send_modify(|standing| std::mem::swap(&mut standing.not_replaced, &mut replaced));
    }

    /// Tells those who watch, and transcripts.
    fn announce(&self, state: State) {
        self.hub.state(&state);
        let mut replaced = state;
        self.standing.send_modify(|standing| {
            standing.accepted += u64::from(replaced.is_open());
            std::mem::swap(&mut standing.state, &mut replaced);
        });
    }

    pub(crate) fn add_handle(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// With the last handle goes the chance to connect.
    pub(crate) fn remove_handle(&self) {
        if self.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close_unlaunched(CloseReason::NeverConnected);
        }
    }
}

impl From<Stop> for CloseReason {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Shutdown | Stop::Drain(_) => Self::Shutdown,
            Stop::Abandoned => Self::Abandoned,
        }
    }
}

/// Keeps the task alive. Held by handles and subscriptions, and by nothing else.
pub(crate) struct ConnectionGuard {
    shared: Arc<Shared>,
}

impl ConnectionGuard {
    pub(crate) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { shared })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.shared.stop(Stop::Abandoned);
    }
}

impl fmt::Debug for ConnectionGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("name", &self.name).field("state", &self.state()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each holds one value that is replaced whole: a panic elsewhere cannot have left it half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
