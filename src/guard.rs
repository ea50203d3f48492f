//! Users' code, called where a panic of it must harm nobody else.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a panic carries.
pub(crate) type Payload = dyn Any + Send;

/// What `call` returns; after a panic nothing, and `told` is shown what it carries. What `call` left half done is the
/// user's own.
pub(crate) fn guarded<T>(call: impl FnOnce() -> T, told: impl FnOnce(&Payload)) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(returned) => Some(returned),
        Err(payload) => {
            told(&*payload);
            dispose(payload);
            None
        }
    }
}

/// How often what comes out of dropping what a panic carried is dropped in its turn.
const DISPOSALS: usize = 8;

/// What a panic carries is the user's, too, and may panic when it is dropped.
fn dispose(mut payload: Box<Payload>) {
    for _ in 0..DISPOSALS {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(another) => payload = another,
        }
    }
    // It may go on like that for ever; somebody who does such things may leak.
    #[expect(clippy::mem_forget, reason = "it must not be dropped")]
    std::mem::forget(payload);
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;
    use std::sync::Arc;

    use super::*;

    /// Panics when it is dropped, with another like it.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_any(Self);
        }
    }

    /// Panics when it is dropped, with another like it or, at last, with something that does not.
    struct Matryoshka(Arc<()>, u32);

    impl Drop for Matryoshka {
        fn drop(&mut self) {
            match self.1 {
                0 => panic!("the last one"),
                inner => panic_any(Self(Arc::clone(&self.0), inner - 1)),
            }
        }
    }

    #[test]
    fn what_panics_a_few_times_when_it_is_dropped_leaks_nothing() {
        let held = Arc::new(());
        assert_eq!(guarded(|| panic_any(Matryoshka(Arc::clone(&held), 5)), |_| ()), None::<()>);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_panic_that_carries_another_goes_no_further() {
        let mut told = 0;
        assert_eq!(guarded(|| panic_any(Bomb), |payload| told += i32::from(payload.is::<Bomb>())), None::<()>);
        assert_eq!(told, 1);
        assert_eq!(guarded(|| 5, |_| panic!("nothing happened")), Some(5));
    }
}
