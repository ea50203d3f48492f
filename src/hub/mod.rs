//! The fan-out: a broadcast channel for each filter in use. Does not know that there is a connection.
//!
//! Channels are keyed by filter, not by the types seen on the wire, so a set of types keeps wire
//! order and a server cannot make us allocate by inventing types. A filter with a predicate has a channel of its own:
//! what is published waits there until the turn is over, and passes or not when no lock is held. Everything that changes which
//! channels there are, or what is in them, happens under one lock; wakers are called after it is let go.

mod ack;
mod backpressure;
mod channel;
mod conflation;
mod cursor;
mod dirty_set;
mod drain;
mod filter;
mod finish;
mod gaps;
mod gate;
mod latest;
mod limits;
#[cfg(all(test, hub_loom))]
mod loom_tests;
mod overflow;
mod predicate;
mod publisher;
mod reader;
mod readers;
pub(crate) mod retain;
mod retained;
mod ring;
mod room;
mod routes;
mod source;
mod sync;
#[cfg(test)]
mod tests;
mod transcript_item;
mod wakers;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use crate::error::panics::drop_catching;
use crate::event::{Delivery, Event};
use crate::hub::retain::Retain;
use crate::state::State;

use self::ack::AckTracker;
pub(crate) use self::ack::{AckHandle, MAX_UNACKNOWLEDGED};
pub(crate) use self::backpressure::Backpressure;
use self::channel::Channel;
use self::conflation::Conflation;
use self::cursor::Cursor;
use self::dirty_set::DirtySet;
pub(crate) use self::drain::DrainTracker;
pub use self::filter::Filter;
use self::finish::DrainSignal;
use self::gate::Gate;
pub(crate) use self::limits::QueueLimits;
pub use self::overflow::{ConflateKey, Overflow};
use self::predicate::ChannelKey;
pub(crate) use self::predicate::PredicateFailure;
pub(crate) use self::publisher::Publisher;
pub(crate) use self::reader::{Reader, Received};
use self::retained::Retention;
use self::routes::Routes;
pub(crate) use self::source::EventReader;
pub use self::transcript_item::TranscriptItem;
use self::wakers::Wakers;

/// How many items a transcript holds beyond its capacity: states and gaps come also when nothing can wait.
const RESERVE: usize = 64;

/// Where events are published and subscriptions begin.
#[derive(Debug)]
pub(crate) struct Hub {
    channels: Mutex<Channels>,
    gate: Arc<Gate>,
    finish: Arc<DrainSignal>,
    /// Made with the first subscription that acknowledges.
    ack: OnceLock<Arc<AckTracker>>,
    signal: Arc<Notify>,
    /// Something waits for predicates, which are asked when no lock is held.
    sifting: AtomicBool,
}

#[derive(Debug, Default)]
struct Channels {
    events: Vec<Channel<Event, ChannelKey>>,
    routes: Routes,
    touched: DirtySet,
    transcript: Vec<Channel<TranscriptItem, ()>>,
    latest: Vec<Conflation>,
    retention: Retention,
    /// Of the last event that was published, whether anybody listened or not.
    position: u64,
    /// Whether an item may be published, wherever it goes.
    has_room: bool,
    /// Channels of events that are, or were, out of room.
    spent: DirtySet,
    closed: bool,
    /// The readers of events at the close: they may have something to take.
    ended: Vec<Arc<Cursor>>,
}

impl Channels {
    /// After channels came or went. A closed hub keeps none: their readers end at once.
    fn settle(&mut self) {
        self.routes.outdate();
        self.touched.touch_any();
        self.spent.touch_any();
        if self.closed {
            let mut nobody = Wakers::default();
            // Made just now: nobody waits there to be woken.
            self.events.drain(..).for_each(|mut channel| channel.close(&mut nobody));
            self.transcript.drain(..).for_each(|mut channel| channel.close(&mut nobody));
            self.latest.drain(..).for_each(|mut conflation| conflation.close(None, &mut nobody));
        }
    }

    fn cursors(&self) -> impl Iterator<Item = Arc<Cursor>> {
        self.events.iter().flat_map(Channel::cursors).chain(self.latest.iter().map(Conflation::cursor))
    }
}

/// What a subscription has at the hub.
pub(crate) struct Subscribed {
    pub(crate) source: EventReader,
    pub(crate) account: Option<AckHandle>,
    /// Where the reason is, if it ends before the stream does; `None` if it cannot.
    pub(crate) failure: Option<PredicateFailure>,
    /// What was kept, to be taken first; `None` where it ends.
    pub(crate) replay: VecDeque<Option<Delivery>>,
}

/// The position before a stream's first event. Each stream of the process has a range of its own, so that an
/// event of one is never taken for an event of another, and none has to carry more than its position. There is
/// room for 16 million streams of 10^12 events each.
fn before_all() -> u64 {
    static STREAMS: AtomicU64 = AtomicU64::new(0);
    STREAMS.fetch_add(1, Ordering::Relaxed) << 40
}

