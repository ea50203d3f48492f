//! [`JetStream`]: an engine of NATS JetStream.
//!
//! A group has two streams. `sse-GROUP` has the entries, under the subjects `sse.GROUP.SOURCE`, and
//! one message for each term, under `sse-term.GROUP`. `lease-sse-GROUP` holds one message for as
//! long as a lease lasts: the name of the leader.

use std::fmt;
use std::io;
use std::time::Duration;

use async_nats::header::{self, HeaderMap, HeaderValue};
use async_nats::jetstream::Context;
use async_nats::jetstream::context::{ContextBuilder, PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::{Config as StreamConfig, LastRawMessageErrorKind, StorageType, Stream};
use async_nats::{ConnectOptions, Event, ServerAddr};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Config;
use crate::engine::{Engine, EngineError, Lead, Term};
use crate::entry::{self, Entry, Name, RESTARTED, ResumePoint};

/// How long the engine may take to answer. A slow disk takes a second now and then.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How many messages may wait for their acknowledgements: more than a batch has.
const MAX_IN_FLIGHT: usize = 4096;

/// The largest event, if the server takes messages of 1 MiB, as it does by default.
const MAX_EVENT_SIZE: usize = 768 * 1024;

/// What headers take at most, beside the event's own text: an inherited ID, and ours.
const FURTHER_HEADERS: usize = 16 * 1024;

/// The most that the server takes of all headers together.
const MAX_HEADERS: usize = u16::MAX as usize;

/// What the headers take at most that are no fields of an entry.
const OWN_HEADERS: usize = 1024;

/// How long the server compares message IDs. Sequence numbers already prevent repeats here; the IDs
/// are for streams that copy this one. The server holds all IDs of this time in memory.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(1);

/// How many sources are asked at once for their last message.
const LOOKUPS: usize = 64;

pub struct JetStream {
    url: String,
    names: Names,
    owner: String,
    lease: Duration,
    keep: i64,
    /// Dropped after any failure. What was sent on it may still be written.
    connection: Option<Connection>,
    /// The largest message that the server takes, headers included.
    max_message: usize,
    /// How often this bridge has tried to begin a term, and whether the last try succeeded.
    term_number: u64,
    has_begun: bool,
    /// The sequence number of the lease in its stream, and when it was renewed.
    lease_sequence: u64,
    renewed: Instant,
}

struct Names {
    stream: String,
    entries: Vec<String>,
    all_entries: String,
    term_subject: String,
    lease: String,
}

struct Connection {
    context: Context,
    stream: Stream,
    leases: Stream,
    /// True once the connection is lost.
    is_lost: watch::Receiver<bool>,
}

/// Returns the name of a group's stream.
pub fn stream_name(group: &str) -> String {
    format!("sse-{group}")
}

/// Returns the name of the stream of a group's lease. No group's own stream begins like it.
fn lease_stream_name(group: &str) -> String {
    format!("lease-sse-{group}")
}

/// Returns the subject of a source.
pub fn subject(group: &str, source: &str) -> String {
    format!("sse.{group}.{source}")
}

/// Returns host and port of a URL.
pub fn address(url: &str) -> io::Result<String> {
    let server: ServerAddr = url.parse()?;
    Ok(format!("{}:{}", server.host(), server.port()))
}

impl JetStream {
    /// Connects when it is first used.
    pub fn new(config: &Config) -> Self {
        let Config { group, sources, .. } = config;
        let names = Names {
            stream: stream_name(group),
            entries: sources.iter().map(|source| subject(group, &source.name)).collect(),
            all_entries: subject(group, "*"),
            term_subject: format!("sse-term.{group}"),
            lease: lease_stream_name(group),
        };
        Self {
            url: config.to.clone(),
            names,
            owner: config.owner.clone(),
            lease: config.lease,
            keep: i64::try_from(config.keep).unwrap_or(i64::MAX),
            connection: None,
            max_message: usize::MAX,
            term_number: 0,
            has_begun: false,
            lease_sequence: 0,
            renewed: Instant::now(),
        }
    }

    /// Takes the connection, or makes one. It is given back after a success.
    async fn connection(&mut self) -> Result<Connection, EngineError> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let (lost, is_lost) = watch::channel(false);
        let on_event = move |event| {
            if matches!(event, Event::Disconnected) {
                lost.send_replace(true);
            }
            async {}
        };
        let options = ConnectOptions::new().connection_timeout(TIMEOUT).max_reconnects(1).event_callback(on_event);
        let client = options.connect(&self.url).await.map_err(EngineError::unavailable)?;
        let max_payload = client.server_info().max_payload;
        let context = ContextBuilder::new()
            .timeout(TIMEOUT)
            .max_ack_inflight(MAX_IN_FLIGHT)
            .backpressure_on_inflight(true)
            .build(client);
        let stream = context.get_or_create_stream(self.stream_config()).await.map_err(EngineError::unavailable)?;
        let leases = self.lease_config();
        context.create_or_update_stream(leases.clone()).await.map_err(EngineError::unavailable)?;
        let leases = context.get_stream(&leases.name).await.map_err(EngineError::unavailable)?;
        let max_message = usize::try_from(stream.cached_info().config.max_message_size).ok().filter(|&size| size > 0);
        self.max_message = max_message.unwrap_or(usize::MAX).min(max_payload);
        Ok(Connection { context, stream, leases, is_lost })
    }

    fn stream_config(&self) -> StreamConfig {
        StreamConfig {
            name: self.names.stream.clone(),
            subjects: vec![self.names.all_entries.clone(), self.names.term_subject.clone()],
            // No other limit: a source whose last entry is deleted resumes from nothing.
            max_messages_per_subject: self.keep,
            duplicate_window: DUPLICATE_WINDOW,
            ..StreamConfig::default()
        }
    }

    fn lease_config(&self) -> StreamConfig {
        StreamConfig {
            name: self.names.lease.clone(),
            subjects: vec![self.names.lease.clone()],
            max_messages_per_subject: 1,
            max_age: self.lease,
            duplicate_window: self.lease,
            storage: StorageType::Memory,
            ..StreamConfig::default()
        }
    }
}

