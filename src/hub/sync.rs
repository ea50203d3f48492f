//! Locks, atomics and [`Wakers`].
//!
//! Under `--cfg hub_loom`, in tests, the ring and the wait of the publisher use loom's primitives,
//! with which loom tries every interleaving.

use std::sync::{Mutex as StdMutex, MutexGuard as StdMutexGuard, PoisonError};
use std::task::Waker;

#[cfg(all(test, hub_loom))]
pub(super) use loom::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(all(test, hub_loom)))]
pub(super) use std::sync::{Mutex, MutexGuard, atomic};

use crate::error::panics::catch;

/// Locks a mutex, also a poisoned one.
///
/// No user code runs under a lock of the hub, and our own code does not panic there. If it did, the
/// data would still be whole.
pub(super) fn lock<T>(mutex: &StdMutex<T>) -> StdMutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakers to call once all locks have been released.
///
/// A waker is user code: it may drop a task that owns a subscription, which locks the hub again.
///
/// # Drop behavior
///
/// Calls them all. A reader whose waker has left the ring has no other way to be woken, so this
/// holds also when user code panics in between.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    /// Most often there is only one, which then needs no allocation.
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Wakers {
    /// Calls all wakers, which is what dropping them does.
    #[inline]
    pub(super) fn wake(self) {
        drop(self);
    }

    fn wake_all(&mut self, first: Waker) {
        for waker in std::iter::once(first).chain(self.others.drain(..)) {
            // A waker that panics must not keep the others from being called.
            catch(|| waker.wake()).ok();
        }
    }
}

impl Drop for Wakers {
    #[inline]
    fn drop(&mut self) {
        // Without a first there are no others. No reader sleeps while events come fast.
        if let Some(first) = self.first.take() {
            self.wake_all(first);
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