impl Hub {
    /// `signal` wakes the task when something has been acknowledged, or a subscription has ended by itself.
    pub(crate) fn new(signal: Arc<Notify>) -> Self {
        let channels = Channels { position: before_all(), ..Channels::default() };
        Self {
            channels: Mutex::new(channels),
            gate: Arc::default(),
            finish: Arc::default(),
            ack: OnceLock::new(),
            signal,
            sifting: AtomicBool::new(false),
        }
    }

    /// Keeps what these rules say for who comes late.
    pub(crate) fn retain(&self, rules: Vec<Retain>) {
        self.lock().retention = Retention::new(rules);
    }

    /// A reader of the events that are published from now on. Ends at once when the hub is closed.
    /// `acknowledging`: what it takes is open until it is acknowledged.
    pub(crate) fn subscribe(&self, filter: Filter, limits: &QueueLimits, acknowledging: bool) -> Subscribed {
        // On a closed hub the channel goes at once, under the lock, and what it drops must not be a user's last
        // predicate.
        let kept = filter.clone();
        let subscribed = self.seat(&mut self.lock(), filter, limits, acknowledging);
        drop(kept);
        subscribed
    }

    /// The same, and what was kept comes first.
    pub(crate) fn subscribe_late(&self, filter: Filter, limits: &QueueLimits, acknowledging: bool) -> Subscribed {
        let kept = filter.clone();
        let (replay, subscribed) = {
            // Under one lock: nothing comes in between.
            let mut channels = self.lock();
            (channels.retention.replay(&filter), self.seat(&mut channels, filter, limits, acknowledging))
        };
        let replay = predicate::replay(replay, &kept, subscribed.failure.as_ref());
        subscribed.source.keep(replay.iter().flatten().filter(|delivery| delivery.is_event()).count() as u64);
        if replay.back().is_some_and(Option::is_none) {
            self.end_failed(subscribed.failure.as_ref());
        }
        Subscribed { replay, ..subscribed }
    }

    fn seat(&self, channels: &mut Channels, filter: Filter, limits: &QueueLimits, acknowledging: bool) -> Subscribed {
        let account = acknowledging.then(|| self.ack().open(limits.capacity, limits.conflates()));
        let number = account.as_ref().map(AckHandle::number);
        let key = ChannelKey::new(filter, number);
        let failure = key.failure();
        let source = if limits.conflates() {
            let conflation = Conflation::new(key, limits, number);
            let reader = conflation.reader(&self.finish);
            channels.latest.push(conflation);
            EventReader::Latest(reader)
        } else {
            let channel = Channel::find_or_add(&mut channels.events, key, limits, 0, &self.gate);
            let reader = channel.reader(&self.gate, &self.finish, number);
            let (room, _) = channel.survey();
            channels.has_room &= room > 0;
            EventReader::Shared(reader)
        };
        channels.settle();
        Subscribed { source, account, failure, replay: VecDeque::new() }
    }

    /// Whether anything has been acknowledged since this was last asked.
    pub(crate) fn has_acknowledged(&self) -> bool {
        self.ack.get().is_some_and(|ack| ack.has_news())
    }

    /// The ID up to which everything has been acknowledged, if that is news. `last`: the stream's last
    /// event ID.
    pub(crate) fn acknowledged(&self, last: impl FnOnce() -> Arc<str>) -> Option<Arc<str>> {
        let _published = self.lock();
        self.ack.get()?.safe(last)
    }

    /// Whether everything that acknowledging subscriptions got has been acknowledged. From the first call on
    /// the task is woken by each acknowledgement.
    pub(crate) fn is_settled(&self) -> bool {
        self.ack.get().is_none_or(|ack| ack.is_settled())
    }

    fn ack(&self) -> &Arc<AckTracker> {
        self.ack.get_or_init(|| Arc::new(AckTracker::new(Arc::clone(&self.signal))))
    }

    /// Somebody asks for that: until then nothing can be acknowledged.
    pub(crate) fn leave(&self) {
        if let Some(ack) = self.ack.get() {
            ack.leave();
        }
    }

    /// The stream begins anew after `id`: what was published before need not be acknowledged any more, and whoever was
    /// too slow for it is waited for again.
    pub(crate) fn restart(&self, id: &str) {
        let mut channels = self.lock();
        channels.events.iter_mut().for_each(Channel::begin_anew);
        channels.spent.touch_any();
        channels.has_room = false;
        if let Some(ack) = self.ack.get() {
            ack.restart(channels.position, id);
        }
    }

