//! [`RedisStreams`]: an engine of Redis Streams.
//!
//! An append is a transaction (`WATCH`, `MULTI`, `EXEC`), which Redis refuses if the group's state
//! has changed since the bridge read it. A script could compare and append as well, but takes more
//! than twice as long for each entry.
//!
//! A group has a hash `sse:{GROUP}:@state` (fencing token, position, resume points), a lock
//! `sse:{GROUP}:@lock`, and a stream `sse:{GROUP}:SOURCE` for each source. The braces keep them on
//! one node of a cluster.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, Script, Value, from_redis_value};
use tracing::warn;

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
    connection: Option<Connection>,
    keys: Keys,
    owner: String,
    lease: u64,
    keep: u64,
    /// The fencing token of the current term.
    token: u64,
    lead: Script,
}

struct Connection {
    redis: MultiplexedConnection,
    /// The fencing token and the position, if they are watched: if they change, `EXEC` does nothing.
    watched: Option<Watched>,
    /// Whether the key of a source was found to be a stream, or free.
    is_stream: Vec<bool>,
}

/// The fencing token and the position, if the state has them.
type Watched = (Option<u64>, Option<u64>);

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
        })
    }

    /// Takes the connection, or makes one. It is given back after a success.
    async fn connection(&mut self) -> Result<Connection, EngineError> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(TIMEOUT)).set_response_timeout(Some(TIMEOUT));
        let redis = self.client.get_multiplexed_async_connection_with_config(&config).await.map_err(unavailable)?;
        Ok(Connection { redis, watched: None, is_stream: vec![false; self.keys.streams.len()] })
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
        let answer: Result<HashMap<String, String>, RedisError> = call.invoke_async(&mut connection.redis).await;
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

    async fn append(&mut self, position: u64, entries: &[Entry]) -> Result<Vec<usize>, EngineError> {
        let mut connection = self.connection().await?;
        connection.watch(&self.keys, entries).await?;
        let (token, end) = connection.watched.unwrap_or_default();
        if (token.unwrap_or(0), end.unwrap_or(0)) != (self.token, position) {
            return Err(EngineError::Fenced);
        }
        let mut transaction = redis::pipe();
        transaction.cmd("MULTI").ignore();
        for entry in entries {
            add(&mut transaction, &self.keys.streams[entry.source], self.keep, entry);
        }
        let mut state = redis::cmd("HSET");
        state.arg(&self.keys.state).arg("position").arg(position + entries.len() as u64);
        // Of each source the last one counts.
        let resume: BTreeMap<usize, &ResumePoint> = entries.iter().map(|entry| (entry.source, &entry.resume)).collect();
        for (source, point) in resume {
            state.arg(&self.keys.resume[source]).arg(encode(point));
        }
        transaction.add_command(state).ignore();
        transaction.cmd("SET").arg(&self.keys.lock).arg(&self.owner).arg("PX").arg(self.lease).ignore();
        transaction.cmd("EXEC");
        watch(&mut transaction, &self.keys.state);
        let count = transaction.len();
        let answers = connection.redis.req_packed_commands(&transaction, 0, count).await.map_err(unavailable)?;
        let (executed, watched) = executed(answers)?;
        connection.watched = Some(watched);
        let lost = connection.lost(&self.keys, entries, &executed);
        self.connection = Some(connection);
        Ok(lost)
    }

    async fn release(&mut self) -> Result<(), EngineError> {
        let mut connection = self.connection().await?;
        let script = Script::new(RELEASE);
        let mut call = script.key(&self.keys.lock);
        let answer: Result<(), RedisError> = call.arg(&self.owner).invoke_async(&mut connection.redis).await;
        answer.map_err(EngineError::unavailable)?;
        self.connection = Some(connection);
        Ok(())
    }

    fn max_event_size(&self) -> usize {
        MAX_EVENT_SIZE
    }

    fn can_store(&self, _entry: &Entry) -> bool {
        true
    }
}

impl Connection {
    /// Watches the state, and checks that the keys of these entries are streams: within a
    /// transaction an entry that cannot be added would not stop the others.
    async fn watch(&mut self, keys: &Keys, entries: &[Entry]) -> Result<(), EngineError> {
        let mut request = redis::pipe();
        for entry in entries {
            if !std::mem::replace(&mut self.is_stream[entry.source], true) {
                request.cmd("XLEN").arg(&keys.streams[entry.source]).ignore();
            }
        }
        if request.is_empty() && self.watched.is_some() {
            return Ok(());
        }
        watch(&mut request, &keys.state);
        let (watched,): (Watched,) = request.query_async(&mut self.redis).await.map_err(unavailable)?;
        self.watched = Some(watched);
        Ok(())
    }

    /// Returns the indexes of the entries that Redis could not add, and logs how many of each key.
    /// Their keys are checked again before the next append.
    fn lost(&mut self, keys: &Keys, entries: &[Entry], executed: &[Value]) -> Vec<usize> {
        let mut lost = Vec::new();
        let mut sources = BTreeMap::new();
        for (index, (entry, answer)) in entries.iter().zip(executed).enumerate() {
            if let Value::ServerError(error) = answer {
                lost.push(index);
                self.is_stream[entry.source] = false;
                sources.entry(entry.source).or_insert((0, error)).0 += 1;
            }
        }
        for (source, (count, error)) in sources {
            warn!("{count} entries for {} are lost: {error}", keys.streams[source]);
        }
        lost
    }
}

/// Watches the state, and then reads what is compared.
fn watch(request: &mut Pipeline, state: &str) {
    request.cmd("WATCH").arg(state).ignore();
    request.cmd("HMGET").arg(state).arg("token").arg("position");
}

/// Returns the answers to the commands of a transaction, and what is watched after it.
fn executed(mut answers: Vec<Value>) -> Result<(Vec<Value>, Watched), EngineError> {
    // If a command could not be queued, nothing was executed. The first error says why.
    if let Some(Value::ServerError(error)) = answers.iter().find(|answer| matches!(answer, Value::ServerError(_))) {
        return Err(EngineError::unavailable(error.to_string()));
    }
    let watched = answers.pop().unwrap_or(Value::Nil);
    // `EXEC` is before `WATCH`.
    answers.pop();
    match answers.pop() {
        Some(Value::Array(executed)) => Ok((executed, from_redis_value(watched).map_err(EngineError::unavailable)?)),
        _ => Err(EngineError::Fenced),
    }
}

fn add(transaction: &mut Pipeline, stream: &str, keep: u64, entry: &Entry) {
    transaction.cmd("XADD").arg(stream).arg("MAXLEN").arg("~").arg(keep).arg("*");
    for (name, value) in entry.fields() {
        transaction.arg(name.redis).arg(value.as_ref());
    }
    transaction.arg(DATA).arg(entry.data()).ignore();
}

/// A transaction that is refused has an error for each of its commands. The first says why.
fn unavailable(error: RedisError) -> EngineError {
    match error.clone().into_server_errors().as_deref() {
        Some([(_, first), ..]) => EngineError::unavailable(first.to_string()),
        _ => EngineError::unavailable(error),
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
