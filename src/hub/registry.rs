//! [`Registry`]: everything that the hub's lock protects.
//!
//! No user code runs in here. What holds user code, and is removed, is handed out as [`Detached`],
//! to be closed and dropped when the lock has been released.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::{Duration, Instant};

use crate::error::panics::drop_catching;
use crate::event::Event;

use super::Subscribed;
use super::ack::{AckHandle, AckTracker};
use super::backpressure::{PublisherWait, Readiness, Stalled};
use super::channel::Channel;
use super::conflate::{ConflateBatch, Conflation};
use super::dirty_set::DirtySet;
use super::drain::DrainSignal;
use super::event_channel::EventChannel;
use super::event_reader::EventReader;
use super::filter::Filter;
use super::overflow::{PATIENCE, QueueLimits};
use super::predicate::{Evaluation, Evaluator};
use super::reader::Reader;
use super::readers::{Cursor, PatienceCheck};
use super::replay::Retention;
use super::ring::Survey;
use super::routes::Routes;
use super::subscription_stats::SubscriptionStats;
use super::sync::Wakers;
use super::transcript_item::TranscriptItem;

/// The number of items that a transcript holds beyond its capacity: states and gaps also come when
/// the publisher cannot wait.
pub(super) const TRANSCRIPT_RESERVE: usize = 64;

/// How long the publisher waits before `stalled` is logged: the default patience.
const STALLED_AFTER: Duration = PATIENCE;

/// How long it waits before `stalled` is logged again.
const STALLED_AGAIN: Duration = Duration::from_secs(60);

/// The channels, and what all of them share.
#[derive(Debug, Default)]
pub(super) struct Registry {
    pub(super) channels: Vec<EventChannel>,
    pub(super) routes: Routes,
    /// Channels to which something was published in this turn.
    pub(super) unsettled: DirtySet,
    /// Channels that have used up their credit.
    pub(super) full: DirtySet,
    /// A channel has events that wait for a predicate.
    pub(super) has_unevaluated: bool,
    pub(super) transcripts: Vec<TranscriptChannel>,
    /// Not in `routes`: each event is compared with the filters of all of them.
    pub(super) conflations: Vec<Conflation>,
    pub(super) retention: Retention,
    /// The position in the stream of the last event that was published, to subscribers or to none.
    pub(super) position: u64,
    is_closed: bool,
    /// The readers of channels that have ended: they may have something left to take.
    ended: Vec<Arc<Cursor>>,
    /// When the publisher last began to wait.
    waiting_since: Option<Instant>,
    /// When it last said for which readers it waits.
    stalled_at: Option<Instant>,
    pub(super) wait: Arc<PublisherWait>,
    pub(super) drain: Arc<DrainSignal>,
}

/// The channel of all transcripts with one filter and the same limits.
#[derive(Debug)]
pub(super) struct TranscriptChannel {
    /// Narrows the events by their types. A predicate runs where the items are taken.
    pub(super) filter: Filter,
    pub(super) queue: Channel<TranscriptItem>,
}

/// Returns the position before a stream's first event.
///
/// Each stream of the process has a range of its own, so that an event of one is never taken for an
/// event of another, and events need not carry more than their position. There is room for 16
/// million streams of 10^12 events each.
fn first_position() -> u64 {
    static STREAMS: AtomicU64 = AtomicU64::new(0);
    // Relaxed: the numbers only have to differ, and order nothing else.
    STREAMS.fetch_add(1, Ordering::Relaxed) << 40
}

impl Registry {
    pub(super) fn new() -> Self {
        Self { position: first_position(), ..Self::default() }
    }

    /// Adds a subscription, without its replay.
    pub(super) fn subscribe(
        &mut self,
        filter: Filter,
        evaluator: Option<Evaluator>,
        limits: &QueueLimits,
        name: Arc<str>,
        ack: Option<AckHandle>,
    ) -> Subscribed {
        let number = ack.as_ref().map(|ack| ack.number);
        let failure = evaluator.as_ref().map(|evaluator| Arc::clone(&evaluator.failure));
        let reader = if limits.conflates() {
            let (conflation, reader) = Conflation::new(filter, evaluator, limits, name, &self.drain, number);
            self.conflations.push(conflation);
            EventReader::Conflated(reader)
        } else {
            let index = self.find_or_add(filter, evaluator, limits);
            let channel = &mut self.channels[index];
            let reader = channel.reader(name, &self.drain, number);
            // A reader that joins a full channel must not be overrun in this very turn.
            require_survey(&self.wait, channel.queue.survey());
            EventReader::Shared(reader)
        };
        self.channels_changed();
        Subscribed { reader, ack, failure, replay: VecDeque::new() }
    }

