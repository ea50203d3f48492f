//! An allocator that counts what the process has allocated, and a lock that lets one test run at a
//! time.

#![allow(dead_code, reason = "each test binary uses its own part of this")]
// A global allocator cannot be written without unsafe code. This one only counts, and passes each
// call on.
#![allow(unsafe_code, reason = "a global allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::future::Future;
use std::sync::atomic::AtomicIsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::runtime::Builder;

/// Held by the one test that runs.
static ALONE: Mutex<()> = Mutex::new(());

/// Waits until no other test runs, and keeps the others waiting until the guard is dropped.
///
/// A thread that waits here allocates nothing, so it is not counted either.
pub fn lock() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a test while no other runs. Its runtime and all its tasks are gone before the next one
/// begins.
pub fn alone<F: Future>(test: F) -> F::Output {
    let _alone = lock();
    Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// Like [`alone`], on a runtime with two worker threads.
pub fn alone_on_two_workers<F: Future>(test: F) -> F::Output {
    let _alone = lock();
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

struct Counting;

/// The bytes that are allocated now.
pub static LIVE: AtomicIsize = AtomicIsize::new(0);

/// The most bytes that have been allocated at once, since a test last set this.
pub static PEAK: AtomicIsize = AtomicIsize::new(0);

/// Returns the output of `future`, and by how many bytes at most the process grew while it ran.
pub async fn most<F: Future>(future: F) -> (F::Output, isize) {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let output = future.await;
    (output, PEAK.load(Relaxed) - before)
}

fn grow(bytes: isize) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

// SAFETY: each call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        grow(new_size as isize - layout.size() as isize);
        unsafe { System.realloc(block, layout, new_size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Relaxed);
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
