//! Resumption across restarts: a [`ResumeStore`] keeps the last event ID for the next run of the
//! program.
//!
//! This layer only loads and saves. When an ID is saved is decided by the connection's committer,
//! by the [`Commit`] of the stream.

mod file_store;
mod store;

/// Maximum length of an ID that is kept. nginx and Apache refuse headers of more than 8 KiB, name
/// included, for good; a server must not be able to end the stream by sending such an ID.
pub(crate) const MAX_ID: usize = 8_000;

pub use self::file_store::FileStore;
pub use self::store::{Commit, ResumeStore};
pub(crate) use self::store::{Store, StoreFuture};
