//! [`RedisStreams`]: an engine of Redis Streams, with one script for each step.
//!
//! A group has a hash `sse:{GROUP}:@state` (fencing token, position, resume points), a lock
//! `sse:{GROUP}:@lock`, and a stream `sse:{GROUP}:SOURCE` for each source. The braces keep them on
//! one node of a cluster.

use std::collections::HashMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Script};

use crate::config::Config;
use crate::engine::{Engine, EngineError, Lead, Term};
use crate::entry::{DATA, Entry, ResumePoint};

/// How long the engine may take to answer. A slow disk takes a second now and then.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Redis would take much more. Entries of this size are handled in no time, and NATS has a similar
/// limit.
const MAX_EVENT_SIZE: usize = 768 * 1024;

/// Deletes the lock, if it is ours.
const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end";

/// The marks of an exact and another resume point in the state.
const EXACT: char = '=';
const INEXACT: char = '~';

pub struct RedisStreams {
    client: Client,
    /// Dropped after any failure. What was sent on it may still be written.
    connection: Option<MultiplexedConnection>,
    keys: Keys,
    owner: String,
    lease: u64,
    keep: u64,
    /// The fencing token of the current term.
    token: u64,
    lead: Script,
    append: Script,
}

struct Keys {
    state: String,
    lock: String,
    streams: Vec<String>,
    /// The fields of the resume points in the state.
    resume: Vec<String>,
}

/// Returns the key of a source's stream.
pub fn stream_key(group: &str, source: &str) -> String {
    format!("sse:{{{group}}}:{source}")
}

/// Returns host and port, or the path of the socket, of a URL.
pub fn address(url: &str) -> Result<String, RedisError> {
    Ok(Client::open(url)?.get_connection_info().addr().to_string())
}

impl RedisStreams {
    /// Connects when it is first used.
    ///
    /// # Errors
    ///
    /// If the URL is not valid.
    pub fn new(config: &Config) -> Result<Self, RedisError> {
        let names = || config.sources.iter().map(|source| source.name.as_str());
        let keys = Keys {
            // No source has such a name.
            state: stream_key(&config.group, "@state"),
            lock: stream_key(&config.group, "@lock"),
            streams: names().map(|name| stream_key(&config.group, name)).collect(),
            resume: names().map(|name| format!("resume:{name}")).collect(),
        };
        Ok(Self {
            client: Client::open(config.to.as_str())?,
            connection: None,
            keys,
            owner: config.owner.clone(),
            lease: config.lease.as_millis() as u64,
            keep: config.keep,
            token: 0,
            lead: Script::new(include_str!("lead.lua")),
            append: Script::new(include_str!("append.lua")),
        })
    }

    /// Takes the connection, or makes one. It is given back after a success.
    async fn connection(&mut self) -> Result<MultiplexedConnection, EngineError> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(TIMEOUT)).set_response_timeout(Some(TIMEOUT));
        self.client.get_multiplexed_async_connection_with_config(&config).await.map_err(EngineError::unavailable)
    }

    /// Takes over the state's fencing token, which belongs to this bridge now.
    fn enter_term(&mut self, state: &HashMap<String, String>) -> Result<Term, EngineError> {
        let number = |field| match state.get(field) {
            Some(value) => value.parse().map_err(EngineError::unavailable),
            None => Ok(0),
        };
        let (token, position): (u64, u64) = (number("token")?, number("position")?);
        let continues = token == self.token;
        self.token = token;
        let resume = self.keys.resume.iter().map(|field| state.get(field).map(|value| decode(value))).collect();
        Ok(Term { continues, position, resume })
    }
}

impl Engine for RedisStreams {
    async fn lead(&mut self) -> Result<Lead, EngineError> {
        let mut connection = self.connection().await?;
        let mut call = self.lead.key(&self.keys.state);
        call.key(&self.keys.lock).arg(&self.owner).arg(self.lease);
        let answer: Result<HashMap<String, String>, RedisError> = call.invoke_async(&mut connection).await;
        match answer {
            Ok(state) => {
                self.connection = Some(connection);
                Ok(Lead::Granted(self.enter_term(&state)?))
            }
            Err(error) if error.code() == Some("HELD") => {
                self.connection = Some(connection);
                Ok(Lead::Held { by: error.detail().unwrap_or_default().to_owned() })
            }
            Err(error) => Err(EngineError::unavailable(error)),
        }
    }

    async fn append(&mut self, position: u64, entries: &[Entry]) -> Result<(), EngineError> {
        let mut connection = self.connection().await?;
        // Only the streams of this batch: there may be thousands of others.
        let mut sources: Vec<usize> = entries.iter().map(|entry| entry.source).collect();
        sources.sort_unstable();
        sources.dedup();
        let mut call = self.append.key(&self.keys.state);
        call.key(&self.keys.lock);
        for &source in &sources {
            call.key(&self.keys.streams[source]);
        }
        call.arg(self.token).arg(position).arg(&self.owner).arg(self.lease).arg(self.keep);
        for entry in entries {
            // Lua counts from 1, and the streams come after two other keys.
            let stream = sources.partition_point(|&source| source < entry.source) + 3;
            call.arg(stream).arg(&self.keys.resume[entry.source]).arg(encode(&entry.resume));
            call.arg(2 * entry.fields().count() + 2);
            for (name, value) in entry.fields() {
                call.arg(name.redis).arg(value.as_ref());
            }
            call.arg(DATA).arg(entry.data());
        }
        let answer: Result<u64, RedisError> = call.invoke_async(&mut connection).await;
        answer.map_err(|error| match error.code() {
            Some("FENCED") => EngineError::Fenced,
            _ => EngineError::unavailable(error),
        })?;
        self.connection = Some(connection);
        Ok(())
    }

    async fn release(&mut self) -> Result<(), EngineError> {
        let mut connection = self.connection().await?;
        let script = Script::new(RELEASE);
        let mut call = script.key(&self.keys.lock);
        let answer: Result<(), RedisError> = call.arg(&self.owner).invoke_async(&mut connection).await;
        answer.map_err(EngineError::unavailable)
    }

    fn max_event_size(&self) -> usize {
        MAX_EVENT_SIZE
    }

    fn can_store(&self, _entry: &Entry) -> bool {
        true
    }
}

fn encode(point: &ResumePoint) -> String {
    format!("{}{}", if point.is_exact { EXACT } else { INEXACT }, point.id)
}

fn decode(value: &str) -> ResumePoint {
    // One mark only: an ID may begin with these characters, too.
    let id = value.strip_prefix([EXACT, INEXACT]).unwrap_or(value);
    ResumePoint { id: id.to_owned(), is_exact: value.starts_with(EXACT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resume_point_is_read_back_as_it_was_written() {
        for id in ["", "7", "=7", "~~", "=~=", "é"] {
            for is_exact in [true, false] {
                let read = decode(&encode(&ResumePoint { id: id.to_owned(), is_exact }));
                assert_eq!((&*read.id, read.is_exact), (id, is_exact));
            }
        }
    }
}
