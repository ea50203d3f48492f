//! A resume store in memory, and a subscription that acknowledges.

use std::io;
use std::sync::{Arc, Mutex};

use sseclient::{Filter, Handle, ResumeStore, SubscribeOptions, Subscription};
use tokio::sync::Semaphore;

use crate::support::until;

/// A store that tests can inspect, delay and break.
#[derive(Clone, Default)]
pub struct Memory(Arc<Inner>);

struct Inner {
    /// What the store holds is the last of these.
    saved: Mutex<Vec<String>>,
    loads: Mutex<usize>,
    /// The calls of `save`, including those that failed or have not returned.
    saves: Mutex<usize>,
    /// How many of the next calls fail.
    failures: Mutex<usize>,
    /// Each save takes one.
    permits: Semaphore,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            saved: Mutex::default(),
            loads: Mutex::default(),
            saves: Mutex::default(),
            failures: Mutex::default(),
            permits: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }
}

impl Memory {
    pub fn holding(id: &str) -> Self {
        let memory = Self::default();
        memory.0.saved.lock().unwrap().push(id.to_owned());
        memory
    }

    /// Holds "7", which the first `failures` calls do not give.
    pub fn failing(failures: usize) -> Self {
        let memory = Self::holding("7");
        memory.fail_next(failures);
        memory
    }

    pub fn fail_next(&self, calls: usize) {
        *self.0.failures.lock().unwrap() = calls;
    }

    /// Keeps saves from returning until [`Memory::allow_saves`].
    pub fn hold_saves(&self) {
        self.0.permits.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub fn allow_saves(&self, saves: usize) {
        self.0.permits.add_permits(saves);
    }

    pub fn loads(&self) -> usize {
        *self.0.loads.lock().unwrap()
    }

    pub fn saves(&self) -> usize {
        *self.0.saves.lock().unwrap()
    }

    /// All IDs that were saved, in order.
    pub fn saved(&self) -> Vec<String> {
        self.0.saved.lock().unwrap().clone()
    }

    pub fn id(&self) -> Option<String> {
        self.saved().pop()
    }

    /// Waits until the store holds `id`.
    pub async fn holds(&self, id: &str) {
        until(&format!("the store holds {id:?}"), || self.id().as_deref() == Some(id)).await;
    }

    fn answer(&self) -> io::Result<()> {
        let mut failures = self.0.failures.lock().unwrap();
        if *failures == 0 {
            return Ok(());
        }
        *failures -= 1;
        Err(io::Error::other("the disk is on fire"))
    }
}

impl ResumeStore for Memory {
    type Error = io::Error;

    async fn load(&self) -> io::Result<Option<String>> {
        *self.0.loads.lock().unwrap() += 1;
        self.answer()?;
        Ok(self.id())
    }

    async fn save(&self, id: String) -> io::Result<()> {
        *self.0.saves.lock().unwrap() += 1;
        self.answer()?;
        self.0.permits.acquire().await.unwrap().forget();
        self.0.saved.lock().unwrap().push(id);
        Ok(())
    }
}

pub fn acknowledging(handle: &Handle, filter: impl Into<Filter>) -> Subscription {
    handle.subscribe_with(filter, SubscribeOptions::default().acknowledging())
}
