//! [`Snapshot`]: the relay at one moment, as the page gets it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use sseclient::{Event, State, Stats, SubscriptionStats};

use crate::observer::{Seen, SeenGap};
use crate::relay::Relay;
use crate::{journal, upstream};

/// How many clients a snapshot lists: those that are furthest behind.
const MAX_CLIENTS: usize = 100;

/// The relay at one moment.
#[derive(Serialize)]
struct Snapshot<'a> {
    url: String,
    /// Milliseconds since 1970.
    now_ms: u64,
    state: &'a State,
    /// The state as a sentence.
    text: String,
    stats: Stats,
    /// Events per second, of the last two minutes.
    rates: &'a VecDeque<f64>,
    types: BTreeMap<String, u64>,
    other_types: u64,
    gaps: VecDeque<SeenGap>,
    resume_file_fails: bool,
    client_count: usize,
    /// Events that these clients have lost, also those that are not listed.
    missed: u64,
    clients: Vec<Client>,
}

/// A client, or the resume file, in numbers.
#[derive(Serialize)]
struct Client {
    name: String,
    address: Option<String>,
    policy: &'static str,
    queued: u64,
    missed: u64,
    connected_s: Option<u64>,
}

/// Returns a snapshot as an event. `rates` are those of the last two minutes.
pub(crate) fn snapshot(relay: &Relay, rates: &VecDeque<f64>) -> String {
    let Seen { types, other_types, gaps, .. } = relay.observed.seen();
    let state = relay.handle.state();
    let subscriptions = relay.handle.subscriptions();
    let snapshot = Snapshot {
        url: upstream::shown(relay.args.url.as_deref().unwrap_or_default()),
        now_ms: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
        text: state.to_string(),
        state: &state,
        stats: relay.handle.stats(),
        rates,
        types,
        other_types,
        gaps,
        resume_file_fails: relay.journal_fails.load(Ordering::Relaxed),
        client_count: relay.clients.len(),
        // What the queue of the resume file loses, the file still gets.
        missed: subscriptions.iter().filter(|one| one.name != journal::NAME).map(|one| one.missed).sum(),
        clients: clients(relay, subscriptions),
    };
    let data = serde_json::to_string(&snapshot).expect("all keys of its maps are strings");
    Event::builder().data(data).build().expect("it has no ID and no type").encode()
}

/// Returns the clients that are furthest behind.
fn clients(relay: &Relay, mut all: Vec<SubscriptionStats>) -> Vec<Client> {
    all.sort_by(|a, b| (b.queued, b.missed).cmp(&(a.queued, a.missed)).then_with(|| a.name.cmp(&b.name)));
    all.truncate(MAX_CLIENTS);
    let client = |subscription: SubscriptionStats| {
        let connected = relay.clients.get(&subscription.name).map(|(_, connected)| connected);
        Client {
            address: connected.map(|client| client.address.to_string()),
            policy: connected.map_or("wait", |client| client.policy.name()),
            connected_s: connected.map(|client| client.since.elapsed().as_secs()),
            queued: subscription.queued,
            missed: subscription.missed,
            name: subscription.name,
        }
    };
    all.into_iter().map(client).collect()
}
