//! The fan-out: broadcast channels that are keyed by filter. Knows nothing of connections.
//!
//! # What can be lost, and when
//!
//! A queue that is full of events, or of bytes, does what its subscription's [`Overflow`] says:
//!
//! | overflow | the publisher | the subscriber |
//! |---|---|---|
//! | `Wait { patience }` | stops until the queue is half empty, or nothing was taken for the patience while another reader had nothing left to take | loses nothing while it moves, or holds up no other; once stuck, loses its oldest events until it has caught up |
//! | `Block` | stops until the queue is half empty | loses nothing, and can stop the stream |
//! | `DropOldest` | goes on; yields to other tasks | loses its oldest events |
//! | `Conflate`, `ConflateBy` | goes on | gets the newest event of each key; beyond its capacity in keys, loses the oldest |
//!
//! Loss is always reported: the subscriber gets [`Gap::Lagged`](crate::Gap::Lagged) with the exact
//! number, at the place of the hole. Other gaps (reconnections, oversized events) take no room,
//! are never dropped, and stand in their places between the events. What a publisher sends when it
//! does not ask [`LockedHub::is_ready`] first overruns queues of any kind.
//!
//! # The way of an event
//!
//! ```text
//!                               one per filter and limits
//!  connection task ─ LockedHub ─┬─▶ EventChannel ─ batch ─▶ Ring ─┬─▶ Reader (buffer of 64)
//!   (one chunk: at most 64      │    (with its predicate)         └─▶ Reader
//!    events, under one lock)    ├─▶ Conflation ─── batch ─▶ queue of one reader, by key
//!                               ├─▶ transcript ─── batch ─▶ Ring of TranscriptItem
//!                               └─▶ Retention (for subscribers that come late)
//! ```
//!
//! An event rests in at most three places: the batch of the turn, the ring, the reader's buffer. An
//! event before a predicate waits in the list of its channel ([`event_channel`]) until the turn is
//! over; that list takes the place of the batch. A ring holds each event once for all its readers.
//! The slowest moves out what it takes, and the others clone it:
//!
//! ```text
//!   first                                     end = first + length
//!     │  event   event   event   event   ...    │
//!        ▲               ▲                      ▲
//!     slowest reader  another reader         one that has caught up: it leaves a waker and sleeps
//! ```
//!
//! A ring that is full, of which the slowest reader may be overrun, drops its first item; that
//! reader finds itself before `first` and learns how many it has missed.
//!
//! Wake-ups: a turn ends with [`Hub::wake`], or with `LockedHub::wake` if frames are left; both end
//! in [`Hub::settle`], which wakes the readers that sleep. The last reader that the publisher waits
//! for wakes the publisher ([`backpressure`]). A reader that has emptied its queue wakes those that
//! wait for a drain ([`drain`]). An acknowledgement, or a subscription that ends by itself, wakes
//! the connection task through the hub's signal.
//!
//! # Locks
//!
//! | lock | protects | taken while holding |
//! |---|---|---|
//! | the hub's ([`registry::Registry`]) | which channels there are, their batches, retained events | nothing |
//! | the tracker's ([`AckTracker`]) | which events are unacknowledged | the hub's |
//! | a ring's | its items, its readers, their gaps and wakers | the hub's, the tracker's |
//! | a conflating queue's | its events and gaps, its waker | the hub's, or the tracker's |
//!
//! User code never runs under any of them: predicates, conflation keys, wakers, and the drop of
//! events, which may own values that the user has decoded. [`Hub::settle`] is where most of it
//! runs.

mod ack;
mod backpressure;
mod channel;
mod conflate;
mod dirty_set;
mod drain;
mod event_channel;
mod event_reader;
mod filter;
mod gaps;
mod items;
mod latest;
#[cfg(all(test, hub_loom))]
mod loom_tests;
mod overflow;
mod positions;
mod predicate;
mod publisher;
mod reader;
mod readers;
mod registry;
mod replay;
mod ring;
mod routes;
mod subscription_stats;
mod sync;
#[cfg(test)]
mod tests;
mod transcript_item;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use tokio::sync::Notify;
use tokio::time::Duration;

use crate::error::panics::drop_catching;
use crate::event::{Delivery, Event};
use crate::state::State;