impl JetStream {
    /// Takes the lease, or renews it. Returns the leader's name if that is another one.
    async fn take_lease(&mut self, connection: &Connection) -> Result<Option<String>, EngineError> {
        let expected = match last(&connection.leases, &self.names.lease).await? {
            None => 0,
            Some(lease) if lease.payload == self.owner.as_bytes() => lease.sequence,
            Some(lease) => return Ok(Some(String::from_utf8_lossy(&lease.payload).into_owned())),
        };
        self.write_lease(connection, expected).await.map(|()| None)
    }

    /// Writes the lease, if the one that stands is still the `expected` one; 0 stands for none.
    async fn write_lease(&mut self, connection: &Connection, expected: u64) -> Result<(), EngineError> {
        let owner = self.owner.clone().into();
        let lease = PublishMessage::build().payload(owner).expected_last_subject_sequence(expected);
        self.lease_sequence = connection.publish(&self.names.lease, lease).await?;
        self.renewed = Instant::now();
        Ok(())
    }

    /// Goes on in this bridge's term if the last message is of it, or begins another.
    ///
    /// A term begins with a message of its own. A bridge that expects the sequence number before
    /// that cannot append any more.
    async fn begin_term(&mut self, connection: &Connection) -> Result<(bool, u64), EngineError> {
        let info = connection.stream.get_info().await.map_err(EngineError::unavailable)?;
        let position = info.state.last_sequence;
        if self.has_begun && connection.message_id(position).await?.starts_with(&self.message_id("")) {
            return Ok((true, position));
        }
        self.has_begun = false;
        self.term_number += 1;
        let begin = PublishMessage::build().message_id(self.message_id("term")).expected_last_sequence(position);
        let position = connection.publish(&self.names.term_subject, begin).await?;
        self.has_begun = true;
        Ok((false, position))
    }

    /// Returns the `Nats-Msg-Id` of a message of this term.
    fn message_id(&self, end: impl fmt::Display) -> String {
        format!("{}.{}.{end}", self.owner, self.term_number)
    }

    async fn resume_points(&self, connection: &Connection) -> Result<Vec<Option<ResumePoint>>, EngineError> {
        let lookups = self.names.entries.iter().map(async |subject| {
            let message = last(&connection.stream, subject).await?;
            Ok(message.map(|message| resume_point(&message.headers)))
        });
        stream::iter(lookups).buffered(LOOKUPS).try_collect().await
    }

    /// Sends all messages, then waits for their acknowledgements. Each is taken only after the one
    /// before it.
    ///
    /// A sequence number alone does not say that. If another bridge's term begins in the middle of
    /// the batch, its message has the number that the next but one expects. So each message also
    /// names the ID of the one before it, except the first: that one follows a message which this
    /// bridge knows to be its own, and a server that was restarted has forgotten the last ID.
    async fn publish(&self, connection: &Connection, position: u64, entries: &[Entry]) -> Result<(), EngineError> {
        let mut sent = Vec::with_capacity(entries.len());
        for (entry, last) in entries.iter().zip(position..) {
            let mut message = self.message(entry, last);
            if last > position {
                message = message.expected_last_message_id(self.message_id(last));
            }
            sent.push(connection.send(&self.names.entries[entry.source], message).await?);
        }
        for acknowledgement in sent {
            connection.acknowledged(acknowledgement).await?;
        }
        Ok(())
    }
}

