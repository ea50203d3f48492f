//! [`Member`]: one subscription of a program, beside its model.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::expected::Expected;
use crate::event::{Delivery, Event, Gap};
use crate::hub::Subscribed;

#[derive(Default)]
pub(super) struct Flag(AtomicUsize);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Flag {
    pub(super) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// Makes a waker, and the flag that says whether it was called.
pub(super) fn flag() -> (Waker, Arc<Flag>) {
    let flag = Arc::<Flag>::default();
    (Waker::from(Arc::clone(&flag)), flag)
}

pub(super) struct Member {
    pub(super) subscribed: Subscribed,
    pub(super) expected: Expected,
    /// Its last poll found nothing, and left the waker of this flag.
    pub(super) asleep: Option<Arc<Flag>>,
    /// The wakers of two tasks that take turns.
    pub(super) wakers: [(Waker, Arc<Flag>); 2],
    pub(super) open: Vec<Event>,
}

impl Member {
    /// Takes one event or gap. False if there is none.
    pub(super) fn take(&mut self, random: &mut fastrand::Rng, case: &str) -> bool {
        let Self { subscribed, expected, asleep, wakers, open } = self;
        let ack = subscribed.ack.as_ref();
        let tries = random.usize(0..4) == 0;
        let slot = &mut wakers[random.usize(0..2)];
        let taken = if tries {
            subscribed.reader.try_take(ack)
        } else {
            if slot.1.is_raised() {
                *slot = flag();
            }
            subscribed.reader.poll_take(&Context::from_waker(&slot.0), ack)
        };
        match taken {
            Poll::Ready(taken) => {
                match taken {
                    Some(Delivery::Event(event)) => {
                        expected.took_event(&event, case);
                        expected.moves += 1;
                        open.push(event);
                    }
                    Some(Delivery::Gap(Gap::Lagged { missed })) => expected.took_lag(missed, case),
                    Some(Delivery::Gap(gap)) => expected.given.add(&gap),
                    None => {
                        assert!(expected.ended, "{case}: it has not ended");
                        expected.took_nothing(case);
                        return false;
                    }
                }
                true
            }
            Poll::Pending => {
                assert!(!expected.ended, "{case}: it has ended");
                expected.took_nothing(case);
                if !tries {
                    *asleep = Some(Arc::clone(&slot.1));
                }
                false
            }
        }
    }
}