pub(crate) use self::ack::AckHandle;
use self::ack::AckTracker;
pub use self::ack::Acknowledger;
pub(crate) use self::backpressure::{Backpressure, Stalled, let_others_run};
use self::backpressure::{PublisherWait, Readiness};
use self::drain::DrainSignal;
pub(crate) use self::drain::{DrainCounts, DrainTracker};
pub(crate) use self::event_reader::EventReader;
pub use self::filter::Filter;
use self::latest::Unkeyed;
pub(crate) use self::overflow::QueueLimits;
pub use self::overflow::{ConflateKey, Overflow};
pub(crate) use self::predicate::PredicateFailure;
use self::predicate::{Evaluation, Evaluator};
pub(crate) use self::publisher::LockedHub;
pub(crate) use self::reader::Reader;
use self::registry::Registry;
use self::replay::Retention;
pub(crate) use self::replay::{Keep, Replay, Retain};
pub use self::subscription_stats::SubscriptionStats;
use self::sync::{Wakers, lock};
pub use self::transcript_item::TranscriptItem;

/// The meeting point of a stream: events are published here, and subscriptions begin here.
#[derive(Debug)]
pub(crate) struct Hub {
    registry: Mutex<Registry>,
    wait: Arc<PublisherWait>,
    drain: Arc<DrainSignal>,
    /// Made with the first subscription that acknowledges.
    tracker: OnceLock<Arc<AckTracker>>,
    /// Wakes the connection task.
    signal: Arc<Notify>,
}

/// How a subscription begins: see [`Hub::subscribe_with`].
#[derive(Debug, Default)]
pub(crate) struct Joining {
    /// For logs and statistics.
    pub(crate) name: Arc<str>,
    /// What it takes stays unacknowledged until the subscriber says otherwise.
    pub(crate) acknowledging: bool,
    pub(crate) replay: Replay,
}

/// The parts of a new subscription that come from the hub.
///
/// # Drop behavior
///
/// Events that the subscription gave back can never be acknowledged any more.
pub(crate) struct Subscribed {
    pub(crate) reader: EventReader,
    pub(crate) ack: Option<AckHandle>,
    /// The place of the reason if the subscription ends before the stream does. `None` if it
    /// cannot.
    pub(crate) failure: Option<PredicateFailure>,
    /// To be taken first: what was [given back](EventReader::returned), then retained events and
    /// gaps. `None` where the predicate has panicked: then nothing follows.
    pub(crate) replay: VecDeque<Option<Delivery>>,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        let Some(ack) = &self.ack else { return };
        for delivery in self.replay.iter().take(self.reader.returned() as usize).flatten() {
            if let Delivery::Event(event) = delivery {
                ack.give_up(event);
            }
        }
    }
}

impl Hub {
    /// `signal` wakes the connection task when an event has been acknowledged, or a subscription
    /// has ended by itself.
    pub(crate) fn new(signal: Arc<Notify>) -> Self {
        let registry = Registry::new();
        let (wait, drain) = (Arc::clone(&registry.wait), Arc::clone(&registry.drain));
        Self { registry: Mutex::new(registry), wait, drain, tracker: OnceLock::new(), signal }
    }

    /// Retains events for late subscribers by these rules, beginning with these events.
    pub(crate) fn retain(&self, rules: Vec<Retain>, seed: &[Event]) {
        let mut registry = self.lock();
        registry.retention = Retention::new(rules);
        seed.iter().for_each(|event| registry.retention.event(event));
        self.settle(registry);
    }

    /// Subscribes without a name to the events that are published from now on.
    #[cfg(any(test, feature = "__bench"))]
    pub(crate) fn subscribe(&self, filter: Filter, limits: &QueueLimits, acknowledging: bool) -> Subscribed {
        self.subscribe_with(filter, limits, Joining { acknowledging, ..Joining::default() })
    }

