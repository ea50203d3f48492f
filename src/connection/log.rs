//! What the connection task logs. Names, levels and fields are a promise: the crate documentation
//! lists them.
//!
//! Each message begins with the event's name, because the default formatter prints the message and
//! not the name.

use std::error::Error as StdError;

use tracing::{Span, debug, info, info_span, warn};

use crate::error::Error;
use crate::state::{CloseReason, State};
use crate::transport::target::Target;

/// Returns the span of one stream. It has no parent, since it outlives the caller of `connect`.
pub(super) fn span(stream: &str, url: &Target) -> Span {
    info_span!(target: "sseclient", parent: None, "sseclient", stream, %url)
}

pub(super) fn state(state: &State) {
    match state {
        State::Connecting { attempt } => {
            debug!(name: "connecting", target: "sseclient", attempt, "connecting: an attempt begins");
        }
        State::Open { attempt, response, .. } => {
            let (status, version) = (response.status().as_u16(), response.version());
            info!(name: "open", target: "sseclient", attempt, status, ?version, "open: the server has accepted the request");
        }
        State::Waiting { attempt, delay, cause, .. } => {
            let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            let (kind, error) = (cause.kind(), cause as &dyn StdError);
            info!(name: "waiting", target: "sseclient", attempt, delay_ms, ?kind, error, "waiting: the next attempt begins after the delay");
        }
        State::Idle => info!(name: "idle", target: "sseclient", "idle: the next subscription opens the stream again"),
        // `closed` logs the end.
        State::Closed(_) => {}
    }
}

pub(super) fn closed(reason: &CloseReason) {
    match reason.error() {
        None => info!(name: "closed", target: "sseclient", %reason, "closed: the stream has ended for good"),
        Some(error) => {
            let (kind, error) = (error.kind(), error as &dyn StdError);
            warn!(
                name: "closed",
                target: "sseclient",
                %reason,
                ?kind,
                error,
                "closed: the stream has ended for good; build a new one once the cause is gone"
            );
        }
    }
}

pub(super) fn poisoned(error: &Error) {
    let error = error as &dyn StdError;
    warn!(
        name: "poisoned",
        target: "sseclient",
        error,
        "poisoned: the stream breaks off at the same place each time; to skip that place, reconnect from a later ID"
    );
}

pub(super) fn not_replaced(error: &Error) {
    let (kind, error) = (error.kind(), error as &dyn StdError);
    warn!(
        name: "not_replaced",
        target: "sseclient",
        ?kind,
        error,
        "not_replaced: the second response failed; the first one stays, and the change goes with the next attempt"
    );
}

pub(super) fn store_failed(error: &Error) {
    let error = error as &dyn StdError;
    warn!(
        name: "store_failed",
        target: "sseclient",
        error,
        "store_failed: the resume store could not load or save the last event ID; the stream goes on and tries again"
    );
}

pub(super) fn stuck(subscriptions: usize) {
    warn!(
        name: "stuck",
        target: "sseclient",
        subscriptions,
        "stuck: these subscriptions took nothing in time; the stream goes on, and they lose their oldest events"
    );
}

pub(super) fn left_out(what: &str, error: &Error) {
    let error = error as &dyn StdError;
    warn!(name: "left_out", target: "sseclient", what, error, "left_out: the request goes without it, since HTTP cannot carry it");
}
