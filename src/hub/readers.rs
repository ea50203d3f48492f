//! [`Readers`]: the readers of one ring, as its publisher sees them: how far each has come, who sleeps, for whom the
//! publisher waits, and who is stuck.

use std::sync::Arc;
use std::task::Waker;

use tokio::time::{Duration, Instant};

use super::cursor::Cursor;
use super::wakers::Wakers;

/// All under the ring's lock.
#[derive(Debug, Default)]
pub(super) struct Readers {
    list: Vec<Option<ReaderEntry>>,
    free: Vec<usize>,
    taken: usize,
    /// Those that have left a waker, each once.
    sleepers: Vec<usize>,
    waited: usize,
    stuck: usize,
}

/// One reader.
#[derive(Debug)]
pub(super) struct ReaderEntry {
    /// How far it has read the ring.
    pub(super) next: u64,
    cursor: Arc<Cursor>,
    waker: Option<Waker>,
    state: ReaderState,
    /// How much its user had taken when the publisher last gave way to it.
    yielded_at: Option<u64>,
}

/// ```text
///          full                no longer than patience
/// Moving -------> Waited ------------------------------> Stuck
///    ^  half full   |                                      |
///    +--------------+--------------------------------------+ empty, or forgiven
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReaderState {
    Moving,
    /// The publisher waits for it. When it was last seen to move, and how much its user had taken by then.
    Waited {
        taken: u64,
        since: Instant,
    },
    /// The publisher goes on over it. How far its user had come when it was given up.
    Stuck {
        at: u64,
    },
}

impl Readers {
    pub(super) fn len(&self) -> usize {
        self.taken
    }

    /// A reader of what comes after `next`; its number.
    pub(super) fn join(&mut self, next: u64, cursor: Arc<Cursor>) -> usize {
        let seat = ReaderEntry { next, cursor, waker: None, state: ReaderState::Moving, yielded_at: None };
        self.taken += 1;
        match self.free.pop() {
            Some(number) => {
                self.list[number] = Some(seat);
                number
            }
            None => {
                self.list.push(Some(seat));
                self.list.len() - 1
            }
        }
    }

    /// Gives up a seat. Its waker is not to be dropped under a lock.
    pub(super) fn leave(&mut self, number: usize) -> Option<Left> {
        let ReaderEntry { next, waker, state, .. } = self.list.get_mut(number)?.take()?;
        self.free.push(number);
        self.taken -= 1;
        if waker.is_some() {
            self.sleepers.retain(|&sleeper| sleeper != number);
        }
        self.waited -= usize::from(state.is_waited());
        self.stuck -= usize::from(state.is_stuck());
        Some(Left { next, waker, was_waited: state.is_waited() })
    }

    pub(super) fn get(&mut self, number: usize) -> Option<&mut ReaderEntry> {
        self.list.get_mut(number)?.as_mut()
    }

    /// Leaves a waker, in exchange for the one that was there.
    pub(super) fn sleep(&mut self, number: usize, waker: &mut Option<Waker>) {
        let Some(Some(seat)) = self.list.get_mut(number) else { return };
        if seat.waker.is_none() {
            self.sleepers.push(number);
        }
        std::mem::swap(&mut seat.waker, waker);
    }

    pub(super) fn have_sleepers(&self) -> bool {
        !self.sleepers.is_empty()
    }

    /// The wakers of all who sleep.
    pub(super) fn wake(&mut self, wakers: &mut Wakers) {
        let Self { list, sleepers, .. } = self;
        wakers.extend(sleepers.drain(..).filter_map(|number| list[number].as_mut()?.waker.take()));
    }

    pub(super) fn has_stuck(&self) -> bool {
        self.stuck > 0
    }

    pub(super) fn has_waited(&self) -> bool {
        self.waited > 0
    }

    /// How far the last of those has come who may not be overrun.
    pub(super) fn last(&self) -> Option<u64> {
        let careful = self.list.iter().flatten().filter(|seat| !seat.state.is_stuck());
        careful.map(|seat| seat.next).min()
    }

    /// Before anything comes after `end`: whoever is stuck and has taken everything is stuck no more.
    pub(super) fn forgive(&mut self, end: u64) {
        self.forgive_if(|seat, _| seat.cursor.position() == end);
    }

    /// What comes next is what was lost: whoever was stuck and moves now is stuck no more, or it would lose that again.
    pub(super) fn forgive_all_that_move(&mut self) {
        self.forgive_if(|seat, at| seat.cursor.position() != at);
    }

