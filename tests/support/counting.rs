//! Counts what the process has allocated: for a test that is alone in its file.

#![allow(dead_code, reason = "each test binary uses its own part of this")]
// A global allocator cannot be written without; this one only counts and hands on.
#![allow(unsafe_code, reason = "a global allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::future::Future;
use std::sync::atomic::AtomicIsize;
use std::sync::atomic::Ordering::Relaxed;

/// What is counted is the whole process's: one test at a time.
pub static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

struct Counting;

/// How many bytes there are now.
pub static LIVE: AtomicIsize = AtomicIsize::new(0);

/// The most that there have been.
pub static PEAK: AtomicIsize = AtomicIsize::new(0);

/// What comes of `future`, and the most bytes that there were at once meanwhile, beyond those before. Of the whole
/// process: one at a time.
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

// SAFETY: every call goes to the system's allocator as it came.
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
