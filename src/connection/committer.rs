//! [`Committer`]: saves the last event ID in the caller's resume store, one save at a time.
//!
//! It must never hold up the stream: the actor polls it beside the phase, and a store that fails or
//! hangs costs nothing but repeats after a crash. It keeps no ID of its own but the one that is
//! being saved. What is to be saved next, it asks when it is ready: the published last event ID, or
//! the hub's acknowledged one.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::error::Error;
use crate::resume::{Commit, MAX_ID, Store, StoreFuture};

use super::connect_reminder::REMIND_AFTER;
use super::{Connection, log};

/// The pause after a save. A fast stream costs ten writes a second, and a crash repeats a tenth of
/// a second.
const PAUSE: Duration = Duration::from_millis(100);

/// The pause after a save or a load that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The most attempts at loading the ID, before the stream begins without it.
const MAX_LOADS: u32 = 3;

/// The caller's resume store, and the save under way.
pub(super) struct Committer {
    store: Store,
    /// The ID that the store holds, if that is known.
    saved: Option<String>,
    /// The ID of the save that failed. An acknowledged one is not given a second time.
    unsaved: Option<String>,
    /// There may be another ID to save.
    is_stale: bool,
    /// The store has been asked for its ID. Before that a save would overwrite it.
    has_loaded: bool,
    /// When the first ID came that waits for acknowledgements, while no subscription acknowledged.
    unsaved_since: Option<Instant>,
    /// It was logged that nothing is saved for that reason.
    has_reminded: bool,
    work: Work,
}

/// What the committer is doing.
enum Work {
    None,
    /// The store saves this ID.
    Saving(String, StoreFuture<()>),
    Pausing(Pin<Box<Sleep>>),
}

impl Committer {
    pub(super) fn new(store: Store) -> Self {
        let (saved, unsaved, unsaved_since) = (None, None, None);
        let (is_stale, has_loaded, has_reminded, work) = (false, false, false, Work::None);
        Self { store, saved, unsaved, is_stale, has_loaded, unsaved_since, has_reminded, work }
    }

    /// Asks the store for the ID that an earlier run saved, up to three times.
    pub(super) fn load(&self) -> StoreFuture<Option<String>> {
        let store = self.store.clone();
        Box::pin(async move {
            // A few times only: a store that is down for long must not keep the stream from its
            // events.
            let mut loaded = store.load().await;
            for _ in 1..MAX_LOADS {
                let Err(error) = &loaded else { break };
                log::store_failed(error);
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                loaded = store.load().await;
            }
            loaded
        })
    }

    /// Notes the ID that the store has loaded, if any: it need not be saved. From now on others may
    /// be.
    pub(super) fn loaded(&mut self, id: Option<String>, connection: &Connection) {
        connection.counters.count(|stats| stats.saved_id.clone_from(&id));
        self.saved = id;
        self.has_loaded = true;
    }

    /// Notes that the published last event ID has changed.
    pub(super) fn id_changed(&mut self) {
        self.is_stale = true;
    }

    /// Returns true if acknowledgements count, even after the end of the stream.
    pub(super) fn waits_for_subscribers(&self) -> bool {
        self.store.commit == Commit::Acknowledgement
    }

    /// Goes on saving. Ready with the failure of a save, which is tried again later.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, connection: &Connection) -> Poll<Error> {
        loop {
            match &mut self.work {
                Work::None => {
                    if !self.begin_save(connection) {
                        return Poll::Pending;
                    }
                }
                Work::Saving(_, saving) => {
                    let saved = ready!(saving.as_mut().poll(cx));
                    let failure = self.end_save(saved, connection);
                    let pause = if failure.is_some() { PAUSE_AFTER_FAILURE } else { PAUSE };
                    self.work = Work::Pausing(Box::pin(tokio::time::sleep(pause)));
                    if let Some(failure) = failure {
                        return Poll::Ready(failure);
                    }
                }
                Work::Pausing(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    self.work = Work::None;
                }
            }
        }
    }

    /// Saves what there is to save, without a pause: the save under way, and a last one. Returns
    /// the failures.
    pub(super) async fn flush(&mut self, connection: &Connection) -> Vec<Error> {
        let mut failures = Vec::new();
        for _save in ["the one under way", "the last"] {
            // The stream has ended, so a pause between two saves is cut short.
            if !matches!(self.work, Work::Saving(..)) {
                self.work = Work::None;
                if !self.begin_save(connection) {
                    break;
                }
            }
            if let Work::Saving(_, saving) = &mut self.work {
                let saved = saving.await;
                failures.extend(self.end_save(saved, connection));
            }
        }
        if self.unsaved_since.is_some() {
            self.remind_after(Duration::ZERO, connection);
        }
        failures
    }

    /// Begins a save if there is something to save. An ID that no request can carry is not: the
    /// store keeps the one before.
    fn begin_save(&mut self, connection: &Connection) -> bool {
        if !self.has_loaded {
            return false;
        }
        // A newer ID replaces the one that could not be saved.
        let newest = self.newest(connection).filter(|id| id.len() <= MAX_ID).or_else(|| self.unsaved.take());
        let Some(id) = newest.filter(|id| self.saved.as_ref() != Some(id)) else { return false };
        self.unsaved = None;
        self.work = Work::Saving(id.clone(), self.store.save(id));
        true
    }

    /// Returns the ID that the store should hold, if it may be another than at the last call.
    fn newest(&mut self, connection: &Connection) -> Option<String> {
        let is_stale = std::mem::take(&mut self.is_stale);
        match self.store.commit {
            Commit::Delivery => is_stale.then(|| connection.published.last_event_id().clone()),
            Commit::Acknowledgement => {
                // Asked first, and always: the hub resets its answer.
                let may_have_moved = connection.hub.take_acknowledged() || is_stale;
                if !may_have_moved {
                    return None;
                }
                let is_saved = *connection.published.last_event_id() == self.saved.as_deref().unwrap_or_default();
                if !is_saved {
                    self.remind_after(REMIND_AFTER, connection);
                }
                for subscription in connection.hub.take_frozen() {
                    log::frozen(&subscription, &self.store.name);
                }
                connection.acknowledged().map(|id| (*id).to_owned())
            }
        }
    }

    /// Warns, once, that an ID which came so long ago waits for acknowledgements, and that no
    /// subscription acknowledges.
    fn remind_after(&mut self, time: Duration, connection: &Connection) {
        if self.has_reminded || connection.hub.acknowledges() {
            return;
        }
        if self.unsaved_since.get_or_insert_with(Instant::now).elapsed() >= time {
            self.has_reminded = true;
            log::unsaved(&self.store.name);
        }
    }

    /// Notes how a save has ended, and returns its failure.
    fn end_save(&mut self, saved: Result<(), Error>, connection: &Connection) -> Option<Error> {
        let Work::Saving(id, _) = std::mem::replace(&mut self.work, Work::None) else { return None };
        match saved {
            Ok(()) => {
                connection.counters.count(|stats| stats.saved_id = Some(id.clone()));
                self.saved = Some(id);
                None
            }
            Err(error) => {
                // It is not known what the store holds. The next save takes this ID, or a newer
                // one.
                self.saved = None;
                self.unsaved = Some(id);
                Some(error)
            }
        }
    }
}
