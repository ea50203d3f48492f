//! [`DecodeCache`]: what was made of an event, once for each type, however many subscribers ask.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::error::{Error, ErrorKind};

/// A list that only grows: an event is decoded as one type, or a few.
#[derive(Default)]
pub(super) struct DecodeCache(OnceLock<Box<Entry>>);

struct Entry {
    made_as: TypeId,
    made: OnceLock<Result<Arc<dyn Any + Send + Sync>, Error>>,
    others: DecodeCache,
}

impl DecodeCache {
    /// The value of this type, made by the first who asks; others wait for that. If `make` panics, the next who asks
    /// tries again.
    pub(super) fn get<T: Send + Sync + 'static>(
        &self,
        make: impl FnOnce() -> Result<T, Error>,
    ) -> Result<Arc<T>, Error> {
        let made = self.entry(TypeId::of::<T>()).made.get_or_init(|| Ok(Arc::new(make()?)));
        // It is of the type under which it was found.
        made.clone()?.downcast().map_err(|_| Error::new(ErrorKind::Decode, "made as another type"))
    }

    fn entry(&self, made_as: TypeId) -> &Entry {
        let mut cache = self;
        loop {
            let entry =
                cache.0.get_or_init(|| Box::new(Entry { made_as, made: OnceLock::new(), others: Self::default() }));
            if entry.made_as == made_as {
                return entry;
            }
            cache = &entry.others;
        }
    }
}

/// What is made is the user's, and need not be printable.
impl fmt::Debug for DecodeCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeCache").finish_non_exhaustive()
    }
}
