//! [`CoopBudget`]: charges a subscriber's events to tokio's cooperative budget.
//!
//! A task that always finds an event would never let others run. tokio therefore gives a task 128
//! units each time it is polled, and a leaf future that finds no unit left returns `Pending`.

use std::task::{Context, Poll, ready};

use tokio::task::coop::{self, RestoreOnPending};

/// Events for one unit of the budget.
///
/// A task without budget goes to the end of the run queue, and tokio wakes another thread to take
/// it from there. At one unit per event that is a quarter of an event's cost, just when half a
/// queue has been read. At eight events per unit a reader that is a whole queue behind catches up
/// in one go, and a task that never waits for anything else still lets others run every 1,024
/// events.
const EVENTS_PER_UNIT: u8 = 8;

/// The part of a unit that is already paid for.
#[derive(Debug, Default)]
pub(crate) struct CoopBudget {
    events_left: u8,
}

/// A unit of the budget for the next event, or `None` if the last unit still covers it.
///
/// Dropping it unspent gives the unit back.
pub(crate) type Unit = Option<RestoreOnPending>;

impl CoopBudget {
    /// Returns true if the last unit covers the next event.
    #[inline]
    pub(crate) fn is_paid(&self) -> bool {
        self.events_left > 0
    }

    /// Reserves the budget for one event.
    ///
    /// Pending if the task must let others run first: tokio then wakes it again.
    #[inline]
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Unit> {
        Poll::Ready(if self.is_paid() { None } else { Some(ready!(coop::poll_proceed(cx))) })
    }

    /// Spends what [`poll`](Self::poll) reserved, once there was an event.
    #[inline]
    pub(crate) fn spend(&mut self, unit: Unit) {
        match unit {
            None => self.events_left -= 1,
            Some(unit) => {
                unit.made_progress();
                self.events_left = EVENTS_PER_UNIT - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn a_busy_reader_lets_other_tasks_run_and_pays_only_for_events() {
        let task = tokio::spawn(async {
            let (mut budget, mut taken) = (CoopBudget::default(), 0);
            for _turn in 0..2 {
                poll_fn(|cx| {
                    (0..10_000).for_each(|_| assert!(budget.poll(cx).is_ready()));
                    while let Poll::Ready(unit) = budget.poll(cx) {
                        budget.spend(unit);
                        taken += 1;
                    }
                    Poll::Ready(())
                })
                .await;
                // tokio has already called its waker: it goes on after the other tasks.
                tokio::task::yield_now().await;
            }
            taken
        });
        assert_eq!(task.await.unwrap(), 2 * 128 * u32::from(EVENTS_PER_UNIT));
    }
}