    /// Returns the index of the channel for such a subscription.
    fn find_or_add(&mut self, filter: Filter, evaluator: Option<Evaluator>, limits: &QueueLimits) -> usize {
        let is_shared = |channel: &EventChannel| evaluator.is_none() && channel.is_shared_by(&filter, limits);
        self.channels.iter().position(is_shared).unwrap_or_else(|| {
            self.channels.push(EventChannel::new(filter, evaluator, limits, &self.wait));
            self.channels.len() - 1
        })
    }

    /// Adds a reader of everything but the events whose types do not match.
    pub(super) fn transcript(
        &mut self,
        filter: &Filter,
        name: Arc<str>,
        limits: &QueueLimits,
    ) -> Reader<TranscriptItem> {
        let Self { transcripts, wait, drain, .. } = self;
        let filter = filter.without_predicate();
        let is_shared = |channel: &TranscriptChannel| channel.filter == filter && channel.queue.ring.limits == *limits;
        let index = transcripts.iter().position(is_shared).unwrap_or_else(|| {
            transcripts.push(TranscriptChannel { filter, queue: Channel::new(limits, TRANSCRIPT_RESERVE, wait) });
            transcripts.len() - 1
        });
        let queue = &mut transcripts[index].queue;
        let reader = queue.reader(name, drain, None);
        require_survey(wait, queue.survey());
        reader
    }

    /// Brings indexes up to date after channels came or went.
    fn channels_changed(&mut self) {
        self.routes.invalidate();
        self.unsettled.mark_all();
        self.full.mark_all();
    }

    /// Takes what has to be evaluated while no lock is held.
    pub(super) fn take_evaluations(&mut self) -> Vec<Evaluation> {
        self.has_unevaluated = false;
        let mut evaluations = Vec::new();
        let Self { channels, unsettled, .. } = self;
        unsettled.visit(channels, |index, channel| evaluations.extend(channel.take_evaluation(index)));
        evaluations
    }

    /// Publishes what has passed. Returns the channels whose predicates have panicked.
    pub(super) fn accept(&mut self, tracker: Option<&AckTracker>, evaluations: &mut [Evaluation]) -> Detached {
        let mut panicked = Detached::default();
        for evaluation in evaluations {
            let Some(index) = self.find(evaluation) else { continue };
            // Another turn may have ended meanwhile, and cleared the mark.
            self.unsettled.mark(index);
            if !self.channels[index].accept(tracker, evaluation) {
                panicked.channels.push(self.remove(index));
            }
        }
        panicked
    }

    /// Returns the index of the channel from which an evaluation was taken. Channels may have come
    /// and gone since then, and so may that one.
    fn find(&self, Evaluation { index, evaluator, .. }: &Evaluation) -> Option<usize> {
        if self.channels.get(*index).is_some_and(|channel| channel.is_of(evaluator)) {
            return Some(*index);
        }
        self.channels.iter().position(|channel| channel.is_of(evaluator))
    }

    /// Removes the channel of a predicate that has panicked.
    pub(super) fn remove_failed(&mut self, evaluator: &Evaluator) -> Detached {
        let index = self.channels.iter().position(|channel| channel.is_of(evaluator));
        let channels = index.map(|index| self.remove(index)).into_iter().collect();
        Detached { channels, ..Detached::default() }
    }

    /// Takes out a channel that ends before the stream does.
    fn remove(&mut self, index: usize) -> EventChannel {
        let channel = self.channels.remove(index);
        // Subscriptions may fail one after the other for as long as the stream lives.
        self.ended.retain(|cursor| !cursor.is_gone());
        channel.queue.ring.with_readers(|readers| self.ended.extend(readers.cursors()));
        self.channels_changed();
        channel
    }

