//! [`Observed`]: what has been seen on the stream, for people: types, gaps, and when it was open.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use sseclient::{Gap, Transcript, TranscriptItem};

use crate::gap;
use crate::relay::Relay;

/// How many types are counted one by one, and up to which length: the server chooses them.
const MAX_TYPES: usize = 100;
const MAX_TYPE_LEN: usize = 100;

/// How many gaps are remembered.
const MAX_GAPS: usize = 50;

/// What has been seen. It has its own lock, which is never held for long.
#[derive(Default)]
pub(crate) struct Observed(Mutex<Seen>);

/// The values under the lock.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    pub(crate) types: BTreeMap<String, u64>,
    /// Events of types beyond the limits.
    pub(crate) other_types: u64,
    /// The newest comes last.
    pub(crate) gaps: VecDeque<SeenGap>,
    pub(crate) is_open: bool,
    /// When the last connection was lost.
    pub(crate) last_open: Option<Instant>,
}

/// A gap, and who has it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SeenGap {
    /// Milliseconds since 1970.
    pub(crate) at_ms: u64,
    pub(crate) whose: String,
    pub(crate) cause: &'static str,
    pub(crate) events: Option<u64>,
    pub(crate) is_loss: bool,
    pub(crate) text: String,
}

/// Watches the stream until it is over.
pub(crate) async fn observe(relay: Arc<Relay>, mut transcript: Transcript) {
    while let Some(item) = transcript.recv().await {
        let mut seen = relay.observed.lock();
        match item {
            TranscriptItem::Event(event) => seen.count(event.event_type()),
            TranscriptItem::Gap(gap) => seen.gap("all clients", &gap),
            TranscriptItem::State(state) => {
                if seen.is_open {
                    seen.last_open = Some(Instant::now());
                }
                seen.is_open = state.is_open();
            }
            _ => {}
        }
    }
}

impl Observed {
    /// Records a gap that a client has found in its queue, if it is that client's own.
    pub(crate) fn client_gap(&self, whose: &str, gap: &Gap) {
        if matches!(gap, Gap::Lagged { .. } | Gap::NotRetained { .. }) {
            self.lock().gap(whose, gap);
        }
    }

    /// Returns a copy of what has been seen.
    pub(crate) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn count(&mut self, event_type: &str) {
        if let Some(count) = self.types.get_mut(event_type) {
            *count += 1;
        } else if self.types.len() < MAX_TYPES && event_type.len() <= MAX_TYPE_LEN {
            self.types.insert(event_type.to_owned(), 1);
        } else {
            self.other_types += 1;
        }
    }

    fn gap(&mut self, whose: &str, gap: &Gap) {
        let (cause, events) = gap::cause(gap);
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (at_ms, whose, text) = (at.as_millis() as u64, whose.to_owned(), gap.to_string());
        self.gaps.push_back(SeenGap { at_ms, whose, cause, events, is_loss: gap.is_loss(), text });
        if self.gaps.len() > MAX_GAPS {
            self.gaps.pop_front();
        }
    }
}
