//! Resumption across restarts: a [`ResumeStore`] keeps the last event ID for the next run of the
//! program.
//!
//! This layer only loads and saves. When an ID is saved is decided by the connection's committer,
//! by the [`Commit`] of the stream.

mod file_store;
mod store;

pub use self::file_store::FileStore;
pub use self::store::{Commit, ResumeStore};
pub(crate) use self::store::{Store, StoreFuture};
