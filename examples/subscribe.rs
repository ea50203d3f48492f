//! Runs two consumers on one connection: `cargo run --example subscribe -- [URL]`.

#[path = "tail/server.rs"]
mod server;

use sseclient::{Client, Delivery, Filter, Subscription};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = match std::env::args().nth(1) {
        Some(url) => url,
        None => server::start().await?,
    };
    let handle = Client::new().stream(url).build()?;
    // Both subscribe before the stream connects, so neither can miss the first event.
    let prices = handle.subscribe("price");
    let everything = handle.subscribe(Filter::all());
    handle.connect();

    tokio::join!(consume("prices", prices, 3), consume("everything", everything, 8));
    Ok(handle.shutdown().await.into_result()?)
}

/// Prints `wanted` events, and the gaps between them.
async fn consume(name: &str, mut subscription: Subscription, mut wanted: u32) {
    while wanted > 0 {
        match subscription.recv().await {
            Some(Delivery::Event(event)) => {
                println!("{name}: {} {:?}", event.event_type(), event.data());
                wanted -= 1;
            }
            Some(Delivery::Gap(gap)) => println!("{name}: {gap}"),
            None => break,
        }
    }
}
