//! [`Backpressure`]: whether the publisher may go on, and its wait for readers with full queues.
//!
//! [`PublisherWait`] holds the one answer to that question. It is true while no channel has used up
//! its credit, so a turn asks the channels nothing. When a channel has used it up the publisher
//! asks the full channels, never all of them, and the answer is a [`Readiness`]:
//!
//! ```text
//!             credit used up          a queue is full
//!   publish ------------------> ask --------------------> wait (Wait)
//!      ^                        |  ^                        |
//!      |  room (Ready)          |  |  half empty, or stuck  |
//!      +------------------------+  +------------------------+
//!                               |  ^
//!                               +--+  yield once: a reader that may lose items is behind
//! ```
//!
//! The readers end the wait: the last one that is waited for wakes the publisher, once. Patience is
//! the publisher's own timer. It runs only while another reader has taken everything, and so waits
//! because of the full queue: a reader that holds up no other is waited for without limit.

use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::yield_now;
use tokio::time::{Duration, Instant, Sleep};

use super::Hub;
use super::readers::PatienceCheck;
use super::sync::Mutex;
use super::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Makes the runtime poll this task again after other tasks. On a runtime of one thread: when no
/// task is ready, or after 61 polls. The caller returns `Pending`.
pub(crate) fn let_others_run(cx: &mut Context<'_>) {
    let runtime = Handle::try_current();
    if runtime.is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::CurrentThread) {
        // By default such a runtime polls up to 61 tasks between two polls of its main task, and a
        // task that wakes itself could be each of them. The first poll of this future defers the
        // wake-up until just before the main task's turn.
        let _ = pin!(yield_now()).poll(cx);
    } else {
        // With several threads a deferred task comes ahead of the worker's queue, where no other
        // worker can take it. A task that wakes itself goes to the end of the queue.
        cx.waker().wake_by_ref();
    }
}

/// The publisher's next step before it publishes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// It may go on.
    Ready,
    /// It should yield once: an active reader may be overrun.
    Yield,
    /// It has to wait: a queue is full.
    Wait,
}

/// The wait of one hub's publisher: whether it may go on, and the readers it waits for.
///
/// The wait is in the hub, not in [`Backpressure`]: it outlives the response during which it began.
#[derive(Debug, Default)]
pub(crate) struct PublisherWait {
    /// True if an item may be published, to any channel. Changed under the hub's lock only.
    is_ready: AtomicBool,
    /// The number of readers it waits for. Changed under the lock of the ring whose reader it
    /// counts, so that none is counted or released twice.
    readers: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl PublisherWait {
    /// Returns true if the publisher may go on without asking the channels.
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    /// Sets whether it may. Call this under the hub's lock.
    pub(super) fn set_ready(&self, is_ready: bool) {
        // Relaxed: a publisher that sees an old value asks again under the hub's lock before each
        // event.
        self.is_ready.store(is_ready, Ordering::Relaxed);
    }

    /// Waits for this many readers more.
    pub(super) fn add(&self, readers: usize) {
        self.readers.fetch_add(readers, Ordering::AcqRel);
    }

    /// Waits for this many readers less. True if those were the last: then call
    /// [`wake`](Self::wake), without any lock.
    #[must_use]
    pub(super) fn remove(&self, readers: usize) -> bool {
        readers > 0 && self.readers.fetch_sub(readers, Ordering::AcqRel) == readers
    }

    /// Returns true if the publisher waits for any reader.
    pub(super) fn is_waiting(&self) -> bool {
        self.readers.load(Ordering::Acquire) > 0
    }

    /// Ready when no reader is waited for.
    pub(super) fn poll(&self, waker: &Waker) -> Poll<()> {
        // The waker is in place before the look, so a reader that is the last after it finds it.
        let replaced = self.swap_waker(Some(waker.clone()));
        drop(replaced);
        if self.is_waiting() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Wakes the publisher. No lock may be held.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.take_waker() {
            waker.wake();
        }
    }

    /// Takes the publisher's waker, to be called without any lock.
    pub(super) fn take_waker(&self) -> Option<Waker> {
        self.swap_waker(None)
    }

    /// Wakers are user code, and neither cloned, called nor dropped under the lock.
    fn swap_waker(&self, waker: Option<Waker>) -> Option<Waker> {
        let mut slot = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *slot, waker)
    }
}

