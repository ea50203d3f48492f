//! `GET /metrics`: the relay in numbers, as Prometheus text (exposition format 0.0.4).
//!
//! The names are stable. No label has a value that a server or a client could choose.

use std::fmt::{Display, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use tokio::time::Instant;

use crate::relay::Relay;

/// How many slots have metrics of their own. Clients in further slots count in the sums.
const MAX_SLOTS: usize = 100;

pub(crate) async fn metrics(State(relay): State<Arc<Relay>>) -> impl IntoResponse {
    let mut text = Exposition::default();
    upstream(&mut text, &relay);
    downstream(&mut text, &relay);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.0)
}

fn upstream(text: &mut Exposition, relay: &Relay) {
    let (state, stats) = (relay.handle.state(), relay.handle.stats());
    let next = match &state {
        sseclient::State::Waiting { until, .. } => Some(until.saturating_duration_since(Instant::now())),
        _ => None,
    };
    text.one("upstream_open", "gauge", "1 while the upstream connection is open.", u8::from(state.is_open()));
    text.age("upstream_next_attempt_seconds", "Time until the next attempt, while there is one to wait for.", next);
    text.one("upstream_events_total", "counter", "Events that came from upstream.", stats.events);
    text.one("upstream_bytes_total", "counter", "Bytes of response bodies from upstream.", stats.bytes);
    text.one("upstream_attempts_total", "counter", "Attempts to connect upstream.", stats.attempts);
    text.one("upstream_opens_total", "counter", "Responses that were accepted from upstream.", stats.opens);
    text.one("upstream_oversized_total", "counter", "Events that were too large.", stats.oversized);
    text.age("upstream_last_event_age_seconds", "Time since the last event.", stats.last_event);
    text.age("upstream_last_byte_age_seconds", "Time since the last byte.", stats.last_byte);
    text.age("upstream_stalled_seconds", "Time for which slow clients have held up the stream.", stats.stalled_for);
    text.head("upstream_failures_total", "counter", "Failed attempts and ended responses, by kind.");
    for (kind, count) in &stats.failures {
        text.sample("upstream_failures_total", &format!("{{kind=\"{}\"}}", kind.as_str()), count);
    }
    let failures = relay.journal_failures.load(Ordering::Relaxed);
    text.one("resume_file_failures_total", "counter", "Failed attempts to write the resume file.", failures);
}

fn downstream(text: &mut Exposition, relay: &Relay) {
    let all = relay.handle.subscriptions();
    let mut clients: Vec<_> =
        all.iter().filter_map(|client| Some((relay.clients.get(&client.name)?, client))).collect();
    clients.sort_by_key(|((slot, _), _)| *slot);
    let queued: u64 = clients.iter().map(|(_, client)| client.queued).sum();
    let delivered = relay.delivered.load(Ordering::Relaxed);
    text.one("clients", "gauge", "Clients that are connected.", clients.len());
    text.one("clients_refused_total", "counter", "Clients that were turned away.", relay.clients.refused());
    text.one("delivered_events_total", "counter", "Events that clients have taken.", delivered);
    let missed = relay.missed.load(Ordering::Relaxed);
    text.one("missed_events_total", "counter", "Events that slow clients have lost and were told of.", missed);
    text.one("queued_events", "gauge", "Events that clients have still to take, in all.", queued);
    clients.retain(|((slot, _), _)| *slot < MAX_SLOTS);
    text.head("client_queued_events", "gauge", "Events that a client has still to take, by slot.");
    for ((slot, connected), client) in &clients {
        text.sample("client_queued_events", &labels(*slot, connected.policy.name()), client.queued);
    }
    text.head("client_missed_events_total", "counter", "Events that a client has lost, by slot.");
    for ((slot, connected), client) in &clients {
        text.sample("client_missed_events_total", &labels(*slot, connected.policy.name()), client.missed);
    }
}

fn labels(slot: usize, policy: &str) -> String {
    format!("{{slot=\"{slot}\",policy=\"{policy}\"}}")
}

/// The text of all metrics.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    /// Writes what is known of a metric before its samples.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP sse_relay_{name} {help}\n# TYPE sse_relay_{name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "sse_relay_{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.sample(name, "", value);
    }

    /// Writes a time, if there is one.
    fn age(&mut self, name: &str, help: &str, age: Option<Duration>) {
        self.head(name, "gauge", help);
        if let Some(age) = age {
            self.sample(name, "", age.as_secs_f64());
        }
    }
}
