//! A slow subscriber loses events, alone, and learns how many: `cargo run --example lag -- [URL]`.

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
    let handle = Client::new().stream(url).build()?;
    let mut complete = handle.subscribe(Filter::all());
    // It loses its oldest events, so the stream never waits for it. By default the stream would
    // wait.
    let options = SubscribeOptions::default().name("slow").capacity(2).overflow(Overflow::DropOldest);
    let mut slow = handle.subscribe_with(Filter::all(), options);
    handle.connect();

    let slow = tokio::spawn(async move {
        while let Some(delivery) = slow.recv().await {
            match delivery {
                Delivery::Event(event) => println!("slow: event {}", event.last_event_id()),
                Delivery::Gap(gap) => println!("slow: {gap}"),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        println!("slow: the end; {} events missed", slow.missed());
    });
    for _ in 0..20 {
        if let Some(Delivery::Event(event)) = complete.recv().await {
            println!("complete: event {}", event.last_event_id());
        }
    }
    handle.shutdown().await.into_result()?;
    Ok(slow.await?)
}
