//! What the connection task logs. Names, levels and fields are a promise: the crate documentation
//! lists them.
//!
//! Each message begins with the event's name, because the default formatter prints the message and
//! not the name.

use std::sync::Arc;

use tracing::field::display;
use tracing::{Span, debug, info, warn, warn_span};

use crate::error::{Error, quoted};
use crate::hub::Stalled;
use crate::state::{CloseReason, State};
use crate::transport::target::Target;

/// Logs an event at a level, with its name at the beginning of the message.
macro_rules! log {
    ($level:ident, $name:literal, $text:literal $(, $($field:tt)+)?) => {
        $level!(name: $name, target: "sseclient", $($($field)+,)? concat!($name, ": ", $text))
    };
}

/// Returns the span of one stream. It has no parent, since it outlives the caller of `connect`.
///
/// It has the level of the warnings in it: a filter that lets only those through must not take the
/// stream's name from them.
pub(super) fn span(stream: &str, url: &Target) -> Span {
    warn_span!(target: "sseclient", parent: None, "sseclient", stream, %url)
}

/// Logs each new state but the end. `sent`: the last event ID that the last request carried.
pub(super) fn state(state: &State, sent: Option<&str>) {
    match state {
        State::Connecting { attempt } => log!(debug, "connecting", "an attempt begins", attempt),
        State::Open { attempt, response, .. } => {
            let (status, version) = (response.status().as_u16(), response.version());
            let resumed_after = sent.map(|id| display(quoted(id)));
            log!(info, "open", "the server has accepted the request", attempt, status, ?version, resumed_after);
        }
        State::Waiting { attempt, delay, cause, .. } => {
            let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            let (kind, error) = (cause.kind().as_str(), cause.for_logs());
            log!(
                info,
                "waiting",
                "the attempt failed or the response ended; the next attempt begins after the delay",
                attempt,
                delay_ms,
                kind,
                error
            );
        }
        State::Idle => {
            log!(info, "idle", "without subscriptions the stream has no connection; the next subscription opens one");
        }
        // `closed` logs the end.
        State::Closed(_) => {}
    }
}

/// Logs the end; a failure as a warning.
pub(super) fn closed(reason: &CloseReason) {
    match reason.error() {
        None => log!(info, "closed", "the stream has ended for good", %reason),
        Some(error) => {
            let (kind, attempts, error) = (error.kind().as_str(), error.attempts(), error.for_logs());
            log!(warn, "closed", "the stream has ended for good; build a new one", %reason, kind, attempts, error);
        }
    }
}

pub(super) fn never_connected(stream: &str) {
    log!(
        warn,
        "never_connected",
        "a caller has waited for some time, and nothing has connected the stream: call Handle::connect",
        stream
    );
}

pub(super) fn poisoned(error: &Error) {
    let error = error.for_logs();
    log!(warn, "poisoned", "each response breaks off at the same place; reconnect from a later ID to skip it", error);
}

/// Logs that the attempt of a handover has failed.
pub(super) fn not_replaced(error: &Error) {
    let (kind, error) = (error.kind().as_str(), error.for_logs());
    log!(warn, "not_replaced", "the open response stays, and the change goes with the next attempt", kind, error);
}

pub(super) fn store_failed(error: &Error) {
    let error = error.for_logs();
    log!(warn, "store_failed", "the last event ID was not loaded or saved; the stream goes on and tries again", error);
}

pub(super) fn stuck(subscriptions: &[Arc<str>]) {
    let (names, subscriptions) = (listed(subscriptions), subscriptions.len());
    log!(
        warn,
        "stuck",
        "subscriptions took nothing from full queues in time and held up others; the stream goes on, and they lose \
         their oldest events; read faster, or set a larger capacity",
        subscriptions,
        names
    );
}

/// Logs that the stream waits for subscriptions, and will go on waiting.
pub(super) fn stalled(Stalled { subscriptions, lasted }: &Stalled) {
    let (names, subscriptions) = (listed(subscriptions), subscriptions.len());
    let stalled_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
    log!(
        warn,
        "stalled",
        "the queues of subscriptions are full, and the stream reads nothing until they take events; read faster, \
         drop what you do not read, or choose another overflow policy",
        subscriptions,
        names,
        stalled_ms
    );
}

/// Returns names for a log line, of which there may be thousands.
fn listed(names: &[Arc<str>]) -> String {
    /// More would make the line hard to read.
    const MAX_NAMES: usize = 10;
    let shown = names.iter().take(MAX_NAMES).map(|name| if name.is_empty() { "(no name)" } else { name });
    let mut listed = shown.collect::<Vec<_>>().join(", ");
    if names.len() > MAX_NAMES {
        listed += &format!(" and {} more", names.len() - MAX_NAMES);
    }
    listed
}

/// Logs that the store saves nothing newer, because of a subscription.
pub(super) fn frozen(subscription: &str, store: &str) {
    log!(
        warn,
        "frozen",
        "an event can never be acknowledged, so the resume store saves no later ID: the subscription's queue dropped \
         it, its filter panicked, too many others were not acknowledged, or it was dropped before it acknowledged; \
         reconnect from the last event that was processed",
        subscription,
        store
    );
}

/// Logs that the store saves nothing, because no subscription acknowledges.
pub(super) fn unsaved(store: &str) {
    log!(
        warn,
        "unsaved",
        "the resume store saves nothing: it waits for acknowledgements, and no subscription acknowledges; subscribe \
         with SubscribeOptions::acknowledging, or choose Commit::Delivery",
        store
    );
}

pub(super) fn id_refused(error: &Error) {
    let error = error.for_logs();
    log!(
        warn,
        "id_refused",
        "the server has refused the request with the last event ID; the stream tries once without it, and if that \
         is accepted, the events since that ID may be lost",
        error
    );
}

pub(super) fn left_out(error: &Error) {
    let error = error.for_logs();
    log!(
        warn,
        "left_out",
        "HTTP cannot carry the last event ID, so the request goes without it and events may be missing; \
         the server should send short IDs without control characters",
        what = "the last event ID",
        error
    );
}
