//! `POST /reconnect`: the page's button.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tracing::info;

use crate::relay::Relay;

/// The shortest time between two reconnections.
const PAUSE: Duration = Duration::from_secs(1);

/// When a reconnection was asked for last.
#[derive(Default)]
pub(crate) struct ReconnectLimit(Mutex<Option<Instant>>);

/// Asks for a new upstream connection.
///
/// A page of another site can make a browser post, but cannot set this header.
pub(crate) async fn reconnect(State(relay): State<Arc<Relay>>, headers: HeaderMap) -> Response {
    if headers.get("x-relay").is_none_or(|value| value != "reconnect") {
        return (StatusCode::FORBIDDEN, "send the header 'X-Relay: reconnect'\n").into_response();
    }
    if !relay.reconnect_limit.allows_now() {
        let retry = [(header::RETRY_AFTER, "1")];
        return (StatusCode::TOO_MANY_REQUESTS, retry, "at most once a second\n").into_response();
    }
    info!("a client asks for a new upstream connection");
    relay.handle.reconnect();
    (StatusCode::ACCEPTED, "reconnecting\n").into_response()
}

impl ReconnectLimit {
    fn allows_now(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let allowed = last.is_none_or(|last| last.elapsed() >= PAUSE);
        if allowed {
            *last = Some(Instant::now());
        }
        allowed
    }
}
