//! [`Sources`]: the streams that the bridge follows, merged into batches of entries.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SelectAll, select_all, unfold};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use sseclient::{
    Client, CloseReason, Delivery, Error, Filter, Handle, Overflow, ReconnectPolicy, RefusedId, StateChanges,
    StreamBuilder, SubscribeOptions, Subscription,
};
use tracing::warn;

use crate::config::Config;
use crate::entry::{Entry, ResumePoint};
use crate::status::Status;

/// A batch is complete when it has this many entries, or this many bytes of data. It takes whole
/// [`Chunk`]s, so it may have up to twice as much.
pub const BATCH: usize = 512;
const BATCH_BYTES: usize = 1 << 20;

/// What a source may queue while a batch is appended: another batch, or this many bytes. When the
/// queue is full, the server is held back.
const QUEUE_EVENTS: usize = BATCH;
const QUEUE_BYTES: u64 = 1 << 20;

/// The longest wait between two attempts at a server. A bridge should be back soon after it.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// What one source had queued.
type Chunk = (usize, Vec<Delivery>);

pub struct Sources {
    merged: SelectAll<Pin<Box<dyn Stream<Item = Chunk> + Send>>>,
    handles: Vec<Handle>,
    /// Where each source resumes after its last entry.
    last: Vec<ResumePoint>,
}

impl Sources {
    /// Follows each source from its resume point.
    ///
    /// Also returns the entries to append before all others: one for each source that has entries
    /// and cannot resume exactly.
    ///
    /// # Errors
    ///
    /// If a URL or a header is not valid.
    pub fn follow(
        client: &Client,
        config: &Config,
        resume: Vec<Option<ResumePoint>>,
        max_event_size: usize,
        status: Arc<Status>,
    ) -> Result<(Self, Vec<Entry>), Error> {
        let inexact = |(source, point): (usize, &Option<ResumePoint>)| {
            let point = point.as_ref().filter(|point| !point.is_exact)?;
            Some(Entry::restarted(source, point))
        };
        let restarted = resume.iter().enumerate().filter_map(inexact).collect();
        let last: Vec<ResumePoint> = resume.into_iter().map(Option::unwrap_or_default).collect();
        let mut handles = Vec::new();
        let mut chunks = Vec::new();
        for (index, (source, point)) in config.sources.iter().zip(&last).enumerate() {
            let stream = client.stream(&source.url).headers(source.headers.clone()).idle_timeout(config.idle);
            let handle = build(stream, &source.name, &point.id, max_event_size)?;
            let events = handle.subscribe_with(Filter::all(), options(&source.name));
            status.follows(index, handle.monitor());
            chunks.push(chunks_of(index, events, handle.state_changes(), Arc::clone(&status)).boxed());
            handles.push(handle);
        }
        handles.iter().for_each(Handle::connect);
        Ok((Self { merged: select_all(chunks), handles, last }, restarted))
    }

    /// Waits for entries, and appends those that have come to `batch`. Returns false when all
    /// sources have ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn next_batch(&mut self, batch: &mut Vec<Entry>) -> bool {
        let Some(first) = self.merged.next().await else { return false };
        let mut bytes = self.take(first, batch);
        while batch.len() < BATCH && bytes < BATCH_BYTES {
            let Some(Some(chunk)) = self.merged.next().now_or_never() else { break };
            bytes += self.take(chunk, batch);
        }
        true
    }

    /// Reads nothing more from the servers. What has been read still comes, and then the end.
    pub fn stop(&self) {
        self.handles.iter().for_each(|handle| drop(handle.shutdown()));
    }

    /// Appends a chunk to the batch, and returns how many bytes of data it has.
    fn take(&mut self, (source, deliveries): Chunk, batch: &mut Vec<Entry>) -> usize {
        let mut bytes = 0;
        for delivery in deliveries {
            if let Some(entry) = Entry::new(source, delivery, &self.last[source]) {
                self.last[source].clone_from(&entry.resume);
                bytes += entry.data().len();
                batch.push(entry);
            }
        }
        bytes
    }
}

/// Builds the stream of a source. It tries again after any answer but a 204.
fn build(stream: StreamBuilder, name: &str, last_event_id: &str, max_event_size: usize) -> Result<Handle, Error> {
    stream
        .name(name)
        .last_event_id(last_event_id)
        // If the server has forgotten the ID, it goes on without one, and a gap says so.
        .if_id_is_refused(RefusedId::StartFresh)
        .reconnect_policy(ReconnectPolicy::persistent().ceiling(MAX_WAIT))
        .max_event_size(max_event_size)
        .build()
}

fn options(name: &str) -> SubscribeOptions {
    // Nothing may be lost here: a slow engine slows the server down.
    SubscribeOptions::default().name(name).overflow(Overflow::Block).capacity(QUEUE_EVENTS).queue_bytes(QUEUE_BYTES)
}

/// Returns what a source brings, shows its states, and logs why it has ended, if that was not by
/// [`Sources::stop`].
fn chunks_of(
    index: usize,
    events: Subscription,
    states: StateChanges,
    status: Arc<Status>,
) -> impl Stream<Item = Chunk> + Send {
    unfold((events, states, status), move |(mut events, mut states, status)| async move {
        let mut chunk = Vec::new();
        loop {
            tokio::select! {
                biased;
                Some(state) = states.recv() => status.saw_state(index, &state),
                count = events.recv_many(&mut chunk, BATCH) => {
                    if count > 0 {
                        return Some(((index, chunk), (events, states, status)));
                    }
                    break;
                }
            }
        }
        if let Some(reason) = events.close_reason().filter(|reason| !matches!(reason, CloseReason::Shutdown)) {
            let name = events.name();
            warn!("{name} has ended, and is followed again when a bridge begins to lead: {reason}");
        }
        None
    })
}
