//! Users' code, called where a panic of it must harm nobody else.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// What a panic carries.
type Payload = dyn Any + Send;

/// A user's code has panicked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Panicked {
    text: Option<String>,
}

impl Panicked {
    fn of(payload: &Payload) -> Self {
        let text = payload.downcast_ref::<&str>().map(|&text| text.to_owned());
        Self { text: text.or_else(|| payload.downcast_ref::<String>().cloned()) }
    }

    /// That it was `who`, and in which words.
    pub(crate) fn message(&self, who: &str) -> String {
        match &self.text {
            Some(text) => format!("{who} panicked: {text}"),
            None => format!("{who} panicked"),
        }
    }
}

/// What `call` returns, unless it panics. What it left half done then is the user's own.
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        let panicked = Panicked::of(&*payload);
        dispose(payload);
        panicked
    })
}

/// Drops what may be a user's, or hold it.
pub(crate) fn drop_catching<T>(held: T) {
    catch(|| drop(held)).ok();
}

/// The same for a future, which is not polled again after a panic.
pub(crate) async fn catch_future<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch(|| future.as_mut().poll(cx)) {
        Ok(polled) => polled.map(Ok),
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
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
    fn a_panic_is_told_in_its_words_if_it_has_any() {
        let calls: [(fn(), &str); 3] = [
            (|| panic!("plain"), "it panicked: plain"),
            (|| panic!("made of {}", "parts"), "it panicked: made of parts"),
            (|| panic_any(5), "it panicked"),
        ];
        for (call, message) in calls {
            assert_eq!(catch(call).unwrap_err().message("it"), message);
        }
        assert_eq!(catch(|| 5), Ok(5));
    }

    #[test]
    fn what_panics_a_few_times_when_it_is_dropped_leaks_nothing() {
        let held = Arc::new(());
        assert!(catch(|| panic_any(Matryoshka(Arc::clone(&held), 5))).is_err());
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_panic_that_carries_another_goes_no_further() {
        assert_eq!(catch(|| panic_any(Bomb)), Err::<(), _>(Panicked { text: None }));
    }
}
