//! `GET /events`: the stream, for one client.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use sseclient::{Delivery, Filter, Gap, SubscribeOptions, Subscription};
use tokio::time::timeout;

use crate::args::Policy;
use crate::clients::Slot;
use crate::gap;
use crate::pieces::Pieces;
use crate::relay::Relay;

/// How much text is collected before it is sent, about.
const CHUNK: usize = 16 * 1024;

/// How many types a client may list: each costs memory, for each client.
const MAX_TYPES: usize = 100;

/// A comment: clients ignore it, and proxies see that the response is alive.
const HEARTBEAT: &str = ":\n\n";

/// Answers with all events from now on, after those that the client has not got yet.
pub(crate) async fn events(
    State(relay): State<Arc<Relay>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let request = match ClientRequest::new(query.as_deref().unwrap_or_default(), &headers, relay.args.overflow) {
        Ok(request) => request,
        Err(mistake) => return (StatusCode::BAD_REQUEST, mistake).into_response(),
    };
    let Some(slot) = relay.clients.enter(address, request.policy) else {
        let retry = [(header::RETRY_AFTER, "10")];
        return (StatusCode::SERVICE_UNAVAILABLE, retry, "too many clients; try again later\n").into_response();
    };
    let options = SubscribeOptions::default()
        .name(slot.name())
        .capacity(relay.args.queue as usize)
        .overflow(request.policy.overflow())
        // An empty ID is that of a client that is new, or that follows a stream without IDs.
        .replay_after(request.last_event_id);
    let subscription = relay.handle.subscribe_with(request.filter, options);
    let allow_origin = relay.args.allow_origin.clone();
    let client = Downstream { greeting: Some(greeting(&slot)), large: None, subscription, slot, relay };
    let mut response = event_stream(client.body());
    response.headers_mut().extend(allow_origin.map(|origin| (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin)));
    response
}

/// Answers what browsers ask before a page of another origin sends `Last-Event-ID` by `fetch`.
pub(crate) async fn preflight(State(relay): State<Arc<Relay>>) -> Response {
    let Some(origin) = relay.args.allow_origin.clone() else {
        return (StatusCode::FORBIDDEN, "the relay was started without --allow-origin\n").into_response();
    };
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin),
        (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD")),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Last-Event-ID, Cache-Control")),
    ];
    (StatusCode::NO_CONTENT, allowed).into_response()
}

/// Returns a response that no cache keeps and no proxy holds back.
pub(crate) fn event_stream(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}

/// What a client asks for.
struct ClientRequest {
    filter: Filter,
    policy: Policy,
    last_event_id: String,
}

impl ClientRequest {
    /// Reads the query and the headers of a request. `default` is the policy of clients that choose
    /// none.
    fn new(query: &str, headers: &HeaderMap, default: Policy) -> Result<Self, String> {
        let (mut types, mut policy) = (Vec::new(), default);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "type" => types.push(value.into_owned()),
                "overflow" => policy = choose(&value, default)?,
                _ => return Err(format!("no such parameter: {name:?}; there are type and overflow\n")),
            }
        }
        if types.len() > MAX_TYPES {
            return Err(format!("at most {MAX_TYPES} types\n"));
        }
        if !types.is_empty() {
            // A gap that the journal has kept is an event now, and concerns all clients.
            types.push(gap::EVENT_TYPE.to_owned());
        }
        let filter = if types.is_empty() { Filter::all() } else { Filter::from(types) };
        // Browsers send the ID as UTF-8 (HTML standard, section 9.2.2).
        let last_event_id = headers.get("last-event-id").map_or(&[][..], HeaderValue::as_bytes);
        Ok(Self { filter, policy, last_event_id: String::from_utf8_lossy(last_event_id).into_owned() })
    }
}

/// Returns the policy that a client has chosen. Only the relay's own user may let clients hold up
/// all others.
fn choose(name: &str, default: Policy) -> Result<Policy, String> {
    let allowed = [Policy::DropOldest, Policy::Conflate, default];
    let chosen = allowed.into_iter().find(|policy| policy.name() == name);
    chosen.ok_or_else(|| "overflow is drop-oldest or conflate\n".to_owned())
}

/// One client, while its response lasts.
struct Downstream {
    /// What comes before the events.
    greeting: Option<String>,
    /// A large event that has been taken, and not all of which has been sent.
    large: Option<Pieces>,
    subscription: Subscription,
    slot: Slot,
    relay: Arc<Relay>,
}

/// Returns the time after which the client comes back if the relay goes away. It differs between
/// clients, so that they do not come back all at once; an upstream `retry` replaces it.
fn greeting(slot: &Slot) -> String {
    format!("retry: {}\n\n", 1000 + slot.number % 20 * 50)
}

impl Downstream {
    fn body(self) -> Body {
        let chunks = unfold(self, |mut client| async {
            let chunk = client.next_chunk().await?;
            Some((Ok::<_, Infallible>(chunk), client))
        });
        Body::from_stream(chunks)
    }

    /// Waits for text to send; `None` when the stream is over.
    async fn next_chunk(&mut self) -> Option<String> {
        let mut chunk = self.greeting.take().unwrap_or_default();
        while chunk.is_empty() && self.large.is_none() {
            match timeout(self.relay.args.heartbeat, self.subscription.recv()).await {
                Ok(delivery) => self.append(&mut chunk, delivery?),
                Err(_) => chunk.push_str(HEARTBEAT),
            }
        }
        while chunk.len() < CHUNK {
            if let Some(large) = &mut self.large {
                if !large.append(&mut chunk) {
                    self.large = None;
                }
            } else if let Ok(delivery) = self.subscription.try_recv() {
                self.append(&mut chunk, delivery);
            } else {
                break;
            }
        }
        Some(chunk)
    }

    fn append(&mut self, chunk: &mut String, delivery: Delivery) {
        match &delivery {
            Delivery::Event(_) => drop(self.relay.delivered.fetch_add(1, Ordering::Relaxed)),
            Delivery::Gap(gap) => {
                if let Gap::Lagged { missed, .. } = gap {
                    self.relay.missed.fetch_add(*missed, Ordering::Relaxed);
                }
                self.relay.observed.client_gap(&self.slot.name(), gap);
            }
        }
        match delivery {
            Delivery::Event(event) if Pieces::are_several(&event) => self.large = Some(Pieces::of(event)),
            delivery => gap::write(chunk, &delivery),
        }
    }
}
