//! [`Status`]: what the bridge does at this moment, for those who ask over HTTP.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sseclient::{Monitor, State};
use tokio::time::Instant;

use crate::config::Config;
use crate::entry::Entry;

/// Shared by the bridge, which tells what happens, and by the server, which takes copies. The lock
/// is never held for long.
pub struct Status(Mutex<Now>);

/// The bridge at one moment.
#[derive(Clone)]
pub struct Now {
    pub group: Arc<str>,
    /// Where the engine is.
    pub engine: Arc<str>,
    pub role: Role,
    /// The outage of the engine, while there is one.
    pub away: Option<Away>,
    /// Since when entries that have been read wait to be appended.
    pub waiting_since: Option<Instant>,
    /// Successful appends, and the time that they took in all.
    pub appends: u64,
    pub append_time: Duration,
    /// In the order of the configuration.
    pub sources: Vec<Source>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The engine has not said yet who leads.
    Asking,
    StandingBy {
        leader: String,
    },
    Leading,
    /// It was told to stop, and appends what it has read.
    Stopping,
}

#[derive(Debug, Clone)]
pub struct Away {
    pub since: Instant,
    pub error: String,
}

#[derive(Clone)]
pub struct Source {
    pub name: Arc<str>,
    /// Entries that this bridge has appended, gaps included.
    pub entries: u64,
    pub gaps: u64,
    /// The stream, while this bridge leads.
    pub stream: Option<Monitor>,
    /// Since when it is neither open nor ended, as far as the bridge has seen.
    pub down_since: Option<Instant>,
    pub last_failure: Option<Failure>,
}

#[derive(Debug, Clone)]
pub struct Failure {
    pub at: SystemTime,
    pub text: String,
}

impl Status {
    pub fn new(config: &Config) -> Self {
        let source = |source: &crate::config::Source| Source {
            name: source.name.as_str().into(),
            entries: 0,
            gaps: 0,
            stream: None,
            down_since: None,
            last_failure: None,
        };
        Self(Mutex::new(Now {
            group: config.group.as_str().into(),
            engine: config.engine_address().unwrap_or_default().into(),
            role: Role::Asking,
            away: None,
            waiting_since: None,
            appends: 0,
            append_time: Duration::ZERO,
            sources: config.sources.iter().map(source).collect(),
        }))
    }

    /// Returns a copy.
    pub fn now(&self) -> Now {
        self.lock().clone()
    }

    pub fn engine(&self) -> Arc<str> {
        Arc::clone(&self.lock().engine)
    }

    /// Sets the role. Only a leader, and one that stops, has streams.
    pub fn set_role(&self, role: Role) {
        let mut now = self.lock();
        if matches!(role, Role::Asking) {
            now.waiting_since = None;
            for source in &mut now.sources {
                (source.stream, source.down_since) = (None, None);
            }
        }
        now.role = role;
    }

    pub fn engine_is_away(&self, error: &str) {
        let mut now = self.lock();
        let since = now.away.as_ref().map_or_else(Instant::now, |away| away.since);
        now.away = Some(Away { since, error: error.to_owned() });
    }

    pub fn engine_is_back(&self) {
        self.lock().away = None;
    }

    /// Says that a batch waits to be appended. [`appended`](Self::appended) is its end.
    pub fn batch_waits(&self) {
        self.lock().waiting_since = Some(Instant::now());
    }

    /// Counts the append that has completed a batch. Without entries it has only renewed the lease.
    pub fn appended(&self, batch: &[Entry], took: Duration) {
        let mut now = self.lock();
        now.waiting_since = None;
        if !batch.is_empty() {
            now.appends += 1;
            now.append_time += took;
            now.count(batch);
        }
    }

    /// Counts entries that were appended by an append that failed.
    pub fn count(&self, entries: &[Entry]) {
        self.lock().count(entries);
    }

    /// Says that the source of this index is followed from now on.
    pub fn follows(&self, source: usize, stream: Monitor) {
        let source = &mut self.lock().sources[source];
        (source.stream, source.down_since) = (Some(stream), Some(Instant::now()));
    }

    pub fn saw_state(&self, source: usize, state: &State) {
        let source = &mut self.lock().sources[source];
        match state {
            State::Open { .. } | State::Closed(_) => source.down_since = None,
            State::Waiting { cause, .. } => {
                source.down_since.get_or_insert_with(Instant::now);
                source.last_failure = Some(Failure { at: SystemTime::now(), text: cause.to_string() });
            }
            // A wait before it may not have been seen: states are skipped while an append lasts.
            _ => {
                source.down_since.get_or_insert_with(Instant::now);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// Returns true if the stream is closed: by a 204 of the server, or since the bridge stops.
    pub fn has_ended(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| matches!(stream.state(), State::Closed(_)))
    }
}

impl Now {
    fn count(&mut self, entries: &[Entry]) {
        for entry in entries {
            let source = &mut self.sources[entry.source];
            source.entries += 1;
            source.gaps += u64::from(entry.is_gap());
        }
    }
}

#[cfg(test)]
mod tests {
    use sseclient::CloseReason;

    use super::*;

    #[test]
    fn a_source_is_down_in_any_state_but_open_and_ended() {
        let sources = vec![crate::config::Source::new("a", "http://host/")];
        let status = Status::new(&Config { sources, ..Config::new("redis://host/") });
        let down_since = |state| {
            status.saw_state(0, &state);
            status.now().sources[0].down_since
        };
        let first = down_since(State::Idle);
        assert!(first.is_some());
        assert_eq!(down_since(State::Idle), first);
        assert_eq!(down_since(State::Closed(CloseReason::Shutdown)), None);
    }
}
