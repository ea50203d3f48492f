//! [`Wakers`]: whom to call when all locks are let go.

use std::task::Waker;

/// Most often there is one, which needs no memory.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Wakers {
    /// Calls them all, in one go.
    #[inline]
    pub(super) fn wake(self) {
        // Without a first there are no others: nobody sleeps while events come fast.
        if let Some(first) = self.first {
            first.wake();
            self.others.into_iter().for_each(Waker::wake);
        }
    }
}

impl Extend<Waker> for Wakers {
    fn extend<I: IntoIterator<Item = Waker>>(&mut self, wakers: I) {
        let mut wakers = wakers.into_iter();
        if self.first.is_none() {
            self.first = wakers.next();
        }
        self.others.extend(wakers);
    }
}
