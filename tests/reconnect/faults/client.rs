//! The client of a run, and what it reports of each attempt to its credentials source and its
//! policy.

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

/// The ceiling of the client's back-off.
pub(crate) const CEILING: Duration = Duration::from_millis(4);

/// The idle timeout. Waiting for a stuck subscriber takes longer than this, and must not count.
pub(crate) const SILENCE: Duration = Duration::from_millis(30);

/// The capacity of queues: small, so that a reader that pauses lags. In some runs each turn has
/// room for one frame only.
pub(crate) fn capacity(seed: u64) -> usize {
    4 << (seed % 3)
}

/// The client's reports of its attempts, in order.
#[derive(Debug, Default)]
pub(crate) struct Tale {
    attempts: Mutex<Vec<Attempt>>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Attempt {
    /// Whether the credentials were requested because the attempt before was refused.
    pub(crate) is_second: bool,
    pub(crate) outcome: Option<Outcome>,
}

#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The client called the credentials source again.
    Refused(StatusCode),
    /// The client asked the policy.
    Failed(Told),
}

/// The failure that the policy saw.
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
    /// The report of the attempt with this number, from 1.
    pub(crate) fn attempt(&self, number: u64) -> Attempt {
        self.attempts.lock().unwrap()[number as usize - 1].clone()
    }

    /// A credentials source that gives each attempt its number.
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

    /// Records what the default policy decides, and shortens the wait so that a run takes seconds.
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

/// A stream that is not connected yet.
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