    /// A reader of everything, in order, from now on.
    pub(crate) fn transcript(&self, limits: &QueueLimits) -> Reader<TranscriptItem> {
        let mut channels = self.lock();
        let channel = Channel::find_or_add(&mut channels.transcript, (), limits, RESERVE, &self.gate);
        let reader = channel.reader(&self.gate, &self.finish, None);
        let (room, _) = channel.survey();
        channels.has_room &= room > 0;
        channels.settle();
        reader
    }

    /// Wakes the readers of what was published since the last call, once for all of it.
    pub(crate) fn wake(&self) {
        self.sift();
        self.settle(self.lock());
    }

    /// Puts what was published where readers find it, lets go of the lock, and wakes them.
    fn settle(&self, mut channels: MutexGuard<'_, Channels>) {
        // Collected first, and called in one go: a waker may drop a task that holds a subscription, and a state an
        // error of the user's; either may come back here. None of it needs memory when there is nothing to collect.
        let mut wakers = Wakers::default();
        let mut dropped: Vec<Vec<TranscriptItem>> = Vec::new();
        let mut overrun: Vec<Vec<Event>> = Vec::new();
        let Channels { events, touched, transcript, latest, retention, .. } = &mut *channels;
        overrun.extend(retention.take_dropped());
        let batches: Vec<_> = latest.iter_mut().filter_map(Conflation::take_batch).collect();
        touched.visit(events, |_, channel| overrun.extend(channel.settle(&mut wakers)));
        touched.forget();
        dropped.extend(transcript.iter_mut().filter_map(|channel| channel.settle(&mut wakers)));
        drop(channels);
        let ack = self.ack.get().map(|ack| &**ack);
        if batches.into_iter().fold(false, |ended, batch| ended | batch.enter(ack, &mut wakers)) {
            // The task looks who is left.
            self.signal.notify_one();
        }
        wakers.wake();
    }

    /// Tells transcripts of a change of state.
    pub(crate) fn state(&self, state: &State) {
        self.publisher().transcribe(|| TranscriptItem::State(state.clone()));
        self.wake();
    }

    /// Nothing comes any more: readers end after what is queued.
    pub(crate) fn close(&self) {
        if !std::thread::panicking() {
            self.sift();
        }
        let (mut events, mut transcript, mut latest) = {
            let mut channels = self.lock();
            channels.closed = true;
            let cursors: Vec<_> = channels.cursors().collect();
            channels.ended.extend(cursors);
            let Channels { events, transcript, latest, .. } = &mut *channels;
            (std::mem::take(events), std::mem::take(transcript), std::mem::take(latest))
        };
        let mut wakers = Wakers::default();
        events.iter_mut().for_each(|channel| channel.close(&mut wakers));
        transcript.iter_mut().for_each(|channel| channel.close(&mut wakers));
        let ack = self.ack.get().map(|ack| &**ack);
        latest.iter_mut().for_each(|conflation| conflation.close(ack, &mut wakers));
        wakers.wake();
        // Whoever had taken everything before has finished now.
        self.finish.finished();
        // Now that everybody has been told: what a predicate or a key holds is its user's, and may panic.
        events.into_iter().for_each(drop_catching);
        latest.into_iter().for_each(drop_catching);
    }

    /// Whether there are subscriptions; transcripts are none.
    pub(crate) fn has_subscribers(&self) -> bool {
        let channels = self.lock();
        !channels.events.is_empty() || !channels.latest.iter().all(Conflation::has_failed)
    }

    /// Counts, from now on, what the subscriptions there are take and leave.
    pub(crate) fn drain_tracker(&self) -> DrainTracker {
        let channels = self.lock();
        let cursors = channels.cursors().chain(channels.ended.iter().cloned());
        DrainTracker::new(cursors.filter(|cursor| !cursor.is_gone()), Arc::clone(&self.finish))
    }

    /// Whoever waits for subscriptions to take what is queued has no time left.
    pub(crate) fn hurry(&self) {
        self.finish.hurry();
    }

    /// Forgets channels that nobody listens to any more.
    pub(crate) fn prune(&self) {
        let mut channels = self.lock();
        let events = Channel::take_unused(&mut channels.events);
        let transcripts = Channel::take_unused(&mut channels.transcript);
        let latest = Conflation::take_unused(&mut channels.latest);
        channels.settle();
        drop(channels);
        // Now that no lock is held: what they hold is users', and may come back here when it is dropped.
        drop((events, transcripts, latest));
    }

    /// Whether anybody wants comments.
    pub(crate) fn wants_comments(&self) -> bool {
        !self.lock().transcript.is_empty()
    }

    /// How many items the slowest reader is behind.
    pub(crate) fn lag(&self) -> u64 {
        let channels = self.lock();
        let events = channels.events.iter().map(Channel::lag);
        let latest = channels.latest.iter().map(Conflation::lag);
        events.chain(channels.transcript.iter().map(Channel::lag)).chain(latest).max().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        // No code of users runs under this lock, and ours does not panic in it; if something did,
        // the channels would still be whole.
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