/// The publisher's side of the wait, for one response.
#[derive(Debug, Default)]
pub(crate) struct Backpressure {
    /// Readers are being waited for.
    is_waiting: bool,
    /// Goes off when it is time to check whether the readers move. Kept from wait to wait.
    timer: Option<Pin<Box<Sleep>>>,
    is_timer_set: bool,
    /// The names of the readers that became stuck since [`take_stuck`](Self::take_stuck) was
    /// called.
    stuck: Vec<Arc<str>>,
    stalled: Option<Stalled>,
}

/// A wait that has become long, and for whom it is.
#[derive(Debug)]
pub(crate) struct Stalled {
    /// The names of the readers with full queues.
    pub(crate) subscriptions: Vec<Arc<str>>,
    pub(crate) lasted: Duration,
}

impl Backpressure {
    /// Waits until at least one item may be published, and returns whether it had to wait for
    /// readers. One publisher at a time may call this.
    ///
    /// # Cancel safety
    ///
    /// A wait goes on where it was with the next call.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>, hub: &Hub) -> Poll<bool> {
        let mut has_waited = false;
        while !hub.wait.is_ready() {
            if !self.is_waiting {
                match hub.readiness() {
                    Readiness::Ready => break,
                    Readiness::Yield => {
                        let_others_run(cx);
                        return Poll::Pending;
                    }
                    Readiness::Wait => self.begin_wait(hub),
                }
            }
            ready!(self.poll_wait(cx, hub));
            self.is_waiting = false;
            has_waited = true;
        }
        Poll::Ready(has_waited)
    }

    /// Returns true while it waits for readers with full queues; false while it only yields.
    pub(crate) fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Returns the names of the readers that became stuck since the last call.
    pub(crate) fn take_stuck(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.stuck)
    }

    /// Returns for whom the publisher waits, if it is time to say so: after a second, and then once
    /// a minute.
    pub(crate) fn take_stalled(&mut self) -> Option<Stalled> {
        self.stalled.take()
    }

    /// Starts the clock of the readers whose queues are full.
    fn begin_wait(&mut self, hub: &Hub) {
        self.is_waiting = true;
        let now = Instant::now();
        hub.lock().begin_wait(now);
        // Sets the timer, and gives up at once a reader whose patience is zero.
        self.check(hub, now);
    }

    /// Waits until the readers have made room, or are stuck.
    fn poll_wait(&mut self, cx: &mut Context<'_>, hub: &Hub) -> Poll<()> {
        while hub.wait.poll(cx.waker()).is_pending() {
            match &mut self.timer {
                Some(timer) if self.is_timer_set => ready!(timer.as_mut().poll(cx)),
                _ => return Poll::Pending,
            }
            self.check(hub, Instant::now());
        }
        Poll::Ready(())
    }

    /// Gives up readers that hold up others and do not move, notes a wait that has become long, and
    /// sets the timer for the next check.
    fn check(&mut self, hub: &Hub, now: Instant) {
        let mut registry = hub.lock();
        let PatienceCheck { stuck, again_at } = registry.check_patience(now);
        let (stalled, due) = registry.stalled(now);
        drop(registry);
        self.stuck.extend(stuck);
        self.stalled = stalled.or_else(|| self.stalled.take());
        let again_at = again_at.into_iter().chain(due).min();
        self.is_timer_set = again_at.is_some();
        match (again_at, &mut self.timer) {
            (None, _) => {}
            (Some(at), Some(timer)) => timer.as_mut().reset(at),
            (Some(at), timer) => *timer = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }
}
