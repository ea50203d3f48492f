//! [`Clients`]: who is connected, each in a slot of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::args::Policy;

/// The clients by slot. A slot is the lowest free number, so that there are never more slots than
/// there were clients at one time: they are labels of metrics, and each label costs a time series.
pub(crate) struct Clients {
    slots: Arc<Mutex<BTreeMap<usize, Connected>>>,
    max: usize,
    refused: AtomicU64,
}

/// A client that is connected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connected {
    pub(crate) address: SocketAddr,
    pub(crate) policy: Policy,
    pub(crate) since: Instant,
}

/// A slot that is taken. Its drop frees the slot.
pub(crate) struct Slot {
    pub(crate) number: usize,
    slots: Arc<Mutex<BTreeMap<usize, Connected>>>,
}

impl Clients {
    pub(crate) fn new(max: usize) -> Self {
        Self { slots: Arc::default(), max, refused: AtomicU64::new(0) }
    }

    /// Takes a slot; `None` if there are as many clients as there may be.
    pub(crate) fn enter(&self, address: SocketAddr, policy: Policy) -> Option<Slot> {
        let mut slots = lock(&self.slots);
        if slots.len() >= self.max {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let number = slots.keys().zip(0..).find(|(taken, number)| **taken != *number).map_or(slots.len(), |(_, n)| n);
        slots.insert(number, Connected { address, policy, since: Instant::now() });
        Some(Slot { number, slots: Arc::clone(&self.slots) })
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.slots).len()
    }

    /// Returns how many clients were turned away.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Returns the client whose subscription has this name, and its slot.
    pub(crate) fn get(&self, name: &str) -> Option<(usize, Connected)> {
        let slot = name.strip_prefix(PREFIX)?.parse().ok()?;
        lock(&self.slots).get(&slot).map(|connected| (slot, *connected))
    }
}

/// How the names of their subscriptions begin.
const PREFIX: &str = "client ";

impl Slot {
    /// Returns the name of the client's subscription, in logs and statistics.
    pub(crate) fn name(&self) -> String {
        format!("{PREFIX}{}", self.number)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.slots).remove(&self.number);
    }
}

fn lock(slots: &Mutex<BTreeMap<usize, Connected>>) -> MutexGuard<'_, BTreeMap<usize, Connected>> {
    // Nothing that can panic happens under this lock.
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}
