//! [`Readers`]: the readers of one ring as its publisher sees them, one [`ReaderEntry`] each.
//!
//! An entry says how far its reader has come, which waker it has left, and whether the publisher
//! waits for it or has given it up. All of that is read and changed under the ring's lock, except
//! for the [`Cursor`], which the reader moves without it.
//!
//! The entry is the one record of a ring's reader. What the
//! [`AckTracker`](super::ack::AckTracker) keeps for the same reader concerns acknowledgement only,
//! and a conflating queue, which has one reader, keeps its waker and its cursor itself.

use std::sync::{Arc, Mutex};
use std::task::Waker;

use tokio::time::{Duration, Instant};

use crate::event::Gap;

use super::gaps::GapQueue;
use super::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use super::sync::{Wakers, lock};

/// The number of times within its patience that the publisher checks whether a reader took
/// anything.
const CHECKS_PER_PATIENCE: u32 = 16;

/// The shortest pause between two checks: with less, a tiny patience would make the task spin.
const MIN_CHECK_PAUSE: Duration = Duration::from_millis(10);

/// The readers of one ring. All methods are called under the ring's lock.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// By the reader's number; a number is used again when its reader is gone.
    entries: Vec<Option<ReaderEntry>>,
    free: Vec<usize>,
    len: usize,
    /// The numbers of the readers that have left a waker, each once.
    sleeping: Vec<usize>,
    waited: usize,
    stuck: usize,
}

/// One reader.
#[derive(Debug)]
pub(super) struct ReaderEntry {
    /// The position of the next item that it reads from the ring.
    pub(super) next: u64,
    /// The gaps that it has yet to take.
    pub(super) gaps: GapQueue,
    pub(super) cursor: Arc<Cursor>,
    /// Its number in the [`AckTracker`](super::ack::AckTracker), if it acknowledges.
    pub(super) ack: Option<u64>,
    waker: Option<Waker>,
    state: ReaderState,
    /// The amount it had taken when the publisher last yielded to it.
    yielded_at: Option<u64>,
}

/// A reader's standing with the publisher.
///
/// ```text
///                              nothing taken for the patience,
///          full                while another reader is held up
/// Active -------> Waited --------------------------------------> Stuck
///    ^  half full   |                                              |
///    +--------------+----------------------------------------------+ empty, or forgiven
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReaderState {
    Active,
    /// The publisher waits for it. At the last check it had made this much progress, and its clock
    /// stood at `idle`.
    Waited {
        progress: u64,
        idle: Duration,
        checked: Instant,
    },
    /// The publisher overruns it. It was at this position when it was given up.
    Stuck {
        position: u64,
    },
}

/// The result of a check of the readers that the publisher waits for.
#[derive(Debug, Default)]
pub(super) struct PatienceCheck {
    /// The names of the readers that have just become stuck.
    pub(super) stuck: Vec<Arc<str>>,
    /// The time of the next check; `None` if there is none.
    pub(super) again_at: Option<Instant>,
}

impl Readers {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a reader of the items from its cursor on, and returns its number.
    pub(super) fn join(&mut self, cursor: Arc<Cursor>, ack: Option<u64>) -> usize {
        let (next, gaps, state) = (cursor.position(), GapQueue::default(), ReaderState::Active);
        let entry = ReaderEntry { next, gaps, cursor, ack, waker: None, state, yielded_at: None };
        self.len += 1;
        if let Some(number) = self.free.pop() {
            self.entries[number] = Some(entry);
            return number;
        }
        // Most often it stays the only one.
        self.entries.reserve_exact(1);
        self.entries.push(Some(entry));
        self.entries.len() - 1
    }

    /// Removes a reader that the publisher does not wait for. Returns its waker, which is user code
    /// and must be dropped without a lock.
    pub(super) fn leave(&mut self, number: usize) -> Option<Waker> {
        let ReaderEntry { waker, state, .. } = self.entries.get_mut(number)?.take()?;
        self.free.push(number);
        self.len -= 1;
        // A stale number would stand in the list twice, once the number is used again and its new
        // reader sleeps.
        if waker.is_some() {
            self.sleeping.retain(|&sleeping| sleeping != number);
        }
        self.stuck -= usize::from(state.is_stuck());
        waker
    }

