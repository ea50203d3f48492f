//! The connection: one task that owns the response and the parser, and what others hold of it.
//!
//! [`Connection`] is what handles, subscriptions, monitors and the task share; [`ConnectionGuard`]
//! keeps the task alive. Transport, wire format and hub meet here, and only here.
//!
//! ```text
//!   Handle ──> Mailbox ──> Actor ──> Session          all decisions, pure: an Input in, a Step out
//!                          │  │
//!                          │  └────> Phase            connecting, reading, waiting: all IO
//!                          │            └─> Reading ─> Hub     events
//!                          └───────> Published, Counters       states, last event ID, statistics
//! ```
//!
//! To change *when* or *why* something happens (a retry, a handover, an end), change [`session`].
//! To change *how* it is done, change the [`actor`] or the phase. While the stream lives,
//! nothing but the actor's `select!` awaits. No user's code runs under a lock.

mod actor;
mod change;
mod committer;
pub(crate) mod config;
pub(crate) mod connect_reminder;
pub(crate) mod credentials;
mod exit;
mod hook;
mod log;
mod mailbox;
mod next_attempt;
mod phase;
mod published;
mod reading;
pub(crate) mod request;
mod session;
pub(crate) mod stats;
mod subscriber_guard;
mod task;
#[cfg(test)]
mod tests;
pub(crate) mod timer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::time::Instant;

use crate::connection::stats::{Counters, Stats};
use crate::hub::{Hub, Overflow};
use crate::state::{CloseReason, State};

pub(crate) use self::actor::connect;
pub use self::change::{Apply, Change, RefusedId, Resume};
pub(crate) use self::connect_reminder::{ConnectReminder, remind_while};
pub(crate) use self::hook::Hook;
use self::mailbox::{Mailbox, Stop};
pub use self::next_attempt::NextAttempt;
use self::published::Published;
pub(crate) use self::published::Status;
pub(crate) use self::subscriber_guard::{ConnectionGuard, SubscriberGuard};
pub(crate) use self::task::Launch;
use self::task::TaskSlot;

/// The state that handles, subscriptions, monitors and the connection task share.
pub(crate) struct Connection {
    pub(crate) name: String,
    /// The capacity of a subscription's queue, unless its options say otherwise.
    pub(crate) capacity: usize,
    /// What a full queue does, unless its options say otherwise.
    pub(crate) overflow: Overflow,
    /// The task has to know when subscriptions come and go.
    is_lazy: bool,
    handles: AtomicUsize,
    pub(crate) task: TaskSlot,
    pub(crate) hub: Hub,
    pub(crate) mailbox: Mailbox,
    pub(crate) published: Published,
    pub(crate) counters: Counters,
    /// A caller that waits was reminded that the stream is not connected, or no caller can be.
    has_reminded: AtomicBool,
}

impl Connection {
    /// Returns a connection whose task is not spawned yet.
    pub(crate) fn new(launch: Launch) -> Arc<Self> {
        let config = &launch.config;
        let mailbox = Mailbox::new(Arc::clone(&config.request));
        // One signal for the hub and for handles, so that the task waits for one thing.
        let hub = Hub::new(Arc::clone(&mailbox.signal));
        hub.retain(config.retain.clone(), &config.seed);
        Arc::new(Self {
            name: config.name.clone(),
            capacity: config.capacity,
            overflow: config.overflow.clone(),
            is_lazy: config.linger.is_some(),
            handles: AtomicUsize::new(0),
            hub,
            mailbox,
            published: Published::new(config.last_event_id.clone()),
            counters: Counters::default(),
            task: TaskSlot::new(launch),
            has_reminded: AtomicBool::new(false),
        })
    }

    /// Returns the last event ID. It is never behind an event that a subscriber has taken: both are
    /// published under the hub's lock.
    pub(crate) fn last_event_id(&self) -> String {
        let _published = self.hub.publisher();
        self.published.last_event_id().clone()
    }

    /// Returns the ID up to which everything has been acknowledged, if it is another than at the
    /// last call.
    fn acknowledged(&self) -> Option<Arc<str>> {
        self.hub.acknowledged_id(|| self.published.last_event_id().as_str().into())
    }

    /// Returns the statistics as of now.
    pub(crate) fn stats(&self) -> Stats {
        // One lock after the other: neither is ever taken under the other.
        let hub = &self.hub;
        let (lag, stalled_for, unacknowledged) = (hub.lag(), hub.stalled_for(), hub.unacknowledged());
        Stats { lag, stalled_for, unacknowledged, ..self.counters.stats() }
    }

    /// Logs, once, that a caller waits for a stream that was never connected.
    pub(crate) fn remind(&self) {
        // Relaxed: orders nothing else.
        if !self.task.is_spawned() && !self.has_reminded.swap(true, Ordering::Relaxed) {
            log::never_connected(&self.name);
        }
    }

    /// Notes that callers wait where there are no timers.
    pub(crate) fn forgo_reminder(&self) {
        self.has_reminded.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_reminded(&self) -> bool {
        self.has_reminded.load(Ordering::Relaxed)
    }

    /// Makes the task look for subscribers, on a lazy stream.
    pub(crate) fn demand_changed(&self) {
        if self.is_lazy {
            self.mailbox.signal.notify_one();
        }
    }

    /// Signals the task to stop. Closes at once if it was never spawned.
    pub(crate) fn shutdown(&self) {
        self.stop(Stop::Shutdown);
        // Of several shutdowns the earliest deadline counts, for readers as for the store.
        self.hub.cut_drains_short();
    }

    /// Like [`shutdown`](Self::shutdown), and subscribers may acknowledge until `deadline`.
    pub(crate) fn drain(&self, deadline: Instant) {
        self.stop(Stop::Drain(deadline));
    }

    /// Counts a handle: the last one matters, see [`remove_handle`](Self::remove_handle).
    pub(crate) fn add_handle(&self) {
        // Relaxed: each handle but the first is made from one that exists, so the count is not zero
        // meanwhile.
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// Closes a stream that was never connected, with the last of its handles.
    pub(crate) fn remove_handle(&self) {
        // The release keeps what other handles did before they went; the last one acquires it and
        // may close the stream.
        if self.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close_unless_spawned(CloseReason::NeverConnected);
        }
    }

    /// Signals the task, or closes in its place if it never was spawned.
    fn stop(&self, stop: Stop) {
        self.mailbox.stop(stop);
        self.close_unless_spawned(stop.into());
    }

    /// Closes a stream whose task was never spawned, and now never will be.
    pub(crate) fn close_unless_spawned(&self, reason: CloseReason) {
        if self.task.cancel() {
            self.close(reason);
        }
    }

    /// Ends the stream. Queues end after what is in them. The task does this through its
    /// [`Exit`](exit::Exit), and a stream without a task through
    /// [`close_unless_spawned`](Self::close_unless_spawned).
    fn close(&self, reason: CloseReason) {
        // The state first: a reader that sees its queue end can ask for the reason.
        self.announce(State::Closed(reason));
        self.hub.close();
    }

    /// Publishes a state, to transcripts and to monitors.
    fn announce(&self, state: State) {
        // Transcripts first: a caller that has seen a state finds it in the transcript.
        self.hub.state(&state);
        self.published.set_state(state);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.published.state();
        f.debug_struct("Stream").field("name", &self.name).field("state", &state).finish_non_exhaustive()
    }
}
