//! Resumption across restarts: a [`ResumeStore`] keeps the last event ID for the next run of the program.

mod file_store;
mod store;

pub use self::file_store::FileStore;
pub use self::store::{Commit, ResumeStore};
pub(crate) use self::store::{Store, StoreFuture};
