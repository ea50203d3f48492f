//! A server on a thread of its own, for tests without a runtime.

use std::ops::Deref;
use std::thread;
use std::time::Instant;

use sseclient::testing::{self, Plan};
use tokio::runtime::{Builder, Runtime};

/// The server, and the runtime that its thread drives.
pub struct Server {
    server: Option<testing::Server>,
    runtime: Runtime,
}

impl Server {
    pub fn start(plan: impl Into<Plan>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { server: Some(runtime.block_on(super::serve(plan))), runtime }
    }
}

impl Deref for Server {
    type Target = testing::Server;

    fn deref(&self) -> &testing::Server {
        self.server.as_ref().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let server = self.server.take().unwrap();
        if !thread::panicking() {
            self.runtime.block_on(server.finish());
        }
    }
}

/// A blocking client with the transport of this process.
#[cfg(feature = "blocking")]
pub fn client() -> sseclient::blocking::Client {
    sseclient::blocking::Client::with(super::client()).unwrap()
}

/// Waits until `condition` holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < super::LIMIT, "{what}");
        thread::yield_now();
    }
}
