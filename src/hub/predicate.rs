//! [`Evaluator`]: calls a subscription's predicate, and ends the subscription when it panics.
//!
//! Predicates are user code. They are never called or dropped under a lock: see [`Evaluation`].

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use crate::error::panics::catch;
use crate::error::{Error, ErrorKind};
use crate::event::{Delivery, Event};

use super::filter::{Filter, Predicate};

/// The error of a subscription that ended before its stream, because its predicate panicked. Shared
/// with the subscription.
pub(crate) type PredicateFailure = Arc<OnceLock<Error>>;

/// The predicate of one subscription. Clones share the failure.
#[derive(Debug, Clone)]
pub(super) struct Evaluator {
    predicate: Predicate,
    /// Where the reason will be if the predicate panics.
    pub(super) failure: PredicateFailure,
}

impl Evaluator {
    /// Returns none for a filter without a predicate.
    pub(super) fn of(filter: &Filter) -> Option<Self> {
        let predicate = filter.predicate()?.clone();
        Some(Self { predicate, failure: PredicateFailure::default() })
    }

    /// Returns true if the predicate has panicked.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Returns true if both belong to the same subscription.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        // Equal filters may share a predicate, but the slot for a failure belongs to one
        // subscription.
        Arc::ptr_eq(&self.failure, &other.failure)
    }

    /// Evaluates the predicate. `None` if it panics, now or before. No lock may be held.
    fn passes(&self, event: &Event) -> Option<bool> {
        // A predicate that has panicked may have left its own data half changed, so it is not
        // called again.
        if self.has_failed() {
            return None;
        }
        catch(|| self.predicate.holds(event))
            .map_err(|panicked| {
                // Set before the queue ends, so that a subscriber which sees the end can read the
                // reason.
                let text = panicked.message("the subscription's predicate");
                self.failure.set(Error::new(ErrorKind::FilterPanicked, text))
            })
            .ok()
    }

    /// Evaluates the predicate for events in order, and passes on to `keep` what passes, and gaps.
    /// Stops at the first event at which the predicate panics, and returns that. No lock may be
    /// held.
    pub(super) fn evaluate(
        &self,
        deliveries: &mut impl Iterator<Item = Delivery>,
        mut keep: impl FnMut(Delivery),
        mut reject: impl FnMut(&Event),
    ) -> Option<Event> {
        for delivery in deliveries {
            match delivery {
                Delivery::Gap(_) => keep(delivery),
                Delivery::Event(event) => match self.passes(&event) {
                    Some(true) => keep(Delivery::Event(event)),
                    Some(false) => reject(&event),
                    None => return Some(event),
                },
            }
        }
        None
    }

    /// Evaluates the predicate for retained events. Where it panics the replay ends, with `None`.
    pub(super) fn replay(&self, retained: VecDeque<Delivery>) -> VecDeque<Option<Delivery>> {
        let mut replay = VecDeque::new();
        let keep = |delivery| replay.push_back(Some(delivery));
        if self.evaluate(&mut retained.into_iter(), keep, |_| {}).is_some() {
            replay.push_back(None);
        }
        replay
    }
}

/// The events that one channel collected in a turn, to be evaluated while no lock is held.
pub(super) struct Evaluation {
    /// The index of the channel when this was taken from it.
    pub(super) index: usize,
    pub(super) evaluator: Evaluator,
    /// In order. After [`run`](Self::run), only what has passed.
    pub(super) passed: Vec<Delivery>,
    /// The event at which the predicate has panicked.
    pub(super) panicked_at: Option<Event>,
}

impl Evaluation {
    pub(super) fn new(index: usize, evaluator: Evaluator, collected: Vec<Delivery>) -> Self {
        Self { index, evaluator, passed: collected, panicked_at: None }
    }

    /// Evaluates the predicate for each event in order. No lock may be held.
    pub(super) fn run(&mut self) {
        let mut collected = std::mem::take(&mut self.passed).into_iter();
        self.panicked_at = self.evaluator.evaluate(&mut collected, |delivery| self.passed.push(delivery), |_| {});
    }
}

#[cfg(test)]
mod tests;
