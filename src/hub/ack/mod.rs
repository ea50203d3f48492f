//! [`AckTracker`]: which events are to be acknowledged, and up to where everything has been.
//!
//! By position in the stream, since IDs repeat and are inherited. Each acknowledging subscription has an
//! [`AckHandle`]; the stream is safe up to the newest event before anything that one of them has open: in
//! its queue, or taken and not acknowledged. Events in a row that set the same ID are safe together or not
//! at all: see [`IdRuns`].

mod id_runs;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::event::Event;

use self::id_runs::IdRuns;
use super::reader::Received;

/// How many events a subscription may have taken and not acknowledged; more are not told apart, and hold
/// the stream where it is.
pub(crate) const MAX_UNACKNOWLEDGED: usize = 64 * 1024;

/// So many acknowledged IDs are no reason to look for spare ones: that costs a look at each account.
const FEW: usize = 64;

/// Locked after the hub, never before it.
#[derive(Debug)]
pub(crate) struct AckTracker {
    state: Mutex<AckState>,
    /// Something has been acknowledged since the task last looked.
    news: AtomicBool,
    /// The task wants to know of each acknowledgement, not only of the first since it last looked.
    eager: AtomicBool,
    signal: Arc<Notify>,
}

#[derive(Debug, Default)]
struct AckState {
    /// By number, which rises.
    entries: Vec<Entry>,
    opened: u64,
    runs: IdRuns,
    /// Acknowledged, and not yet known to be safe.
    acknowledged: BTreeMap<u64, Arc<str>>,
    /// When there are so many, those that say no more than others are looked for.
    prune_at: usize,
    /// Where the subscriptions that were dropped had something open.
    barrier: Option<u64>,
    /// Where the program has gone back: older events are no concern any more.
    since: u64,
    /// It has asked to, and the task has not done so yet: nothing that it has can be acknowledged any more.
    leaves: bool,
    /// Gone back to, and not yet known to the task.
    restarted: Option<Arc<str>>,
}

/// One account's side in the state.
#[derive(Debug)]
struct Entry {
    number: u64,
    /// In the queue, which holds no more than this many.
    queued: VecDeque<u64>,
    queue: usize,
    /// The queue keeps only the newest of each key: what it does not keep is told by [`AckTracker::removed`].
    conflates: bool,
    /// Received and not acknowledged.
    taken: BTreeSet<u64>,
    /// The first that can never be acknowledged: the queue dropped it, or it was taken beyond what is kept.
    beyond: Option<u64>,
}

impl Entry {
    /// What the queue has no room for it drops, oldest first, and tells its reader.
    fn published(&mut self, position: u64) {
        if self.queued.len() == self.queue {
            let dropped = self.queued.pop_front();
            self.beyond = self.beyond.or(dropped);
        }
        self.queued.push_back(position);
    }

    fn took(&mut self, position: u64, since: u64) {
        // It was noted as pushed out by a newer event, and was taken before that one was in the queue.
        self.beyond = self.beyond.filter(|&beyond| beyond != position);
        if self.conflates {
            self.remove(position);
        }
        while let Some(&queued) = self.queued.front().filter(|&&queued| !self.conflates && queued <= position) {
            self.queued.pop_front();
            // What was passed over was dropped: the queue may have been full of bytes before it was of events.
            if queued < position {
                self.beyond = self.beyond.or(Some(queued));
            }
        }
        if position <= since {
            return;
        }
        if self.taken.len() < MAX_UNACKNOWLEDGED {
            self.taken.insert(position);
        } else {
            self.lost(position);
        }
    }

    /// It can never be acknowledged. Of several the first counts, in whatever order that came to light.
    fn lost(&mut self, position: u64) {
        self.beyond = self.beyond.into_iter().chain([position]).min();
    }

    /// Whether it was in the queue.
    fn remove(&mut self, position: u64) -> bool {
        let found = self.queued.binary_search(&position);
        found.is_ok_and(|index| self.queued.remove(index).is_some())
    }

    /// The first position that is not safe. In a queue that conflates it may still be behind what was taken.
    fn bound(&self) -> Option<u64> {
        self.taken.first().into_iter().chain(self.queued.front()).chain(&self.beyond).min().copied()
    }

    /// Whether anything in this range is open.
    fn has_open(&self, range: &RangeInclusive<u64>) -> bool {
        let queued = self.queued.get(self.queued.partition_point(|queued| queued < range.start()));
        let mut others = queued.into_iter().chain(&self.beyond);
        self.taken.range(range.clone()).next().is_some() || others.any(|open| range.contains(open))
    }
}

