//! [`Bridge`]: leads, follows the sources, and appends what they bring.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use sseclient::Client;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::engine::{Engine, EngineError, Lead, Term};
use crate::entry::Entry;
use crate::outage::{FIRST_WAIT, Outage};
use crate::sources::Sources;
use crate::status::{Role, Status};

/// How long a bridge that was told to stop may take to append what it has read.
const GRACE: Duration = Duration::from_secs(5);

/// How often a standby looks whether the lease is free.
const MAX_STANDBY_WAIT: Duration = Duration::from_secs(1);

/// Follows streams and appends each event exactly once.
///
/// It keeps no state of its own. It begins with what the engine has: the position, and where each
/// source resumes. After an append that failed, the position tells which entries were appended.
pub struct Bridge<E> {
    engine: E,
    config: Config,
    client: Client,
    stop: CancellationToken,
    status: Arc<Status>,
    outage: Outage,
    /// The position of the last entry that this bridge knows of.
    position: u64,
}

/// Another bridge has written: what this one has read and not appended is the other's to append.
struct Deposed;

impl<E: Engine> Bridge<E> {
    pub fn new(engine: E, config: Config, status: Arc<Status>, stop: CancellationToken) -> Self {
        let outage = Outage::new(Arc::clone(&status));
        Self { engine, config, client: Client::new(), stop, status, outage, position: 0 }
    }

    /// Bridges until it is told to stop, or until every server has ended its stream by a 204. Then
    /// it appends what it has read, and gives up the lease.
    ///
    /// # Errors
    ///
    /// If a URL is not valid, or if the engine did not take the rest in time. The next bridge reads
    /// the rest again, from servers with IDs.
    pub async fn run(mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let stop = self.stop.clone();
        let too_late = async {
            stop.cancelled().await;
            sleep(GRACE).await;
        };
        tokio::select! {
            ended = self.run_terms() => ended?,
            () = too_late => return Err("the engine does not answer: what has been read and not appended is left to the next bridge".into()),
        }
        if let Err(error) = self.engine.release().await {
            let lease = self.config.lease;
            warn!("the lease could not be given up: {error}; if it was this bridge's, it ends after {lease:?}");
        }
        Ok(())
    }

    async fn run_terms(&mut self) -> Result<(), sseclient::Error> {
        let stop = self.stop.clone();
        loop {
            let term = tokio::select! {
                term = self.wait_to_lead() => term,
                () = stop.cancelled() => return Ok(()),
            };
            self.position = term.position;
            let max_event_size = self.engine.max_event_size();
            let status = Arc::clone(&self.status);
            let (sources, restarted) =
                Sources::follow(&self.client, &self.config, term.resume, max_event_size, status)?;
            self.status.set_role(Role::Leading);
            match self.follow(sources, restarted).await {
                Ok(()) => return Ok(()),
                Err(Deposed) => warn!("another bridge has written: this one stops reading"),
            }
        }
    }

    /// Appends what the sources bring, until all of them have ended.
    async fn follow(&mut self, mut sources: Sources, mut batch: Vec<Entry>) -> Result<(), Deposed> {
        let stop = self.stop.clone();
        let mut is_stopping = false;
        loop {
            self.commit(&mut batch).await?;
            tokio::select! {
                biased;
                () = stop.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    self.status.set_role(Role::Stopping);
                    sources.stop();
                }
                has_more = sources.next_batch(&mut batch) => if !has_more { return Ok(()) },
                // A batch without entries renews the lease.
                () = sleep(self.config.lease / 3) => {}
            }
        }
    }

    /// Appends the batch, however long that takes, and empties it.
    async fn commit(&mut self, batch: &mut Vec<Entry>) -> Result<(), Deposed> {
        if !batch.is_empty() {
            self.status.batch_waits();
        }
        loop {
            // Before each attempt: the engine may have come back with other limits.
            batch.iter_mut().filter(|entry| !self.engine.can_store(entry)).for_each(Entry::skip);
            let started = Instant::now();
            match self.engine.append(self.position, batch).await {
                Ok(lost) => {
                    self.position += batch.len() as u64;
                    lost.iter().rev().for_each(|&index| drop(batch.remove(index)));
                    self.status.appended(batch, started.elapsed());
                    break;
                }
                Err(EngineError::Fenced) => sleep(FIRST_WAIT).await,
                Err(error) => self.outage.wait(&error).await,
            }
            let appended = self.settle(batch.len()).await?;
            self.status.count(&batch[..appended]);
            batch.drain(..appended);
        }
        self.outage.end();
        batch.clear();
        Ok(())
    }

    /// Finds out how many of the entries that were last given to the engine it has appended.
    async fn settle(&mut self, entries: usize) -> Result<usize, Deposed> {
        let Lead::Granted(term) = self.lead().await else { return Err(Deposed) };
        let appended = term.position.checked_sub(self.position).and_then(|count| usize::try_from(count).ok());
        let appended = appended.filter(|&appended| term.continues && appended <= entries).ok_or(Deposed)?;
        if appended > 0 {
            info!("{appended} of {entries} entries had been appended");
        }
        self.position = term.position;
        Ok(appended)
    }

    /// Waits until no other bridge of the group leads.
    async fn wait_to_lead(&mut self) -> Term {
        let mut leader = String::new();
        self.status.set_role(Role::Asking);
        loop {
            match self.lead().await {
                Lead::Granted(term) => {
                    self.outage.end();
                    info!("leading, after position {}", term.position);
                    return term;
                }
                Lead::Held { by } => {
                    self.outage.end();
                    if by != leader {
                        info!("standing by: {by} leads");
                        self.status.set_role(Role::StandingBy { leader: by.clone() });
                        leader = by;
                    }
                    sleep((self.config.lease / 4).min(MAX_STANDBY_WAIT)).await;
                }
            }
        }
    }

    /// Asks to lead until the engine answers.
    async fn lead(&mut self) -> Lead {
        loop {
            match self.engine.lead().await {
                Ok(lead) => return lead,
                // Another bridge wrote at the same moment.
                Err(EngineError::Fenced) => sleep(FIRST_WAIT).await,
                Err(error) => self.outage.wait(&error).await,
            }
        }
    }
}
