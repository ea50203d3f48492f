//! What the hub locks and counts with: under `--cfg hub_loom`, in tests, loom's own, which tries every interleaving.

#[cfg(all(test, hub_loom))]
pub(super) use loom::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(all(test, hub_loom)))]
pub(super) use std::sync::{Mutex, MutexGuard, atomic};
