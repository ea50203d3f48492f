//! [`Latest`]: the newest event of each key, for late subscribers.
//!
//! Keys are user code, so an event waits without a key until the turn is over and the hub's lock is
//! released. A replay that begins meanwhile gets it all the same.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::event::Event;

use super::overflow::ConflateKey;

/// The maximum number of events in a snapshot and after it, and of keys: enough for minutes of a
/// busy stream, few enough to be handed to a subscriber at once.
pub(super) const MAX_RETAINED_EVENTS: usize = 65_536;

/// The number of bytes that one rule keeps: as many as a queue may hold.
pub(super) const MAX_RETAINED_BYTES: u64 = 16 * 1024 * 1024;

/// The events that one rule keeps. Under the hub's lock.
#[derive(Debug)]
pub(super) struct Latest {
    key: ConflateKey,
    /// By serial number, which rises with each event of the stream.
    events: BTreeMap<u64, LatestEvent>,
    places: HashMap<Arc<str>, u64>,
    /// The bytes of events and keys, whose length is the caller's choice.
    bytes: u64,
    /// Events of this turn, by serial number.
    unkeyed: VecDeque<(u64, Event)>,
}

/// An event, and the key under which a newer one replaces it.
#[derive(Debug)]
struct LatestEvent {
    key: Arc<str>,
    event: Event,
}

impl LatestEvent {
    fn bytes(&self) -> u64 {
        (self.event.size() + self.key.len()) as u64
    }
}

/// An event whose key is to be computed when no lock is held.
#[derive(Debug)]
pub(super) struct Unkeyed {
    /// The index of the rule that keeps the event.
    pub(super) rule: usize,
    serial: u64,
    event: Event,
    key: ConflateKey,
    computed: Arc<str>,
}

impl Unkeyed {
    /// Computes the key. No lock may be held.
    pub(super) fn compute(&mut self) {
        self.computed = self.key.of_or_type(&self.event);
    }
}

impl Latest {
    pub(super) fn new(key: ConflateKey) -> Self {
        Self { key, events: BTreeMap::new(), places: HashMap::new(), bytes: 0, unkeyed: VecDeque::new() }
    }

    /// Keeps an event, until its key is known.
    pub(super) fn push(&mut self, serial: u64, event: &Event) {
        self.unkeyed.push_back((serial, event.clone()));
    }

    /// Returns the events without a key. They stay here, for replays that begin meanwhile.
    pub(super) fn unkeyed(&self, rule: usize) -> impl Iterator<Item = Unkeyed> {
        self.unkeyed.iter().map(move |(serial, event)| Unkeyed {
            rule,
            serial: *serial,
            event: event.clone(),
            key: self.key.clone(),
            computed: Arc::default(),
        })
    }

    /// Enters an event by its key, and moves the one that it replaces into `dropped`.
    pub(super) fn enter(&mut self, Unkeyed { serial, computed, .. }: &Unkeyed, dropped: &mut Vec<Event>) {
        // Another thread may have ended a turn meanwhile, and entered it already.
        if self.unkeyed.front().is_none_or(|(first, _)| first != serial) {
            return;
        }
        let Some((serial, event)) = self.unkeyed.pop_front() else { return };
        let key = Arc::clone(computed);
        if let Some(replaced) = self.places.insert(Arc::clone(&key), serial) {
            dropped.extend(self.remove(replaced));
        }
        let keyed = LatestEvent { key, event };
        self.bytes += keyed.bytes();
        self.events.insert(serial, keyed);
    }

    /// Removes the event that was replaced longest ago, if there is no room for all. Returns it
    /// with its serial number. One event always fits.
    pub(super) fn shorten(&mut self) -> Option<(u64, Event)> {
        let exceeds = self.events.len() > MAX_RETAINED_EVENTS || self.bytes > MAX_RETAINED_BYTES;
        let (&serial, oldest) = self.events.first_key_value().filter(|_| exceeds && self.events.len() > 1)?;
        self.places.remove(&oldest.key);
        Some((serial, self.remove(serial)?))
    }

    fn remove(&mut self, serial: u64) -> Option<Event> {
        let removed = self.events.remove(&serial)?;
        self.bytes -= removed.bytes();
        Some(removed.event)
    }

    /// The serial number of the oldest event.
    pub(super) fn first(&self) -> Option<u64> {
        self.events.keys().next().copied().or_else(|| self.unkeyed.front().map(|(serial, _)| *serial))
    }

    /// Returns the events with their serial numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Event)> {
        let keyed = self.events.iter().map(|(serial, keyed)| (*serial, &keyed.event));
        keyed.chain(self.unkeyed.iter().map(|(serial, event)| (*serial, event)))
    }
}
