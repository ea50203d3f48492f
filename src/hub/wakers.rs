//! [`Wakers`]: whom to call when all locks are let go.

use std::task::Waker;

use crate::error::panics::catch;

/// Most often there is one, which needs no memory.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Wakers {
    /// Calls them all, in one go. So does dropping them: whoever was taken out of a ring has nobody else to be woken by,
    /// also when users' code panics in between.
    #[inline]
    pub(super) fn wake(self) {}

    fn wake_others(&mut self, first: Waker) {
        for waker in std::iter::once(first).chain(self.others.drain(..)) {
            // A waker is the user's, too; the others are called all the same.
            catch(|| waker.wake()).ok();
        }
    }
}

impl Drop for Wakers {
    #[inline]
    fn drop(&mut self) {
        // Without a first there are no others: nobody sleeps while events come fast.
        if let Some(first) = self.first.take() {
            self.wake_others(first);
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