    /// Subscribes to the events that are published from now on, after those of a replay. On a
    /// closed hub the subscription ends at once.
    ///
    /// For replayed events the predicate runs here, on the caller's thread.
    pub(crate) fn subscribe_with(&self, filter: Filter, limits: &QueueLimits, joining: Joining) -> Subscribed {
        let Joining { name, acknowledging, replay } = joining;
        // Its clones share one slot for a failure, so the channel, the replay and the subscription
        // all see the same end.
        let evaluator = Evaluator::of(&filter);
        let (retained, mut subscribed, closed) = {
            // Under one lock, so that nothing is published between the replay and the queue.
            let mut registry = self.lock();
            let retained = registry.retention.replay(&filter, &replay);
            let ack = acknowledging.then(|| self.open_ack(limits, &name));
            let subscribed = registry.subscribe(filter, evaluator.clone(), limits, name, ack);
            (retained, subscribed, registry.take_if_closed())
        };
        // On a closed hub the new subscription ends at once.
        closed.close(self.tracker());
        subscribed.replay = match &evaluator {
            None => retained.into_iter().map(Some).collect(),
            Some(evaluator) => evaluator.replay(retained),
        };
        // A drain reports what was taken and what was left, and counts events only.
        let events = subscribed.replay.iter().flatten().filter(|delivery| delivery.is_event()).count();
        subscribed.reader.expect_replay(events as u64);
        // A `None` at the end says that the predicate has panicked on a retained event. Its channel
        // was added before that, and may hold newer events by now, so it has to go again.
        if let Some(evaluator) = evaluator.filter(|_| subscribed.replay.back().is_some_and(Option::is_none)) {
            let failed = self.lock().remove_failed(&evaluator);
            failed.close(self.tracker());
            self.signal.notify_one();
        }
        subscribed
    }

    /// Adds a transcript: a reader of everything, in order, from now on, but for events whose types
    /// the filter does not match. A predicate is for the reader to evaluate.
    pub(crate) fn transcript(
        &self,
        filter: &Filter,
        name: Arc<str>,
        mut limits: QueueLimits,
    ) -> Reader<TranscriptItem> {
        if limits.conflates() {
            // Only events have keys.
            limits.overflow = Overflow::DropOldest;
        }
        let (reader, closed) = {
            let mut registry = self.lock();
            (registry.transcript(filter, name, &limits), registry.take_if_closed())
        };
        // A transcript acknowledges nothing, so no tracker has to hear of its end.
        closed.close(None);
        reader
    }

