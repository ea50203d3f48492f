//! Calls the caller's code and turns its panics into values, so that they harm no other stream or
//! subscriber.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// The payload of a panic.
type Payload = dyn Any + Send;

/// A panic that was caught.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Panicked {
    text: Option<String>,
}

impl Panicked {
    /// Keeps the text of a payload, if it is one.
    fn of(payload: &Payload) -> Self {
        let text = payload.downcast_ref::<&str>().map(|&text| text.to_owned());
        Self { text: text.or_else(|| payload.downcast_ref::<String>().cloned()) }
    }

    /// Returns the text of the panic, with `who` as the code that panicked.
    pub(crate) fn message(&self, who: &str) -> String {
        match &self.text {
            Some(text) => format!("{who} panicked: {text}"),
            None => format!("{who} panicked"),
        }
    }
}

/// Returns the result of `call`, or its panic. State that the call left half changed is the
/// caller's own.
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        let panicked = Panicked::of(&*payload);
        dispose(payload);
        panicked
    })
}

/// Drops a value whose `Drop` may be the caller's code.
pub(crate) fn drop_catching<T>(held: T) {
    catch(|| drop(held)).ok();
}

/// Returns the output of a future, or its panic, after which it is not polled again.
pub(crate) async fn catch_future<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    // Each poll is guarded by itself: a panic must not leave the task that polls.
    poll_fn(|cx| match catch(|| future.as_mut().poll(cx)) {
        Ok(polled) => polled.map(Ok),
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}

/// Maximum number of payloads that are dropped, when dropping each panics with another one.
const MAX_DISPOSALS: usize = 8;

/// Drops a payload, which is the caller's, too, and may panic in its `Drop`.
fn dispose(mut payload: Box<Payload>) {
    for _ in 0..MAX_DISPOSALS {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(another) => payload = another,
        }
    }
    // This could go on for ever, so the last payload leaks.
    #[expect(clippy::mem_forget, reason = "it must not be dropped")]
    std::mem::forget(payload);
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;
    use std::sync::Arc;

    use super::*;

    /// Panics in its `Drop`, with another one like it.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_any(Self);
        }
    }

    /// Panics in its `Drop`, with another one like it; the last one with a plain text.
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
    fn a_panic_keeps_its_text_if_it_has_one() {
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
    fn a_payload_that_panics_a_few_times_in_drop_leaks_nothing() {
        let held = Arc::new(());
        assert!(catch(|| panic_any(Matryoshka(Arc::clone(&held), 5))).is_err());
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_panic_in_the_drop_of_a_payload_is_caught_too() {
        assert_eq!(catch(|| panic_any(Bomb)), Err::<(), _>(Panicked { text: None }));
    }
}