    /// Adds a gap for each reader, after the items from `first` to `end` that the ring holds.
    pub(super) fn push_gap(&mut self, gap: &Gap, first: u64, end: u64) {
        for ReaderEntry { next, gaps, .. } in self.iter_mut() {
            // Items that were dropped leave a hole, which stands between the gaps on either side.
            let after_dropped = |place: u64| if place > *next { place.max(first) } else { *next };
            gaps.push(end, gap.clone(), first.max(*next), |older, newer| after_dropped(older) == after_dropped(newer));
        }
    }

    pub(super) fn get(&mut self, number: usize) -> Option<&mut ReaderEntry> {
        self.entries.get_mut(number)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &ReaderEntry> {
        self.entries.iter().flatten()
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut ReaderEntry> {
        self.entries.iter_mut().flatten()
    }

    pub(super) fn cursors(&self) -> impl Iterator<Item = Arc<Cursor>> {
        self.iter().map(|entry| Arc::clone(&entry.cursor))
    }

    /// The numbers in the tracker of the readers that acknowledge.
    pub(super) fn acks(&self) -> impl Iterator<Item = u64> {
        self.iter().filter_map(|entry| entry.ack)
    }

    /// Puts a waker into a reader's entry, in exchange for the one that was there.
    pub(super) fn sleep(&mut self, number: usize, waker: &mut Option<Waker>) {
        let Some(Some(entry)) = self.entries.get_mut(number) else { return };
        if entry.waker.is_none() {
            self.sleeping.push(number);
        }
        std::mem::swap(&mut entry.waker, waker);
    }

    pub(super) fn have_sleeping(&self) -> bool {
        !self.sleeping.is_empty()
    }

    /// Moves the wakers of all sleeping readers into `wakers`.
    pub(super) fn wake(&mut self, wakers: &mut Wakers) {
        let Self { entries, sleeping, .. } = self;
        wakers.extend(sleeping.drain(..).filter_map(|number| entries[number].as_mut()?.waker.take()));
    }

    pub(super) fn have_stuck(&self) -> bool {
        self.stuck > 0
    }

    pub(super) fn have_waited(&self) -> bool {
        self.waited > 0
    }

    /// The names of the readers that the publisher waits for.
    pub(super) fn waited_names(&self) -> impl Iterator<Item = Arc<str>> {
        self.iter().filter(|entry| entry.state.is_waited()).map(|entry| Arc::clone(&entry.cursor.name))
    }

    /// Returns true if a reader has nothing left to take: while the publisher waits, it is held up.
    pub(super) fn have_caught_up(&self, end: u64) -> bool {
        self.iter().any(|entry| entry.gaps.first().is_none() && entry.cursor.has_taken_all(end))
    }

    /// The position of the slowest reader that must not be overrun.
    pub(super) fn slowest(&self) -> Option<u64> {
        self.iter().filter(|entry| !entry.state.is_stuck()).map(|entry| entry.next).min()
    }

    /// Returns how many items the slowest reader has yet to take, of a ring that begins at `first`
    /// and holds at most `capacity` of the items up to `end`.
    pub(super) fn lag(&self, first: u64, end: u64, capacity: u64) -> u64 {
        // Items that are not in the ring yet may push out older ones, so no more than the capacity
        // counts.
        let lag = |entry: &ReaderEntry| {
            let buffered = entry.next.saturating_sub(entry.cursor.position());
            buffered + end.saturating_sub(entry.next.max(first)).min(capacity)
        };
        self.iter().map(lag).max().unwrap_or(0)
    }

    /// Makes stuck readers active that have taken everything up to `end`.
    pub(super) fn forgive_caught_up(&mut self, end: u64) {
        self.forgive_if(|current, _| current == end);
    }

    /// Makes stuck readers active that have taken anything since they were given up.
    ///
    /// Called when the stream begins again at the events that they lost: they would lose them
    /// again.
    pub(super) fn forgive_moving(&mut self) {
        self.forgive_if(|current, given_up| current != given_up);
    }

    /// Makes stuck readers active by their current position and the one at which they were given
    /// up.
    fn forgive_if(&mut self, is_forgiven: impl Fn(u64, u64) -> bool) {
        // Called for each batch, and stuck readers are rare.
        if self.stuck == 0 {
            return;
        }
        for entry in self.entries.iter_mut().flatten() {
            let ReaderState::Stuck { position } = entry.state else { continue };
            if is_forgiven(entry.cursor.position(), position) {
                entry.state = ReaderState::Active;
                self.stuck -= 1;
            }
        }
    }

    /// Begins to wait for readers whose queue is full, and starts the clock of all that are waited
    /// for. Returns how many are new.
    pub(super) fn begin_wait(&mut self, now: Instant, is_full: impl Fn(u64) -> bool) -> usize {
        let mut added = 0;
        for entry in self.iter_mut() {
            // A wait that began during an earlier response starts its clock anew: nothing ran it in
            // between.
            let is_new = entry.state == ReaderState::Active && is_full(entry.next);
            if is_new || entry.state.is_waited() {
                let (progress, idle) = (entry.cursor.progress(), Duration::ZERO);
                entry.state = ReaderState::Waited { progress, idle, checked: now };
                added += usize::from(is_new);
            }
        }
        self.waited += added;
        added
    }

    /// Ends the wait for one reader. True if the publisher waited for it.
    pub(super) fn end_wait(&mut self, number: usize) -> bool {
        let Some(entry) = self.get(number).filter(|entry| entry.state.is_waited()) else { return false };
        entry.state = ReaderState::Active;
        self.waited -= 1;
        true
    }

    /// Ends the wait for all readers. Returns how many were waited for.
    pub(super) fn end_all_waits(&mut self) -> usize {
        for entry in self.iter_mut().filter(|entry| entry.state.is_waited()) {
            entry.state = ReaderState::Active;
        }
        std::mem::take(&mut self.waited)
    }

    /// Records where the ring has ended for each reader: from now on nothing is added or dropped.
    pub(super) fn end(&self, first: u64, end: u64) {
        for entry in self.iter() {
            // Dropped items before which the reader still stands are lost, and not left: a drain
            // must not report them as its own.
            entry.cursor.end_at(end, first.saturating_sub(entry.next));
        }
    }

    /// Gives up readers that have taken nothing for `patience`.
    ///
    /// The clock of a reader that has taken something starts anew at this check, not at the take.
    /// `is_held_up`: another reader is held up. Otherwise waiting costs nothing, and the clock
    /// stands still. A check counts no more than twice the pause before it: the program may have
    /// been stopped meanwhile, so that no reader could run.
    pub(super) fn check_patience(&mut self, now: Instant, patience: Duration, is_held_up: bool) -> PatienceCheck {
        let pause = (patience / CHECKS_PER_PATIENCE).max(MIN_CHECK_PAUSE);
        let (mut stuck, mut soonest) = (Vec::new(), None::<Duration>);
        for entry in self.entries.iter_mut().flatten() {
            let ReaderState::Waited { progress, idle, checked } = &mut entry.state else { continue };
            let current = entry.cursor.progress();
            *idle += now.saturating_duration_since(std::mem::replace(checked, now)).min(2 * pause);
            if std::mem::replace(progress, current) != current || !is_held_up {
                // The item may have been taken up to one check ago, so a reader gets at most a
                // sixteenth of its patience more.
                *idle = Duration::ZERO;
            }
            let left = patience.saturating_sub(*idle);
            if left.is_zero() {
                entry.state = ReaderState::Stuck { position: entry.cursor.position() };
                stuck.push(Arc::clone(&entry.cursor.name));
            } else {
                let next = if is_held_up { left.min(pause) } else { pause };
                soonest = Some(soonest.map_or(next, |soonest| soonest.min(next)));
            }
        }
        self.waited -= stuck.len();
        self.stuck += stuck.len();
        // An instant that no clock can hold is never: then only the readers end the wait.
        PatienceCheck { stuck, again_at: soonest.and_then(|next| now.checked_add(next)) }
    }

    /// Returns true if the publisher should yield: a reader that it may overrun is far behind and
    /// has moved since the publisher last yielded to it. `all`: it may overrun all readers, not
    /// only stuck ones.
    pub(super) fn should_yield(&mut self, all: bool, is_far_behind: impl Fn(u64) -> bool) -> bool {
        let mut should_yield = false;
        for entry in self.iter_mut() {
            if (all || entry.state.is_stuck()) && is_far_behind(entry.next) {
                // Once for each step of the reader: the publisher would yield for ever to one that
                // never moves.
                let taken = Some(entry.cursor.taken());
                should_yield |= std::mem::replace(&mut entry.yielded_at, taken) != taken;
            }
        }
        should_yield
    }
}

impl ReaderEntry {
    /// Takes the gap before the next item: one that was published there, or else the hole that
    /// dropped items have left in a ring that begins at `first`.
    pub(super) fn take_gap(&mut self, first: u64) -> Option<Gap> {
        if let Some(gap) = self.gaps.take(self.next) {
            return Some(gap);
        }
        let missed = first.checked_sub(self.next).filter(|missed| *missed > 0)?;
        self.next = first;
        self.cursor.lagged(missed);
        Some(Gap::Lagged { missed })
    }
}

impl ReaderState {
    fn is_waited(self) -> bool {
        matches!(self, Self::Waited { .. })
    }

    fn is_stuck(self) -> bool {
        matches!(self, Self::Stuck { .. })
    }
}

impl PatienceCheck {
    /// Adds what another ring's readers have shown.
    pub(super) fn add(&mut self, other: Self) {
        self.stuck.extend(other.stuck);
        self.again_at = self.again_at.into_iter().chain(other.again_at).min();
    }
}

/// The part of a reader's entry that is read without a lock: how far the subscriber has come.
///
/// A look from another thread may be a moment behind.
#[derive(Debug)]
pub(super) struct Cursor {
    /// The name of the subscription, for logs.
    pub(super) name: Arc<str>,
    /// The number of items that the subscriber has taken, counted from the beginning of the
    /// channel.
    taken: AtomicU64,
    /// The number of items that went by without being taken: dropped, or replaced by newer ones.
    skipped: AtomicU64,
    /// The number of items that the subscription has lost because it was slow, and knows of.
    missed: AtomicU64,
    /// The number of retained events replayed to the subscriber before anything from its queue.
    replay: AtomicU64,
    replayed: AtomicU64,
    /// The number of deliveries that were taken, and given back to be taken again.
    returned: AtomicU64,
    /// The end of its channel, or of what it could take when it was dropped; [`OPEN`] before.
    end: AtomicU64,
    /// The number of items dropped before the end, in a hole that the reader has not reached.
    lost: AtomicU64,
    gone: AtomicBool,
    /// Only if the program has asked when the subscription takes events.
    takes: Mutex<Option<Takes>>,
}

/// When a subscription takes events.
#[derive(Debug)]
struct Takes {
    /// What it had taken when it last was seen to take anything.
    progress: u64,
    last: Option<Instant>,
}

/// The end of a channel that has none yet. No position gets that high.
const OPEN: u64 = u64::MAX;

impl Cursor {
    /// Makes a cursor of a reader that begins at `position`.
    pub(super) fn at(position: u64, name: Arc<str>) -> Self {
        let [taken, end] = [position, OPEN].map(AtomicU64::new);
        let [skipped, missed, replay, replayed, returned, lost] = [0; 6].map(AtomicU64::new);
        let (gone, takes) = (AtomicBool::new(false), Mutex::default());
        Self { name, taken, skipped, missed, replay, replayed, returned, end, lost, gone, takes }
    }

    /// The position of the next item that the subscriber takes.
    pub(super) fn position(&self) -> u64 {
        self.taken() + self.skipped.load(Ordering::Acquire)
    }

    /// Returns how many items the subscriber has taken, counted from the beginning of the channel.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    /// Returns how much the subscriber has taken, replayed events included. It is stuck when this
    /// stands still.
    pub(super) fn progress(&self) -> u64 {
        self.taken() + self.replayed.load(Ordering::Acquire)
    }

    /// Returns true if there is nothing to take before `end`.
    pub(super) fn has_taken_all(&self, end: u64) -> bool {
        self.position() == end && self.replay_left() == 0 && self.returned() == 0
    }

    /// Returns how many deliveries were given back, and are the next to be taken.
    pub(super) fn returned(&self) -> u64 {
        self.returned.load(Ordering::Acquire)
    }

    /// Sets how many were given back. Called by its reader only.
    pub(super) fn set_returned(&self, deliveries: u64) {
        self.returned.store(deliveries, Ordering::Release);
    }

    /// Returns how many retained events there are to take.
    pub(super) fn replay_left(&self) -> u64 {
        self.replay.load(Ordering::Acquire).saturating_sub(self.replayed.load(Ordering::Acquire))
    }

    /// Returns how many items the subscription has lost, as far as it knows.
    pub(super) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Counts items that the subscription has lost, now that it knows.
    pub(super) fn count_missed(&self, items: u64) {
        // Relaxed: a count for people, which orders nothing.
        self.missed.fetch_add(items, Ordering::Relaxed);
    }

    /// Notes when something was taken, if the program has asked for it.
    #[cold]
    pub(super) fn note_take(&self) {
        if let Some(takes) = &mut *lock(&self.takes) {
            let progress = self.progress();
            if std::mem::replace(&mut takes.progress, progress) != progress {
                takes.last = Some(Instant::now());
            }
        }
    }

    /// Returns how long ago something was taken. `None` if that is not known: the first call makes
    /// the reader note it from then on.
    pub(super) fn since_taken(&self) -> Option<Duration> {
        let mut takes = lock(&self.takes);
        takes.get_or_insert_with(|| Takes { progress: self.progress(), last: None }).last.map(|last| last.elapsed())
    }

    /// Counts one item as taken. Called by its reader only, so a load and a store do.
    pub(super) fn took(&self) {
        // The reader is the only writer, so a load and a store do. A `fetch_add` would cost each
        // event a locked instruction.
        self.taken.store(self.taken.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// Counts items that were dropped or replaced before they could be taken.
    pub(super) fn skip(&self, items: u64) {
        // Unlike `taken` this has two kinds of writers: the reader, for a hole in its ring, and the
        // connection task, for what a conflating queue does not keep.
        self.skipped.fetch_add(items, Ordering::AcqRel);
    }

    /// Counts items that were dropped, now that its reader has come to the hole.
    pub(super) fn lagged(&self, missed: u64) {
        // Between these two lines the hole counts as neither lost nor skipped. So a look from
        // another thread may find too much left, but never too little.
        self.lost.store(0, Ordering::Release);
        self.skip(missed);
    }

    /// Announces events that are replayed before anything from the queue.
    pub(super) fn expect_replay(&self, events: u64) {
        self.replay.store(events, Ordering::Release);
    }

    /// Counts one replayed event as taken.
    pub(super) fn took_replayed(&self) {
        self.replayed.fetch_add(1, Ordering::AcqRel);
    }

    /// Records that nothing comes after `end`, and that `lost` items before it have been dropped
    /// since the reader last looked. The first call counts.
    pub(super) fn end_at(&self, end: u64, lost: u64) {
        // In this order: a look in between must not take what was lost for what is left.
        if self.end.load(Ordering::Acquire) == OPEN {
            self.lost.store(lost, Ordering::Release);
        }
        // The first end counts. A channel ends once, and its reader may be dropped after that.
        let _ = self.end.compare_exchange(OPEN, end, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Returns how many items there are still to take; `None` while more can come.
    pub(super) fn left(&self) -> Option<u64> {
        let end = self.end.load(Ordering::Acquire);
        // In this order, as in `lagged`: the reader may come to the hole meanwhile, and must not
        // seem to have taken everything.
        let position = self.position();
        let lost = self.lost.load(Ordering::Acquire);
        (end != OPEN).then(|| end.saturating_sub(position + lost) + self.replay_left())
    }

    /// Returns true if the reader was dropped.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Notes that the reader was dropped.
    pub(super) fn leave(&self) {
        self.gone.store(true, Ordering::Release);
    }
}
