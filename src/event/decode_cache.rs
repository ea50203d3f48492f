//! [`DecodeCache`]: the decoded values of an event, which all its subscribers share.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::error::{Error, ErrorKind};

/// A list of decoded values, at most one of each type.
// It only grows. An event is decoded as one type, or a few.
#[derive(Default)]
pub(super) struct DecodeCache(OnceLock<Box<DecodedValue>>);

struct DecodedValue {
    made_as: TypeId,
    made: OnceLock<Result<Arc<dyn Any + Send + Sync>, Error>>,
    others: DecodeCache,
}

impl DecodeCache {
    /// Returns the value of type `T`. The first caller makes it, and others wait for that. If
    /// `make` panics, the next caller makes it.
    pub(super) fn get<T: Send + Sync + 'static>(
        &self,
        make: impl FnOnce() -> Result<T, Error>,
    ) -> Result<Arc<T>, Error> {
        let made = self.entry(TypeId::of::<T>()).made.get_or_init(|| Ok(Arc::new(make()?)));
        // The downcast cannot fail: values are found by their type.
        made.clone()?.downcast().map_err(|_| Error::new(ErrorKind::Decode, "made as another type"))
    }

    fn entry(&self, made_as: TypeId) -> &DecodedValue {
        let mut cache = self;
        loop {
            let entry = cache
                .0
                // Boxed: most events are never decoded this way, and have no room for a value.
                .get_or_init(|| Box::new(DecodedValue { made_as, made: OnceLock::new(), others: Self::default() }));
            if entry.made_as == made_as {
                return entry;
            }
            cache = &entry.others;
        }
    }
}

// The decoded values belong to the user and need not be printable.
impl fmt::Debug for DecodeCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeCache").finish_non_exhaustive()
    }
}
