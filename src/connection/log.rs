//! What the connection task logs: target, names and fields are a promise, listed in the crate's guide.

use std::error::Error as StdError;

use tracing::{Span, debug, info, info_span, warn};

use crate::error::Error;
use crate::state::{CloseReason, State};
use crate::transport::target::Target;

/// The span of one stream: a root, since it outlives whoever connected it.
pub(super) fn span(stream: &str, url: &Target) -> Span {
    info_span!(target: "sseclient", parent: None, "sseclient", stream, %url)
}

pub(super) fn state(state: &State) {
    match state {
        State::Connecting { attempt } => debug!(name: "connecting", target: "sseclient", attempt, "connecting"),
        State::Open { attempt, response, .. } => {
            let (status, version) = (response.status().as_u16(), response.version());
            info!(name: "open", target: "sseclient", attempt, status, ?version, "open");
        }
        State::Waiting { attempt, delay, cause, .. } => {
            let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            let (kind, error) = (cause.kind(), cause as &dyn StdError);
            info!(name: "waiting", target: "sseclient", attempt, delay_ms, ?kind, error, "waiting");
        }
        State::Idle => info!(name: "idle", target: "sseclient", "idle"),
        // Has a line of its own.
        State::Closed(_) => {}
    }
}

pub(super) fn closed(reason: &CloseReason) {
    match reason.error() {
        None => info!(name: "closed", target: "sseclient", %reason, "closed"),
        Some(error) => {
            let (kind, error) = (error.kind(), error as &dyn StdError);
            warn!(name: "closed", target: "sseclient", %reason, ?kind, error, "closed");
        }
    }
}

pub(super) fn poisoned(error: &Error) {
    warn!(name: "poisoned", target: "sseclient", error = error as &dyn StdError, "the stream is poisoned");
}

/// The open response stays; whoever asked for another may not be listening any more.
pub(super) fn not_replaced(error: &Error) {
    let (kind, error) = (error.kind(), error as &dyn StdError);
    warn!(name: "not_replaced", target: "sseclient", ?kind, error, "the open response could not be replaced, and stays");
}

pub(super) fn store_failed(error: &Error) {
    warn!(name: "store_failed", target: "sseclient", error = error as &dyn StdError, "the resume store failed");
}

/// The stream goes on over subscriptions that have stopped reading.
pub(super) fn stuck(subscriptions: usize) {
    warn!(name: "stuck", target: "sseclient", subscriptions, "these took nothing in time: they lose their oldest events");
}

/// A request goes without something that it was to carry.
pub(super) fn left_out(what: &str, error: &Error) {
    warn!(name: "left_out", target: "sseclient", what, error = error as &dyn StdError, "a request goes without this");
}
