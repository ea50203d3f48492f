//! `GET /`: the page for people, and its button.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tracing::info;

use crate::relay::Relay;

/// The whole page: it loads nothing but `/status`.
const PAGE: &str = include_str!("page.html");

/// No other site may show the page in a frame, to get its button pressed. The page runs only its
/// own script and talks only to the relay.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) async fn page() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, PAGE)
}

/// The shortest time between two reconnections.
const PAUSE: Duration = Duration::from_secs(1);

/// When a reconnection was asked for last.
#[derive(Default)]
pub(crate) struct ReconnectLimit(Mutex<Option<Instant>>);

/// `POST /reconnect`: asks for a new upstream connection.
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