    /// Moves what was published into the rings. Returns what is to be done without the lock.
    pub(super) fn settle(&mut self, wakers: &mut Wakers) -> Settled {
        let Self { channels, unsettled, transcripts, conflations, retention, .. } = self;
        let mut dropped = Vec::new();
        dropped.extend(retention.take_dropped());
        unsettled.visit(channels, |_, channel| dropped.extend(channel.queue.settle(wakers)));
        unsettled.clear();
        let transcribed = transcripts.iter_mut().filter_map(|channel| channel.queue.settle(wakers)).collect();
        let batches = conflations.iter_mut().filter_map(Conflation::take_batch).collect();
        Settled { batches, _dropped: dropped, _transcribed: transcribed }
    }

    /// Returns what the publisher has to do before it goes on. Asks the channels that have used up
    /// their credit, never all of them: a thousand channels to which nothing was published cost
    /// nothing.
    pub(super) fn survey(&mut self) -> Readiness {
        let (mut has_credit, mut should_yield) = (true, false);
        let mut add = |survey: Survey| {
            has_credit &= !survey.credit.is_used_up();
            should_yield |= survey.should_yield;
        };
        self.full.visit(&mut self.channels, |_, channel| add(channel.queue.survey()));
        self.transcripts.iter_mut().for_each(|channel| add(channel.queue.survey()));
        match (has_credit, should_yield) {
            (false, _) => Readiness::Wait,
            (true, true) => Readiness::Yield,
            (true, false) => {
                // Channels that get full from now on mark themselves.
                self.full.clear();
                self.wait.set_ready(true);
                Readiness::Ready
            }
        }
    }

    /// Makes the publisher wait for readers whose queues are full.
    pub(super) fn begin_wait(&mut self, now: Instant) {
        if !self.wait.is_waiting() {
            self.waiting_since = Some(now);
        }
        self.full.visit(&mut self.channels, |_, channel| channel.queue.ring.begin_wait(now));
        self.transcripts.iter().for_each(|channel| channel.queue.ring.begin_wait(now));
    }

    /// Gives up readers from which nothing was taken for their patience.
    pub(super) fn check_patience(&mut self, now: Instant) -> PatienceCheck {
        let is_held_up = self.has_caught_up_reader();
        let mut check = PatienceCheck::default();
        self.transcripts.iter().for_each(|channel| check.add(channel.queue.ring.check_patience(now, is_held_up)));
        self.full.visit(&mut self.channels, |_, channel| check.add(channel.queue.ring.check_patience(now, is_held_up)));
        check
    }

    /// Returns true if a subscription or transcript has taken everything: while the publisher waits
    /// for others, it is held up.
    fn has_caught_up_reader(&self) -> bool {
        self.channels.iter().any(|channel| channel.queue.has_caught_up_reader())
            || self.conflations.iter().any(Conflation::has_caught_up)
            || self.transcripts.iter().any(|channel| channel.queue.has_caught_up_reader())
    }

    /// Returns for which readers the publisher waits, if it is time to say so, and when to look
    /// again.
    pub(super) fn stalled(&mut self, now: Instant) -> (Option<Stalled>, Option<Instant>) {
        let Some(since) = self.waiting_since.filter(|_| self.wait.is_waiting()) else { return (None, None) };
        let again = self.stalled_at.map_or(since, |last| last + STALLED_AGAIN);
        let due = again.max(since + STALLED_AFTER);
        if now < due {
            return (None, Some(due));
        }
        self.stalled_at = Some(now);
        let mut subscriptions = Vec::new();
        for channel in &self.channels {
            channel.queue.ring.with_readers(|readers| subscriptions.extend(readers.waited_names()));
        }
        for channel in &self.transcripts {
            channel.queue.ring.with_readers(|readers| subscriptions.extend(readers.waited_names()));
        }
        (Some(Stalled { subscriptions, lasted: now - since }), Some(now + STALLED_AGAIN))
    }

    /// Returns for how long the publisher has been waiting; `None` if it does not wait.
    pub(super) fn stalled_for(&self) -> Option<Duration> {
        self.waiting_since.filter(|_| self.wait.is_waiting()).map(|since| since.elapsed())
    }

    /// Returns each subscription in numbers.
    pub(super) fn stats(&self, tracker: Option<&AckTracker>) -> Vec<SubscriptionStats> {
        let shared = self.channels.iter().flat_map(|channel| channel.stats(tracker));
        let conflating = self.conflations.iter().filter(|conflation| conflation.has_reader());
        shared.chain(conflating.map(|conflation| conflation.stats(tracker))).collect()
    }

