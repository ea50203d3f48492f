//! What a stream does when its connection is lost, refused or changed.

mod credentials;
mod faults;
mod live_changes;
mod updates;

#[path = "../support/mod.rs"]
mod support;
