//! [`Committer`]: saves the last event ID, one save at a time, and never in the stream's way.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use crate::error::Error;
use crate::resume::{Commit, Store, StoreFuture};

use super::{Connection, log};

/// The rest after a save: a fast stream costs ten writes a second, and a crash repeats a tenth of a second.
const REST: Duration = Duration::from_millis(100);

/// The rest after a save that failed.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How often the ID is asked for before a stream begins without it.
const LOADS: u32 = 3;

pub(super) struct Committer {
    store: Store,
    /// What the store holds, as far as is known.
    saved: Option<String>,
    /// What it is to hold.
    wanted: Option<String>,
    /// The stream has gone on since it was last asked what is safe.
    stale: bool,
    stage: Stage,
}

enum Stage {
    Idle,
    Saving(String, StoreFuture<()>),
    Resting(Pin<Box<Sleep>>),
}

impl Committer {
    pub(super) fn new(store: Store) -> Self {
        Self { store, saved: None, wanted: None, stale: false, stage: Stage::Idle }
    }

    /// Asks for the ID that an earlier run saved.
    pub(super) fn load(&self) -> StoreFuture<Option<String>> {
        let store = self.store.clone();
        Box::pin(async move {
            let mut loaded = store.load().await;
            for _ in 1..LOADS {
                let Err(error) = &loaded else { break };
                log::store_failed(error);
                tokio::time::sleep(REST_AFTER_FAILURE).await;
                loaded = store.load().await;
            }
            loaded
        })
    }

    pub(super) fn loaded(&mut self, id: String) {
        self.saved = Some(id);
    }

    /// The stream's last event ID is another now.
    pub(super) fn moved(&mut self, id: &str) {
        match self.store.commit {
            Commit::Delivery => self.want(id),
            Commit::Acknowledgement => self.stale = true,
        }
    }

    /// Whether what subscribers do after the end of the stream still counts.
    pub(super) fn waits_for_subscribers(&self) -> bool {
        self.store.commit == Commit::Acknowledgement
    }

    fn want(&mut self, id: &str) {
        id.clone_into(self.wanted.get_or_insert_default());
    }

    /// Ready when a save has failed: it will be tried again.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, connection: &Connection) -> Poll<Error> {
        loop {
            match &mut self.stage {
                Stage::Idle => {
                    if !self.begin(connection) {
                        return Poll::Pending;
                    }
                }
                Stage::Saving(_, saving) => {
                    let saved = std::task::ready!(saving.as_mut().poll(cx));
                    let failure = self.ended(saved);
                    let rest = if failure.is_some() { REST_AFTER_FAILURE } else { REST };
                    self.stage = Stage::Resting(Box::pin(tokio::time::sleep(rest)));
                    if let Some(failure) = failure {
                        return Poll::Ready(failure);
                    }
                }
                Stage::Resting(rest) => {
                    std::task::ready!(rest.as_mut().poll(cx));
                    self.stage = Stage::Idle;
                }
            }
        }
    }

    /// Begins a save if there is something to save.
    fn begin(&mut self, connection: &Connection) -> bool {
        if self.store.commit == Commit::Acknowledgement && (connection.hub.has_acknowledged() | self.stale) {
            self.stale = false;
            if let Some(id) = connection.acknowledged() {
                self.want(&id);
            }
        }
        let Some(id) = self.wanted.take().filter(|id| self.saved.as_ref() != Some(id)) else { return false };
        self.stage = Stage::Saving(id.clone(), self.store.save(id));
        true
    }

    /// A save has come to its end. The failure, if it has failed.
    fn ended(&mut self, saved: Result<(), Error>) -> Option<Error> {
        let Stage::Saving(id, _) = std::mem::replace(&mut self.stage, Stage::Idle) else { return None };
        match saved {
            Ok(()) => {
                self.saved = Some(id);
                None
            }
            Err(error) => {
                // What the store holds is not known; something newer comes instead.
                self.saved = None;
                self.wanted.get_or_insert(id);
                Some(error)
            }
        }
    }

    /// Saves what there is to save, without rest: what is under way, and what came since. The failures.
    pub(super) async fn flush(&mut self, connection: &Connection) -> Vec<Error> {
        let mut failures = Vec::new();
        for _save in ["the one under way", "the last"] {
            if !matches!(self.stage, Stage::Saving(..)) {
                self.stage = Stage::Idle;
                if !self.begin(connection) {
                    break;
                }
            }
            if let Stage::Saving(_, saving) = &mut self.stage {
                let saved = saving.await;
                failures.extend(self.ended(saved));
            }
        }
        failures
    }
}
