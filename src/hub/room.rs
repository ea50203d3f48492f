//! [`Room`]: whether the channels have room for what comes, and the wait for those that have none.
//!
//! Asked of the channels that have run out of it, never of all: a thousand that nothing was published to cost nothing.

use tokio::time::Instant;

use super::readers::Verdict;
use super::{Channels, Hub};

/// What the publisher has to do before it publishes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Nothing.
    Free,
    /// Give way, once: somebody who moves may be overrun.
    Crowded,
    /// Wait: a queue is full.
    Full,
}

impl Channels {
    fn survey(&mut self) -> Room {
        if self.has_room {
            return Room::Free;
        }
        let (mut has_room, mut is_crowded) = (true, false);
        let mut add = |(room, crowded): (u64, bool)| {
            has_room &= room > 0;
            is_crowded |= crowded;
        };
        self.spent.visit(&mut self.events, |_, channel| add(channel.survey()));
        self.transcript.iter_mut().for_each(|channel| add(channel.survey()));
        match (has_room, is_crowded) {
            (false, _) => Room::Full,
            (true, true) => Room::Crowded,
            (true, false) => {
                self.spent.forget();
                self.has_room = true;
                Room::Free
            }
        }
    }
}

impl Hub {
    /// What the publisher has to do before it publishes.
    pub(super) fn room(&self) -> Room {
        // The wait of a response that is gone goes on for the next.
        if self.gate.is_closed() { Room::Full } else { self.lock().survey() }
    }

    /// From now on the publisher waits for readers that are full.
    pub(super) fn hold(&self, now: Instant) {
        let Channels { events, spent, transcript, .. } = &mut *self.lock();
        spent.visit(events, |_, channel| channel.hold(now));
        transcript.iter().for_each(|channel| channel.hold(now));
    }

    /// Gives up on readers that are waited for and had the time to move.
    pub(super) fn judge(&self, now: Instant) -> Verdict {
        let Channels { events, spent, transcript, .. } = &mut *self.lock();
        let mut all = Verdict::default();
        transcript.iter().for_each(|channel| all.and(channel.judge(now)));
        spent.visit(events, |_, channel| all.and(channel.judge(now)));
        all
    }
}
