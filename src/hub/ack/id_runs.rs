//! [`IdRuns`]: which events in a row share their last event ID, and so are safe only together.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::event::Event;

/// The number of runs that are told apart. Beyond that, neighbours are taken for one, which only
/// holds the resume store back longer.
const MAX_RUNS: usize = 1024;

/// Runs of events with the same last event ID.
///
/// A server that is asked to go on after an ID sends none of the events that set it. So an ID is
/// not safe while a later event that also sets it is open. Events that only inherit it come again.
#[derive(Debug, Default)]
pub(super) struct IdRuns {
    /// The last event ID of the newest run, which may still grow.
    id: String,
    newest: Option<Run>,
    /// Older runs with several events that set their ID, in order. Most servers have none.
    shared: VecDeque<Run>,
    /// The position of the newest event so far.
    seen: u64,
}

/// Events in a row with the same last event ID.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u64,
    /// The position of the last event that set the ID.
    last: u64,
}

impl Run {
    fn is_shared(&self) -> bool {
        self.last > self.start
    }
}

impl IdRuns {
    /// Notes an event that a subscription has to acknowledge, or may have to. Ignores one that was
    /// noted before.
    pub(super) fn published(&mut self, event: &Event) {
        let (position, id) = (event.position(), event.last_event_id());
        if position <= self.seen {
            return;
        }
        self.seen = position;
        match &mut self.newest {
            Some(run) if *self.id == *id => {
                if event.id().is_some() {
                    run.last = position;
                }
            }
            _ => {
                let before = self.newest.replace(Run { start: position, last: position });
                if let Some(run) = before.filter(Run::is_shared) {
                    self.keep(run);
                }
                // Reuses the memory: this runs for each event with a new ID.
                id.clone_into(&mut self.id);
            }
        }
    }

    /// Remembers a run that has ended. Beyond the limit it becomes one with the run before it.
    fn keep(&mut self, run: Run) {
        let is_full = self.shared.len() == MAX_RUNS;
        match self.shared.back_mut() {
            Some(newest) if is_full => newest.last = run.last,
            _ => self.shared.push_back(run),
        }
    }

    /// Returns the position before which IDs are safe, if everything before `position` has been
    /// acknowledged. A run that is acknowledged in part is not safe.
    pub(super) fn safe_before(&self, position: u64) -> u64 {
        self.run_of(position).filter(|run| position <= run.last).map_or(position, |run| run.start)
    }

    /// Returns what has to be acknowledged, from `first` on, for the ID of `position` to be as safe
    /// as one from before `first`. `None` if more events with that ID may come.
    pub(super) fn needed(&self, first: u64, position: u64) -> Option<RangeInclusive<u64>> {
        match self.run_of(position) {
            // The two have different IDs.
            Some(run) if first <= run.start => {
                let may_grow = self.newest.is_some_and(|newest| newest.start == run.start);
                (!may_grow).then_some(first..=run.last)
            }
            _ => Some(first..=position),
        }
    }

    /// Forgets runs before `position`: everything there has been acknowledged, and its ID taken.
    pub(super) fn forget_before(&mut self, position: u64) {
        while self.shared.front().is_some_and(|run| run.last < position) {
            self.shared.pop_front();
        }
    }

    /// Returns the run that an event is in, unless it is the only one in it.
    fn run_of(&self, position: u64) -> Option<Run> {
        if let Some(newest) = self.newest.filter(|newest| newest.start <= position) {
            return Some(newest);
        }
        let after = self.shared.partition_point(|run| run.start <= position);
        self.shared.get(after.checked_sub(1)?).copied().filter(|run| position <= run.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u64, position: u64) -> Event {
        Event::builder().id(id.to_string()).build().unwrap().at(position)
    }

    #[test]
    fn too_many_runs_hold_the_store_back_longer_and_never_too_short() {
        let mut runs = IdRuns::default();
        let pairs = 3 * MAX_RUNS as u64;
        for pair in 1..=pairs {
            runs.published(&event(pair, 2 * pair - 1));
            runs.published(&event(pair, 2 * pair));
        }
        assert_eq!(runs.shared.len(), MAX_RUNS);
        for pair in 1..=pairs {
            let safe = runs.safe_before(2 * pair);
            let told_apart = pair < MAX_RUNS as u64 || pair == pairs;
            assert!(safe == 2 * pair - 1 || (!told_apart && safe < 2 * pair - 1), "{pair}: {safe}");
        }
        runs.forget_before(u64::MAX);
        assert!(runs.shared.is_empty());
    }
}
