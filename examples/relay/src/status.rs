//! `GET /status`: the relay's own state as an event stream, for its page.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use serde::Serialize;
use sseclient::{Event, State, Stats, SubscriptionStats};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::downstream::event_stream;
use crate::observer::{Seen, SeenGap};
use crate::relay::Relay;
use crate::{journal, upstream};

/// The time between two snapshots, and the number of rates that one holds: two minutes.
const PERIOD: Duration = Duration::from_secs(1);
const MAX_RATES: usize = 120;

/// How many pages may be open at a time. A further one tries again every few seconds.
const MAX_PAGES: usize = 100;

/// How many clients a snapshot lists: those that are furthest behind.
const MAX_CLIENTS: usize = 100;

/// The newest snapshot, as an event. A page that reads slowly skips some.
pub(crate) struct Snapshots(watch::Sender<String>);

impl Default for Snapshots {
    fn default() -> Self {
        Self(watch::Sender::new(String::new()))
    }
}

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

/// Makes snapshots until the stream is over: one each second, and one for each change of state.
pub(crate) async fn publish(relay: Arc<Relay>) {
    let mut states = relay.handle.state_changes();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rates = Rates::new();
    loop {
        let is_over = tokio::select! {
            state = states.recv() => state.is_none_or(|state| state.close_reason().is_some()),
            _ = ticks.tick() => {
                rates.sample(relay.handle.stats().events);
                false
            }
        };
        // Only while a page is open: it costs a look at each client.
        if relay.snapshots.0.receiver_count() > 0 {
            relay.snapshots.0.send_replace(snapshot(&relay, &rates.per_second));
        }
        if is_over {
            return;
        }
    }
}

/// Answers with snapshots until the relay stops.
pub(crate) async fn status(extract::State(relay): extract::State<Arc<Relay>>) -> Response {
    if relay.snapshots.0.receiver_count() >= MAX_PAGES {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages are open; try again later\n").into_response();
    }
    let snapshots = relay.snapshots.0.subscribe();
    let closed = Box::pin(relay.handle.closed());
    let body = unfold((snapshots, closed), |(mut snapshots, mut closed)| async {
        tokio::select! {
            // The last snapshot says that it is the last, if it can still be made.
            biased;
            changed = snapshots.changed() => changed.ok()?,
            _ = &mut closed => return None,
        }
        let text = snapshots.borrow_and_update().clone();
        Some((Ok::<_, Infallible>(text), (snapshots, closed)))
    });
    event_stream(Body::from_stream(body))
}

/// The events per second of the last two minutes.
struct Rates {
    per_second: VecDeque<f64>,
    events: u64,
    at: Instant,
}

impl Rates {
    fn new() -> Self {
        Self { per_second: VecDeque::new(), events: 0, at: Instant::now() }
    }

    fn sample(&mut self, events: u64) {
        let seconds = self.at.elapsed().as_secs_f64().max(0.001);
        let rate = (events - self.events) as f64 / seconds;
        self.per_second.push_back((rate * 10.0).round() / 10.0);
        if self.per_second.len() > MAX_RATES {
            self.per_second.pop_front();
        }
        (self.events, self.at) = (events, Instant::now());
    }
}

fn snapshot(relay: &Relay, rates: &VecDeque<f64>) -> String {
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
