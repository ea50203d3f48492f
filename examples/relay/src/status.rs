//! `GET /status`: the relay's own state as an event stream, for its page.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::downstream::event_stream;
use crate::relay::Relay;
use crate::snapshot::snapshot;

/// The time between two snapshots, and the number of rates that one holds: two minutes.
const PERIOD: Duration = Duration::from_secs(1);
const MAX_RATES: usize = 120;

/// How many pages may be open at a time. A further one tries again every few seconds.
const MAX_PAGES: usize = 100;

/// The newest snapshot, as an event. A page that reads slowly skips some.
pub(crate) struct Snapshots(watch::Sender<String>);

impl Default for Snapshots {
    fn default() -> Self {
        Self(watch::Sender::new(String::new()))
    }
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
