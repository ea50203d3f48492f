//! The client of a run, and what it says of each attempt: to its source of credentials and its policy.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use sseclient::{Client, CredentialsReason, Decision, ErrorKind, Failure, Handle, ReconnectPolicy};

use super::nature::MAX_EVENT_SIZE;

/// The client's own reconnection time.
pub(crate) const SOON: Duration = Duration::from_millis(1);

/// What the client's waits grow up to.
pub(crate) const CEILING: Duration = Duration::from_millis(4);

/// How long the server may be silent. Waiting for a subscriber that is stuck takes longer than this: that
/// must not count.
pub(crate) const SILENCE: Duration = Duration::from_millis(30);

/// Events in a queue: few, so that one who pauses lags; in some runs so few that each turn has one frame.
pub(crate) fn capacity(seed: u64) -> usize {
    4 << (seed % 3)
}

/// What the client said of its attempts, the first first.
#[derive(Debug, Default)]
pub(crate) struct Tale {
    attempts: Mutex<Vec<Attempt>>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Attempt {
    /// Its credentials were asked for because the attempt before was refused.
    pub(crate) is_second: bool,
    pub(crate) outcome: Option<Outcome>,
}

#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The source of credentials was asked again.
    Refused(StatusCode),
    /// The policy was asked.
    Failed(Told),
}

/// What the policy was told.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) kind: ErrorKind,
    pub(crate) status: Option<StatusCode>,
    pub(crate) reconnection_time: Duration,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) was_open: bool,
    pub(crate) suggestion: Decision,
}

impl Tale {
    /// What was said of the attempt with this number, from 1.
    pub(crate) fn attempt(&self, number: u64) -> Attempt {
        self.attempts.lock().unwrap()[number as usize - 1].clone()
    }

    /// Gives each attempt its number as its credentials.
    fn credentials(&self, reason: CredentialsReason) -> HeaderMap {
        let mut attempts = self.attempts.lock().unwrap();
        let mut attempt = Attempt::default();
        if let CredentialsReason::Rejected { status, .. } = reason {
            attempt.is_second = true;
            attempts.last_mut().unwrap().outcome = Some(Outcome::Refused(status));
        }
        attempts.push(attempt);
        HeaderMap::from_iter([(AUTHORIZATION, attempts.len().to_string().parse().unwrap())])
    }

    /// Notes what the policy would do, and shortens the wait: a run has no minutes to spend on it.
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        let told = Told {
            kind: failure.error().kind(),
            status: failure.status(),
            reconnection_time: failure.reconnection_time(),
            retry_after: failure.retry_after(),
            was_open: failure.open_for().is_some(),
            suggestion: failure.suggestion(),
        };
        self.attempts.lock().unwrap().last_mut().unwrap().outcome = Some(Outcome::Failed(told));
        Decision::RetryAfter(SOON)
    }
}

/// A stream that is idle yet.
pub(crate) fn stream(url: &str, seed: u64, tale: &Arc<Tale>) -> Handle {
    let (asked, told) = (Arc::clone(tale), Arc::clone(tale));
    let policy = ReconnectPolicy::daemon().reconnection_time(SOON).ceiling(CEILING);
    let credentials = move |reason| -> Ready<Result<_, Infallible>> { ready(Ok(asked.credentials(reason))) };
    Client::new()
        .stream(url)
        .reconnect_policy(policy.decide_with(move |failure| told.decide(failure)))
        .credentials(credentials)
        .response_timeout(SILENCE)
        .idle_timeout(SILENCE)
        .max_event_size(MAX_EVENT_SIZE)
        .capacity(capacity(seed))
        .build()
        .unwrap()
}
