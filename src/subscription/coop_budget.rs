//! [`Allowance`]: what a consumer is charged of tokio's cooperative budget.

use std::task::{Context, Poll, ready};

use tokio::task::coop::{self, RestoreOnPending};

/// So many events for one unit of the 128 that a task has each time it is polled.
///
/// A task that has used up its budget does not sleep, but goes to the end of the line, and to have it taken up from there
/// tokio wakes another thread: every 128 events that is a quarter of what they cost, and just when half a queue has been
/// read. With eight, whoever is behind by a whole queue catches up in one go, and a task that never waits for anything
/// else still lets others run every 1,024 events.
const EVENTS: u8 = 8;

/// Counts what has been taken for the unit that was paid last.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    left: u8,
}

/// What one more event costs. Given back if it is dropped.
pub(crate) struct Price(Option<RestoreOnPending>);

impl Allowance {
    /// Pending when the task has to let others run first: then it is woken again.
    #[inline]
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Price> {
        let unit = if self.left == 0 { Some(ready!(coop::poll_proceed(cx))) } else { None };
        Poll::Ready(Price(unit))
    }

    /// The event was there.
    #[inline]
    pub(crate) fn pay(&mut self, price: Price) {
        match price.0 {
            None => self.left -= 1,
            Some(unit) => {
                unit.made_progress();
                self.left = EVENTS - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn a_task_for_which_there_is_always_something_lets_others_run_and_what_is_not_there_costs_nothing() {
        let task = tokio::spawn(async {
            let (mut allowance, mut taken) = (Allowance::default(), 0);
            for _turn in 0..2 {
                poll_fn(|cx| {
                    (0..10_000).for_each(|_| assert!(allowance.poll(cx).is_ready()));
                    while let Poll::Ready(price) = allowance.poll(cx) {
                        allowance.pay(price);
                        taken += 1;
                    }
                    Poll::Ready(())
                })
                .await;
                // Its waker has been called: it goes on after the others.
                tokio::task::yield_now().await;
            }
            taken
        });
        assert_eq!(task.await.unwrap(), 2 * 128 * u32::from(EVENTS));
    }
}
