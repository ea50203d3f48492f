//! Follows the head of a chain over some nodes: `follow_heads URL…`, such as
//! `follow_heads http://127.0.0.1:5052`. Without URLs: over two small nodes inside, with a slot a
//! second, for 14 slots. The first one goes away for some of them.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use futures_util::Stream;
use futures_util::stream::unfold;
use head_monitor::{BeaconNode, HeadMonitor};
use serde_json::json;
use sseclient::Client;
use tokio::time::{Instant, sleep, sleep_until};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut urls: Vec<String> = std::env::args().skip(1).collect();
    let last_slot = if urls.is_empty() { 14 } else { u64::MAX };
    if urls.is_empty() {
        let genesis = Instant::now();
        urls = vec![
            start_node(Node { genesis, goes_away: true }).await?,
            start_node(Node { genesis, goes_away: false }).await?,
        ];
    }
    let client = Client::new();
    let nodes = urls.into_iter().map(|url| BeaconNode { url, client: client.clone() }).collect();
    let http = reqwest::Client::new();
    let mut monitor = HeadMonitor::start(nodes, move |url| {
        let request = http.get(url).send();
        async { request.await?.error_for_status()?.bytes().await.map(Vec::from) }
    })?;
    loop {
        let mut slot = 0;
        tokio::select! {
            new = monitor.changed() => {
                slot = new.head.slot;
                println!("slot {slot} from node {} ({:?})", new.node, new.source);
            }
            () = sleep(Duration::from_secs(15)) => println!("no head for 15 s"),
        }
        for node in monitor.health() {
            println!("    {}: {}", node.url, node.health);
        }
        println!("    best: {:?}", monitor.best());
        if slot >= last_slot {
            return Ok(());
        }
    }
}

/// A node of the demo.
#[derive(Clone, Copy)]
struct Node {
    genesis: Instant,
    /// It is down in four slots of twelve.
    goes_away: bool,
}

impl Node {
    fn slot(self) -> u64 {
        self.genesis.elapsed().as_secs()
    }

    fn is_up(self, slot: u64) -> bool {
        !self.goes_away || slot % 12 < 8
    }
}

async fn start_node(node: Node) -> std::io::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let routes = Router::new().route("/eth/v1/events", get(events)).route("/eth/v1/beacon/headers/head", get(head));
    tokio::spawn(async move { axum::serve(listener, routes.with_state(node)).await });
    Ok(url)
}

/// A head in each slot, until the node goes away.
async fn events(State(node): State<Node>) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, StatusCode> {
    if !node.is_up(node.slot()) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    Ok(Sse::new(unfold(node.slot() + 1, move |slot| async move {
        sleep_until(node.genesis + Duration::from_secs(slot)).await;
        let head = json!({ "slot": slot.to_string(), "block": format!("{slot:#x}"), "execution_optimistic": false });
        node.is_up(slot).then(|| (Ok(Event::default().event("head").data(head.to_string())), slot + 1))
    })))
}

async fn head(State(node): State<Node>) -> Result<String, StatusCode> {
    let slot = node.slot();
    if !node.is_up(slot) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let header = json!({ "message": { "slot": slot.to_string() } });
    Ok(json!({ "execution_optimistic": false, "data": { "root": format!("{slot:#x}"), "header": header } }).to_string())
}
