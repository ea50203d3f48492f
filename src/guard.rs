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

/// What a panic carries is the user's, too, and may panic when it is dropped.
fn dispose(payload: Box<Payload>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // It may go on like that for ever; somebody who does such things may leak.
        #[expect(clippy::mem_forget, reason = "it must not be dropped")]
        std::mem::forget(another);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    /// Panics when it is dropped, with another like it.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_any(Self);
        }
    }

    #[test]
    fn a_panic_that_carries_another_goes_no_further() {
        let mut told = 0;
        assert_eq!(guarded(|| panic_any(Bomb), |payload| told += i32::from(payload.is::<Bomb>())), None::<()>);
        assert_eq!(told, 1);
        assert_eq!(guarded(|| 5, |_| panic!("nothing happened")), Some(5));
    }
}