impl AckState {
    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        let index = self.index(number)?;
        self.entries.get_mut(index)
    }

    /// Asked for each event and each of its readers, of which there may be thousands.
    fn index(&self, number: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&number, |entry| entry.number).ok()
    }

    /// Remembers the ID of an event that was acknowledged.
    fn acknowledged(&mut self, position: u64, id: &str) {
        self.acknowledged.insert(position, id.into());
        if self.acknowledged.len() >= self.prune_at {
            self.prune();
            self.prune_at = FEW.max(2 * self.acknowledged.len());
        }
    }

    /// Forgets IDs that say no more than others do, so that there are not many more than there are events open.
    fn prune(&mut self) {
        // Behind what can never be acknowledged nothing is ever safe. One stays, in case that it can be after all.
        let lost = self.entries.iter().filter_map(|entry| entry.beyond).chain(self.barrier).min();
        if let Some(lost) = lost {
            let newest = self.acknowledged.split_off(&lost).pop_last();
            self.acknowledged.extend(newest);
        }
        // Of a thousand subscriptions most have nothing open.
        let open: Vec<&Entry> = self.entries.iter().filter(|entry| entry.bound().is_some()).collect();
        let positions: Vec<u64> = self.acknowledged.keys().copied().collect();
        let pairs = positions.windows(2).filter(|pair| self.says_no_more(&open, pair[0], pair[1]));
        let spare: Vec<u64> = pairs.map(|pair| pair[0]).collect();
        for position in spare {
            self.acknowledged.remove(&position);
        }
    }

    /// Whether the ID of `newer` is safe whenever that of `older` is: nothing is open in between, or at the
    /// newer one itself, which somebody else may have. `open`: the accounts that have something open.
    fn says_no_more(&self, open: &[&Entry], older: u64, newer: u64) -> bool {
        self.runs.needed(older + 1, newer).is_some_and(|needed| {
            let barred = self.barrier.is_some_and(|barrier| needed.contains(&barrier));
            !barred && !open.iter().any(|entry| entry.has_open(&needed))
        })
    }
}

impl AckTracker {
    /// `signal` wakes the task.
    pub(super) fn new(signal: Arc<Notify>) -> Self {
        Self { state: Mutex::default(), news: AtomicBool::new(false), eager: AtomicBool::new(false), signal }
    }

    /// For a subscription whose queue holds so many events, or only the newest of each key.
    pub(super) fn open(self: &Arc<Self>, queue: usize, conflates: bool) -> AckHandle {
        let mut state = self.lock();
        state.opened += 1;
        let number = state.opened;
        let (queued, taken) = (VecDeque::new(), BTreeSet::new());
        // What is on its way to such a queue has not yet replaced anything.
        let queue = if conflates { usize::MAX } else { queue };
        state.entries.push(Entry { number, queued, queue, conflates, taken, beyond: None });
        AckHandle { ack: Arc::clone(self), number, retired: false }
    }

    /// An event waits for a predicate before it goes to an account, or does not. Others are published meanwhile, so
    /// its place among them is known now or never.
    pub(super) fn comes(&self, event: &Event) {
        self.lock().runs.published(event);
    }

    /// An event goes into the queues of these accounts.
    pub(super) fn published(&self, accounts: impl Iterator<Item = u64>, event: &Event) {
        let mut state = self.lock();
        let position = event.position();
        state.runs.published(event);
        for number in accounts {
            state.entry(number).into_iter().for_each(|entry| entry.published(position));
        }
    }

    /// What a queue that conflates did not keep: because there was something newer, or no room.
    pub(super) fn removed(&self, account: u64, replaced: &[u64], lost: &[u64]) {
        let mut state = self.lock();
        let Some(entry) = state.entry(account) else { return };
        for &position in replaced {
            entry.remove(position);
        }
        for &position in lost {
            if entry.remove(position) {
                entry.lost(position);
            }
        }
        drop(state);
        self.tell();
    }

    /// An event that was to go to this account, which never gets it: nobody can acknowledge it. It takes no room, and
    /// pushes nothing out.
    pub(super) fn refused(&self, account: u64, event: &Event) {
        let mut state = self.lock();
        state.runs.published(event);
        state.entry(account).into_iter().for_each(|entry| entry.lost(event.position()));
    }

    /// The program asks to go back. What it takes until then comes again, so who reads on need not tell it apart.
    pub(super) fn leave(&self) {
        self.lock().leaves = true;
    }