    /// Locks the hub for publishing.
    pub(crate) fn publisher(&self) -> LockedHub<'_> {
        LockedHub::new(self, self.lock())
    }

    /// Moves what was published since the last call into the queues, and wakes their readers once.
    pub(crate) fn wake(&self) {
        self.settle(self.lock());
    }

    /// Ends a turn. Predicates are evaluated, keys are computed, events dropped and readers woken
    /// while no lock is held: each of these runs user code, which may come back here.
    fn settle<'a>(&'a self, mut registry: MutexGuard<'a, Registry>) {
        let tracker = self.tracker();
        // Lives to the end of the turn: it may hold the last clone of an event.
        let mut unkeyed = registry.retention.unkeyed();
        if !unkeyed.is_empty() {
            drop(registry);
            unkeyed.iter_mut().for_each(Unkeyed::compute);
            registry = self.lock();
            registry.retention.enter(&unkeyed);
        }
        let mut evaluated = None;
        if registry.has_unevaluated {
            let mut evaluations = registry.take_evaluations();
            drop(registry);
            evaluations.iter_mut().for_each(Evaluation::run);
            // Channels may have come and gone meanwhile: `accept` looks each of them up anew.
            registry = self.lock();
            let panicked = registry.accept(tracker, &mut evaluations);
            evaluated = Some((evaluations, panicked));
        }
        // None of this allocates where there is nothing to do.
        let mut wakers = Wakers::default();
        let settled = registry.settle(&mut wakers);
        drop(registry);
        let mut has_ended = false;
        // The batches have readers of their own to wake, so they enter before the one call of
        // `wake`.
        for batch in settled.batches {
            has_ended |= batch.enter(tracker, &mut wakers);
        }
        wakers.wake();
        if let Some((evaluations, panicked)) = evaluated {
            has_ended |= !panicked.channels.is_empty();
            panicked.close(tracker);
            // Last: these may hold the last clone of a predicate or of an event, whose drop is user
            // code and may panic.
            evaluations.into_iter().for_each(drop_catching);
        }
        if has_ended {
            // The task checks whether any subscription is left.
            self.signal.notify_one();
        }
    }

    /// Tells transcripts of a change of state.
    pub(crate) fn state(&self, state: &State) {
        let mut publisher = self.publisher();
        publisher.transcribe(None, || TranscriptItem::State(state.clone()));
        publisher.wake();
    }

    /// Ends all subscriptions and transcripts after what is queued.
    pub(crate) fn close(&self) {
        // While a panic unwinds, no predicate is evaluated.
        if !std::thread::panicking() {
            self.wake();
        }
        let closed = self.lock().close();
        closed.close(self.tracker());
        // Readers that had taken everything before are done now.
        self.drain.reader_done();
    }

    /// Removes the channels that have no readers any more.
    pub(crate) fn prune(&self) {
        let unused = self.lock().take_unused();
        // Without the lock: the user code that they hold may come back here when it is dropped.
        drop(unused);
    }

    /// Returns true if there are subscriptions. Transcripts do not count.
    pub(crate) fn has_subscribers(&self) -> bool {
        self.lock().has_subscribers()
    }

    /// Returns how many items the slowest reader has yet to take.
    pub(crate) fn lag(&self) -> u64 {
        self.lock().lag()
    }

    /// Returns for how long the publisher has been waiting for full queues; `None` if it does not.
    pub(crate) fn stalled_for(&self) -> Option<Duration> {
        self.lock().stalled_for()
    }

    /// Returns each subscription in numbers.
    pub(crate) fn subscriptions(&self) -> Vec<SubscriptionStats> {
        self.drain.observe();
        self.lock().stats(self.tracker())
    }

    /// Begins to count what the subscriptions that there are take and leave.
    pub(crate) fn drain_tracker(&self) -> DrainTracker {
        let cursors = self.lock().cursors();
        DrainTracker::new(cursors.into_iter(), Arc::clone(&self.drain))
    }

    /// Ends the wait of all drains that have begun: their time is over.
    pub(crate) fn cut_drains_short(&self) {
        self.drain.cut_short();
    }

    /// Returns true if anything has been acknowledged since the last call.
    pub(crate) fn take_acknowledged(&self) -> bool {
        self.tracker().is_some_and(AckTracker::take_news)
    }

    /// Returns the ID up to which everything has been acknowledged, if it is a new one.
    ///
    /// `last` returns the stream's last event ID. It is called under the hub's lock, so the ID is
    /// never ahead of the events that have been published.
    pub(crate) fn acknowledged_id(&self, last: impl FnOnce() -> Arc<str>) -> Option<Arc<str>> {
        let _registry = self.lock();
        self.tracker()?.safe_id(last)
    }

    /// Returns true if there is, or was, a subscription that acknowledges.
    pub(crate) fn acknowledges(&self) -> bool {
        self.tracker().is_some()
    }

    /// Returns how many events acknowledging subscriptions have not acknowledged.
    pub(crate) fn unacknowledged(&self) -> u64 {
        self.tracker().map_or(0, AckTracker::unacknowledged)
    }

    /// Returns the names of the subscriptions that have come to hold the stream where it is since
    /// the last call: an event of theirs can never be acknowledged.
    pub(crate) fn take_frozen(&self) -> Vec<Arc<str>> {
        // Under the hub's lock: an event that a queue drops is noted before it is dropped, and may
        // still be taken in between.
        let _registry = self.lock();
        self.tracker().map(AckTracker::take_frozen).unwrap_or_default()
    }

    /// Returns true if all events that acknowledging subscriptions got have been acknowledged. From
    /// the first call on each acknowledgement wakes the connection task.
    pub(crate) fn all_acknowledged(&self) -> bool {
        self.tracker().is_none_or(AckTracker::all_acknowledged)
    }

    /// Rejects acknowledgements until [`restart`](Self::restart): the program has asked to go back,
    /// so everything that it has now comes again.
    pub(crate) fn prepare_restart(&self) {
        if let Some(tracker) = self.tracker() {
            tracker.prepare_restart();
        }
    }

    /// Begins the stream again after `id`. Events from before need not be acknowledged any more,
    /// and readers that were too slow for them are waited for again.
    pub(crate) fn restart(&self, id: &str) {
        let mut registry = self.lock();
        // Under one lock: no event may come between the two.
        registry.restart();
        if let Some(tracker) = self.tracker() {
            tracker.restart(registry.position, id);
        }
    }

    /// Opens a handle for a subscription that acknowledges.
    fn open_ack(&self, limits: &QueueLimits, name: &Arc<str>) -> AckHandle {
        let tracker = self.tracker.get_or_init(|| Arc::new(AckTracker::new(Arc::clone(&self.signal))));
        tracker.open(limits.capacity, limits.conflates(), name)
    }

    /// Returns the tracker, once a subscription acknowledges.
    fn tracker(&self) -> Option<&AckTracker> {
        self.tracker.get().map(|tracker| &**tracker)
    }

    /// Returns what the publisher has to do before it goes on.
    fn readiness(&self) -> Readiness {
        // A wait that began during a response which is gone goes on during the next.
        if self.wait.is_waiting() { Readiness::Wait } else { self.lock().survey() }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        lock(&self.registry)
    }
}