    fn forgive_if(&mut self, is_forgiven: impl Fn(&ReaderEntry, u64) -> bool) {
        if self.stuck == 0 {
            return;
        }
        for seat in self.list.iter_mut().flatten() {
            if matches!(seat.state, ReaderState::Stuck { at } if is_forgiven(seat, at)) {
                seat.state = ReaderState::Moving;
                self.stuck -= 1;
            }
        }
    }

    /// From now on the publisher waits for those who are full, and for those it waited for already. How many of them
    /// are new.
    pub(super) fn hold(&mut self, now: Instant, is_full: impl Fn(u64) -> bool) -> usize {
        let mut held = 0;
        for seat in self.list.iter_mut().flatten() {
            let is_new = seat.state == ReaderState::Moving && is_full(seat.next);
            if is_new || seat.state.is_waited() {
                seat.state = ReaderState::Waited { taken: seat.cursor.moves(), since: now };
                held += usize::from(is_new);
            }
        }
        self.waited += held;
        held
    }

    /// This reader has come as far as is waited for. True if it was waited for.
    pub(super) fn drained(&mut self, number: usize) -> bool {
        let Some(seat) = self.get(number).filter(|seat| seat.state.is_waited()) else { return false };
        seat.state = ReaderState::Moving;
        self.waited -= 1;
        true
    }

    /// Nothing is dropped any more: what is there is there, from `first` on.
    pub(super) fn end(&self, first: u64) {
        let behind = self.list.iter().flatten().filter(|seat| seat.next < first);
        behind.for_each(|seat| seat.cursor.ends_behind(first - seat.next));
    }

    /// Nobody is waited for any more. How many were.
    pub(super) fn let_go(&mut self) -> usize {
        let waited = self.list.iter_mut().flatten().filter(|seat| seat.state.is_waited());
        waited.for_each(|seat| seat.state = ReaderState::Moving);
        std::mem::take(&mut self.waited)
    }

    /// Whoever is waited for and has not moved for as long as `patience` is stuck. A take is dated by the look after it.
    pub(super) fn judge(&mut self, now: Instant, patience: Duration) -> Verdict {
        let (mut given_up, mut soonest) = (0, None::<Duration>);
        for seat in self.list.iter_mut().flatten() {
            let ReaderState::Waited { taken, since } = &mut seat.state else { continue };
            let moved = seat.cursor.moves();
            if std::mem::replace(taken, moved) != moved {
                *since = now;
            }
            let left = patience.saturating_sub(now.saturating_duration_since(*since));
            if left.is_zero() {
                seat.state = ReaderState::Stuck { at: seat.cursor.position() };
                given_up += 1;
            } else {
                soonest = Some(soonest.map_or(left, |soonest| soonest.min(left)));
            }
        }
        self.waited -= given_up;
        self.stuck += given_up;
        // Far away is never: then only its readers end the wait.
        let look = soonest.and_then(|left| now.checked_add(left.min(patience / LOOKS)));
        Verdict { given_up, look }
    }

    /// Whether somebody who can be overrun is behind `half`, and has moved since the publisher last gave way.
    pub(super) fn is_crowded(&mut self, all: bool, is_behind: impl Fn(u64) -> bool) -> bool {
        let mut crowded = false;
        for seat in self.list.iter_mut().flatten() {
            if (all || seat.state.is_stuck()) && is_behind(seat.next) {
                let taken = Some(seat.cursor.taken());
                crowded |= std::mem::replace(&mut seat.yielded_at, taken) != taken;
            }
        }
        crowded
    }
}

/// What a look at those who are waited for comes to.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// How many are stuck that were not before.
    pub(super) given_up: usize,
    /// When to look again.
    pub(super) look: Option<Instant>,
}

impl Verdict {
    pub(super) fn and(&mut self, other: Self) {
        self.given_up += other.given_up;
        self.look = self.look.into_iter().chain(other.look).min();
    }
}

/// How often within the patience it is seen whether anything was taken.
const LOOKS: u32 = 16;

impl ReaderState {
    fn is_waited(self) -> bool {
        matches!(self, Self::Waited { .. })
    }

    fn is_stuck(self) -> bool {
        matches!(self, Self::Stuck { .. })
    }
}

/// What a reader leaves.
pub(super) struct Left {
    pub(super) next: u64,
    pub(super) waker: Option<Waker>,
    pub(super) was_waited: bool,
}