    /// The program goes back to `id`: what came up to `position` is no concern any more.
    pub(super) fn restart(&self, position: u64, id: &str) {
        let mut state = self.lock();
        (state.since, state.leaves) = (position, false);
        state.barrier = None;
        state.runs = IdRuns::default();
        state.acknowledged.clear();
        for entry in &mut state.entries {
            entry.queued.clear();
            entry.taken.clear();
            entry.beyond = None;
        }
        state.restarted = Some(id.into());
        // The task itself restarts it: it needs no waking.
        self.news.store(true, Ordering::Release);
    }

    /// Whether something has been acknowledged since the last time.
    pub(super) fn has_news(&self) -> bool {
        self.news.swap(false, Ordering::AcqRel)
    }

    /// The ID up to which everything has been acknowledged, if that is news. `last` is the stream's last
    /// event ID, safe when nobody has anything open.
    pub(super) fn safe(&self, last: impl FnOnce() -> Arc<str>) -> Option<Arc<str>> {
        let mut state = self.lock();
        let restarted = state.restarted.take();
        let bound = state.entries.iter().filter_map(Entry::bound).chain(state.barrier).min();
        let safe_before = bound.map(|bound| state.runs.safe_before(bound));
        state.runs.forget_before(bound.unwrap_or(u64::MAX));
        let open = safe_before.map(|before| state.acknowledged.split_off(&before)).unwrap_or_default();
        let safe = std::mem::replace(&mut state.acknowledged, open).into_values().next_back();
        match bound {
            // Also what nobody had to acknowledge; but somebody has to be there who would have had to.
            None if !state.entries.is_empty() => Some(last()),
            _ => safe.or(restarted),
        }
    }

    /// Whether nobody has anything open that could still be acknowledged. From the first call on the task is woken by
    /// each acknowledgement.
    pub(super) fn is_settled(&self) -> bool {
        self.eager.store(true, Ordering::Release);
        let state = self.lock();
        state.leaves || state.entries.iter().all(|entry| entry.taken.is_empty() && entry.queued.is_empty())
    }

    fn lock(&self) -> MutexGuard<'_, AckState> {
        // Each change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        if !self.news.swap(true, Ordering::AcqRel) || self.eager.load(Ordering::Acquire) {
            self.signal.notify_one();
        }
    }
}

/// One subscription's part of the ack.
///
/// # Drop behavior
///
/// What is open then stays open: nothing else says that it was processed.
#[derive(Debug)]
pub(crate) struct AckHandle {
    ack: Arc<AckTracker>,
    number: u64,
    retired: bool,
}

impl AckHandle {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Notes what `take` takes. Under the lock: an event is in the queue or taken, never in between. So
    /// `take` calls no waker: that may drop a subscription, whose account takes the lock. `too_many` is called,
    /// without the lock, when this is the first event that can never be acknowledged.
    pub(crate) fn take(
        &self,
        take: impl FnOnce() -> Option<Received<Event>>,
        too_many: impl FnOnce(),
    ) -> Option<Received<Event>> {
        let mut state = self.ack.lock();
        let since = state.since;
        let taken = take();
        let mut is_beyond = false;
        if let (Some(Received::Item(event)), Some(entry)) = (&taken, state.entry(self.number)) {
            entry.took(event.position(), since);
            is_beyond = entry.beyond == Some(event.position());
        }
        drop(state);
        if is_beyond {
            too_many();
        }
        taken
    }

    /// False if the event was not open: never taken here, acknowledged before, or to come again.
    pub(crate) fn acknowledge(&self, event: &Event) -> bool {
        let mut state = self.ack.lock();
        let was_open =
            !state.leaves && state.entry(self.number).is_some_and(|entry| entry.taken.remove(&event.position()));
        if was_open {
            state.acknowledged(event.position(), event.last_event_id());
        }
        drop(state);
        if was_open {
            self.ack.tell();
        }
        was_open
    }

    /// Lets go of what is open.
    pub(crate) fn retire(&mut self) {
        self.retired = true;
    }
}

impl Drop for AckHandle {
    fn drop(&mut self) {
        let mut state = self.ack.lock();
        if let Some(index) = state.index(self.number) {
            let entry = state.entries.remove(index);
            if !self.retired {
                state.barrier = state.barrier.into_iter().chain(entry.bound()).min();
            }
        }
        drop(state);
        self.ack.tell();
    }
}

#[cfg(test)]
mod tests;