    /// Prepares for a stream that begins again at events which readers may have lost.
    pub(super) fn restart(&mut self) {
        self.channels.iter_mut().for_each(|channel| channel.queue.restart());
        self.full.mark_all();
        self.wait.set_ready(false);
    }

    /// Returns true if any subscription can still get something.
    pub(super) fn has_subscribers(&self) -> bool {
        !self.channels.is_empty() || !self.conflations.iter().all(Conflation::has_failed)
    }

    /// Returns the readers that have, or may get, something to take.
    pub(super) fn cursors(&self) -> Vec<Arc<Cursor>> {
        let mut cursors = self.ended.clone();
        for channel in &self.channels {
            channel.queue.ring.with_readers(|readers| cursors.extend(readers.cursors()));
        }
        cursors.extend(self.conflations.iter().map(Conflation::cursor));
        cursors.retain(|cursor| !cursor.is_gone());
        cursors
    }

    /// Returns how many items the slowest reader has yet to take.
    pub(super) fn lag(&self) -> u64 {
        let events = self.channels.iter().map(|channel| channel.queue.lag());
        let transcripts = self.transcripts.iter().map(|channel| channel.queue.lag());
        events.chain(transcripts).chain(self.conflations.iter().map(Conflation::lag)).max().unwrap_or(0)
    }

    /// Takes out the channels that have no readers any more.
    pub(super) fn take_unused(&mut self) -> Detached {
        let mut unused = Detached::default();
        retain_or_move(&mut self.channels, &mut unused.channels, EventChannel::prune);
        retain_or_move(&mut self.conflations, &mut unused.conflations, |conflation| conflation.has_reader());
        retain_or_move(&mut self.transcripts, &mut unused.transcripts, |channel| {
            channel.queue.ring.with_readers(|readers| readers.len() > 0)
        });
        self.channels_changed();
        unused
    }

    /// Takes out all channels. From now on subscriptions end at once.
    pub(super) fn close(&mut self) -> Detached {
        // A drain that begins after the close still counts what these readers take.
        self.ended = self.cursors();
        self.is_closed = true;
        self.take_if_closed()
    }

    /// Takes out what was added to a hub that is closed.
    pub(super) fn take_if_closed(&mut self) -> Detached {
        if !self.is_closed {
            return Detached::default();
        }
        self.channels_changed();
        Detached {
            channels: std::mem::take(&mut self.channels),
            transcripts: std::mem::take(&mut self.transcripts),
            conflations: std::mem::take(&mut self.conflations),
        }
    }
}

/// Makes the publisher survey the channels before it goes on, if one of them has no credit.
fn require_survey(wait: &PublisherWait, survey: Survey) {
    if survey.credit.is_used_up() {
        wait.set_ready(false);
    }
}

/// Moves those items into `removed` for which `is_kept` is false.
fn retain_or_move<T>(items: &mut Vec<T>, removed: &mut Vec<T>, mut is_kept: impl FnMut(&mut T) -> bool) {
    // Not `Vec::retain`, which would drop the others here, under the hub's lock.
    for mut item in std::mem::take(items) {
        let to = if is_kept(&mut item) { &mut *items } else { &mut *removed };
        to.push(item);
    }
}

/// The work that a turn leaves until no lock is held.
pub(super) struct Settled {
    pub(super) batches: Vec<ConflateBatch>,
    /// Dropping an event may run user code, which may come back to the hub.
    _dropped: Vec<Vec<Event>>,
    _transcribed: Vec<Vec<TranscriptItem>>,
}

/// Channels that were taken out of the registry. They hold user code: close and drop them when no
/// lock is held.
#[derive(Default)]
pub(super) struct Detached {
    pub(super) channels: Vec<EventChannel>,
    transcripts: Vec<TranscriptChannel>,
    conflations: Vec<Conflation>,
}

impl Detached {
    /// Ends the channels and wakes their readers. Predicates and keys are dropped after that: they
    /// may panic.
    pub(super) fn close(mut self, tracker: Option<&AckTracker>) {
        let mut wakers = Wakers::default();
        self.channels.iter_mut().for_each(|channel| channel.queue.close(&mut wakers));
        self.transcripts.iter_mut().for_each(|channel| channel.queue.close(&mut wakers));
        self.conflations.iter_mut().for_each(|conflation| conflation.close(tracker, &mut wakers));
        wakers.wake();
        self.channels.into_iter().for_each(drop_catching);
        self.conflations.into_iter().for_each(drop_catching);
    }
}
