//! What one stream is told when it is built, and its defaults: named, each with its reason.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use crate::connection::request::Request;
use crate::hub::Retain;
use crate::transport::target::Target;
use crate::transport::{Attempt, HttpRequest};
use crate::wire::DEFAULT_MAX_EVENT_SIZE;

/// The server's `retry` is clamped to at least this: less would be a tight loop.
pub(crate) const MIN_SERVER_RETRY: Duration = Duration::from_millis(100);

/// The server's `retry` is clamped to at most this: with more, a stream would seem dead.
pub(crate) const MAX_SERVER_RETRY: Duration = Duration::from_secs(5 * 60);

/// Name, TCP and TLS together: long enough for a lost SYN or two.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// From the request to the response head: servers under load answer late, dead ones never.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Events per subscription: four turns of the connection task (see [`EVENTS_PER_TURN`]).
pub(crate) const CAPACITY: usize = 256;

/// The least capacity: one event at a time.
pub(crate) const MIN_CAPACITY: usize = 1;

/// The most: a million events that nobody takes are a mistake already.
pub(crate) const MAX_CAPACITY: usize = 1 << 20;

/// Bytes per subscription: as much as one event may have, so that a queue of large events is bounded as well.
pub(crate) const QUEUE_BYTES: u64 = DEFAULT_MAX_EVENT_SIZE as u64;

/// How many events the connection task publishes before it lets others run: half of tokio's
/// cooperative budget. With four times as many, a healthy subscriber on the same thread loses half.
pub(crate) const EVENTS_PER_TURN: usize = 64;

/// Everything that a stream is told when it is built.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) name: String,
    /// Shared with the mailbox, where the next one is made of it.
    pub(crate) request: Arc<Request>,
    pub(crate) last_event_id: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_event_size: usize,
    pub(crate) capacity: usize,
    /// What is kept for subscribers who come late; nothing by default.
    pub(crate) retain: Vec<Retain>,
    /// How many IDs are remembered, to drop what is delivered again; none by default.
    pub(crate) drop_repeats: usize,
    /// Open only while there are subscriptions, and for so long after the last; `None`: always.
    pub(crate) linger: Option<Duration>,
    /// Whether a failed first attempt is final, whatever its cause.
    pub(crate) first_attempt_counts: bool,
}

impl Config {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            name: String::new(),
            request: Arc::new(Request::new(target)),
            last_event_id: String::new(),
            connect_timeout: CONNECT_TIMEOUT,
            response_timeout: RESPONSE_TIMEOUT,
            // A silent stream is an ordinary one; TCP keep-alive finds dead links.
            idle_timeout: None,
            max_event_size: DEFAULT_MAX_EVENT_SIZE,
            capacity: CAPACITY,
            retain: Vec::new(),
            drop_repeats: 0,
            linger: None,
            first_attempt_counts: false,
        }
    }

    /// An attempt with these headers.
    pub(crate) fn attempt(&self, headers: HeaderMap) -> Attempt {
        let request = &self.request;
        Attempt {
            request: HttpRequest {
                method: request.method(),
                target: request.target().clone(),
                headers,
                body: request.body(),
                compression: request.compression,
            },
            cookies: request.cookies.clone(),
            redirects: request.redirects,
            connect_timeout: self.connect_timeout,
            response_timeout: self.response_timeout,
        }
    }
}
