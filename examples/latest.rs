//! Keeps the newest event of each type, also for a late subscriber:
//! `cargo run --example latest -- [URL]`.

#[path = "tail/server.rs"]
mod server;

use std::time::Duration;

use sseclient::{Client, Delivery, Filter, Overflow, SubscribeOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = match std::env::args().nth(1) {
        Some(url) => url,
        None => server::start().await?,
    };
    let handle = Client::new().stream(url).retain("price", 1).build()?;
    let options = SubscribeOptions::default().name("display").overflow(Overflow::Conflate);
    let mut display = handle.subscribe_with(Filter::all(), options);
    handle.connect();

    for _ in 0..3 {
        // At most one event of each type is queued, no matter how many came meanwhile.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        while let Ok(delivery) = display.try_recv() {
            match delivery {
                Delivery::Event(event) => println!("{}: {:?}", event.event_type(), event.data()),
                Delivery::Gap(gap) => println!("{gap}"),
            }
        }
        println!("--");
    }
    // A late subscriber gets the retained price at once, without waiting for the next one.
    let mut late = handle.subscribe_with("price", SubscribeOptions::default().replay());
    if let Some(Delivery::Event(price)) = late.recv().await {
        println!("late subscriber, first event: {:?}", price.data());
    }
    Ok(handle.shutdown().await.into_result()?)
}
