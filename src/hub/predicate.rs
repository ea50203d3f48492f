//! [`Evaluator`]: calls a subscription's predicate, and ends the subscription when it panics.
//!
//! Predicates are user code. They are never called or dropped under a lock: see [`Evaluation`].

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use crate::error::panics::catch;
use crate::error::{Error, ErrorKind};
use crate::event::{Delivery, Event};

use super::filter::{Filter, Predicate};

/// Why a subscription ended before its stream did, once its predicate has panicked. Shared with the
/// subscription.
pub(crate) type PredicateFailure = Arc<OnceLock<Error>>;

/// The predicate of one subscription. Clones share the failure.
#[derive(Debug, Clone)]
pub(super) struct Evaluator {
    predicate: Predicate,
    failure: PredicateFailure,
}

impl Evaluator {
    /// Returns none for a filter without a predicate.
    pub(super) fn of(filter: &Filter) -> Option<Self> {
        let predicate = filter.predicate()?.clone();
        Some(Self { predicate, failure: PredicateFailure::default() })
    }

    pub(super) fn failure(&self) -> PredicateFailure {
        Arc::clone(&self.failure)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Whether both belong to the same subscription.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.failure, &other.failure)
    }

    /// Evaluates the predicate. `None` if it panics, now or before. No lock may be held.
    pub(super) fn passes(&self, event: &Event) -> Option<bool> {
        if self.has_failed() {
            return None;
        }
        catch(|| self.predicate.holds(event))
            .map_err(|panicked| {
                // Set before the queue ends, so that a subscriber which sees the end can read the reason.
                let text = panicked.message("the subscription's predicate");
                self.failure.set(Error::new(ErrorKind::FilterPanicked, text))
            })
            .ok()
    }

    /// Evaluates the predicate for retained events. Where it panics the replay ends, with `None`.
    pub(super) fn replay(&self, retained: VecDeque<Delivery>) -> VecDeque<Option<Delivery>> {
        let mut passed = VecDeque::new();
        for delivery in retained {
            let passes = match &delivery {
                Delivery::Gap(_) => Some(true),
                Delivery::Event(event) => self.passes(event),
            };
            match passes {
                Some(true) => passed.push_back(Some(delivery)),
                Some(false) => {}
                None => {
                    passed.push_back(None);
                    break;
                }
            }
        }
        passed
    }
}

/// What one channel has collected in a turn, to be evaluated while no lock is held.
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
        for delivery in std::mem::take(&mut self.passed) {
            let Delivery::Event(event) = delivery else {
                self.passed.push(delivery);
                continue;
            };
            match self.evaluator.passes(&event) {
                Some(true) => self.passed.push(Delivery::Event(event)),
                Some(false) => {}
                None => {
                    self.panicked_at = Some(event);
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