impl JetStream {
    /// Returns the message of an entry, which is only taken after the sequence number `last`.
    fn message(&self, entry: &Entry, last: u64) -> PublishMessage {
        let mut headers = HeaderMap::new();
        for (name, value) in entry.fields() {
            headers.insert(name.nats, value.as_ref());
        }
        PublishMessage::build()
            .payload(entry.data().to_owned().into())
            .headers(headers)
            .message_id(self.message_id(last + 1))
            .expected_last_sequence(last)
    }
}

impl Engine for JetStream {
    async fn lead(&mut self) -> Result<Lead, EngineError> {
        let connection = self.connection().await?;
        let lead = match self.take_lease(&connection).await? {
            Some(by) => Lead::Held { by },
            None => {
                let (continues, position) = self.begin_term(&connection).await?;
                let resume = self.resume_points(&connection).await?;
                Lead::Granted(Term { continues, position, resume })
            }
        };
        self.connection = Some(connection);
        Ok(lead)
    }

    async fn append(&mut self, position: u64, entries: &[Entry]) -> Result<Vec<usize>, EngineError> {
        let connection = self.connection().await?;
        if self.renewed.elapsed() >= self.lease / 3 {
            self.write_lease(&connection, self.lease_sequence).await?;
        }
        self.publish(&connection, position, entries).await?;
        self.connection = Some(connection);
        Ok(Vec::new())
    }

    async fn release(&mut self) -> Result<(), EngineError> {
        let connection = self.connection().await?;
        // It fails if the lease is over, or if this bridge never led. Then there is nothing to do.
        let _ = connection.leases.delete_message(self.lease_sequence).await;
        Ok(())
    }

    fn max_event_size(&self) -> usize {
        self.max_message.saturating_sub(FURTHER_HEADERS).min(MAX_EVENT_SIZE)
    }

    fn can_store(&self, entry: &Entry) -> bool {
        let fields: usize = entry.fields().map(|(name, value)| name.nats.len() + value.len() + ": \r\n".len()).sum();
        let headers = OWN_HEADERS + fields;
        headers <= MAX_HEADERS && headers + entry.data().len() <= self.max_message
    }
}

impl Connection {
    async fn publish(&self, subject: &str, message: PublishMessage) -> Result<u64, EngineError> {
        self.acknowledged(self.send(subject, message).await?).await
    }

    async fn send(&self, subject: &str, message: PublishMessage) -> Result<PublishAckFuture, EngineError> {
        self.context.send_publish(subject.to_owned(), message).await.map_err(refusal)
    }

    /// Waits for an acknowledgement, and returns the sequence number of the message. Without a
    /// connection none can come.
    async fn acknowledged(&self, sent: PublishAckFuture) -> Result<u64, EngineError> {
        let mut is_lost = self.is_lost.clone();
        tokio::select! {
            acknowledged = sent.into_future() => match acknowledged {
                Ok(PublishAck { duplicate: false, sequence, .. }) => Ok(sequence),
                // A message of this ID is there already.
                Ok(_) => Err(EngineError::Fenced),
                Err(error) => Err(refusal(error)),
            },
            _ = is_lost.wait_for(|&is_lost| is_lost) => Err(EngineError::unavailable("the connection is lost")),
        }
    }

    /// Returns the ID of a message; empty without one, or if the message is gone.
    async fn message_id(&self, sequence: u64) -> Result<String, EngineError> {
        let message = match self.stream.get_raw_message(sequence).await {
            Ok(message) => message,
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => return Ok(String::new()),
            Err(error) => return Err(EngineError::unavailable(error)),
        };
        Ok(message.headers.get(header::NATS_MESSAGE_ID).map(ToString::to_string).unwrap_or_default())
    }
}

/// Returns the last message of a subject.
async fn last(stream: &Stream, subject: &str) -> Result<Option<StreamMessage>, EngineError> {
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(EngineError::unavailable(error)),
    }
}

fn refusal(error: PublishError) -> EngineError {
    match error.kind() {
        PublishErrorKind::WrongLastSequence | PublishErrorKind::WrongLastMessageId => EngineError::Fenced,
        _ => EngineError::unavailable(error),
    }
}

/// Reads the resume point back from the last message of a source.
fn resume_point(headers: &HeaderMap) -> ResumePoint {
    let get = |name: Name| headers.get(name.nats).map(HeaderValue::as_str);
    match (get(entry::ID), get(entry::LAST_ID)) {
        (Some(own), _) => ResumePoint::new(own, true),
        (None, last) => {
            let id = last.unwrap_or_default();
            ResumePoint { is_exact: get(entry::GAP) == Some(RESTARTED), ..ResumePoint::new(id, false) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_stream_of_a_group_is_one_of_another() {
        let groups = ["x", "lease-x", "sse-x", "lease-sse-x", "term-x"];
        let mut names: Vec<_> =
            groups.iter().flat_map(|group| [stream_name(group), lease_stream_name(group)]).collect();
        names.sort();
        assert_eq!(names.windows(2).find(|pair| pair[0] == pair[1]), None);
    }
}
