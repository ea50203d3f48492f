//! What is left behind: memory, descriptors, tasks, threads. Each is counted for the whole process.

mod blocking_thread;
mod leaks;

#[path = "../support/counting.rs"]
mod counting;
#[path = "../support/mod.rs"]
mod support;
