//! `GET /health`: whether the stream is followed, for load balancers and supervisors.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;
use tokio::time::Instant;

use crate::relay::Relay;

/// Answers 200 while the upstream connection is open, or was open not long ago; else 503.
pub(crate) async fn health(State(relay): State<Arc<Relay>>) -> impl IntoResponse {
    let state = relay.handle.state();
    let seen = relay.observed.seen();
    let was_open = seen.last_open.map(|last| last.elapsed());
    // The observer may not have seen a loss yet, but will in a moment.
    let is_healthy = state.is_open() || seen.is_open || was_open.is_some_and(|ago| ago < relay.args.health_window);
    let next_attempt = match &state {
        sseclient::State::Waiting { until, .. } => Some(until.saturating_duration_since(Instant::now()).as_secs_f64()),
        _ => None,
    };
    let body = json!({
        "healthy": is_healthy,
        "reason": state.to_string(),
        "next_attempt_seconds": next_attempt,
        "lost_seconds_ago": was_open.filter(|_| !state.is_open()).map(|ago| ago.as_secs_f64()),
        "state": state,
    });
    let status = if is_healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, format!("{body}\n"))
}
