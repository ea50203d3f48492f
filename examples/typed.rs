//! Reads several types of event as one enum: `cargo run --features json --example typed`.

#[path = "tail/server.rs"]
mod server;

use sseclient::{Client, Delivery, Filter};

/// The variant is the event type; its content is the event's data, decoded as JSON.
#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Report {
    Price {
        symbol: String,
        price: f64,
    },
    Weather(String),
    #[serde(other)]
    Other,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let handle = Client::new().stream(server::start().await?).build()?;
    let mut reports = handle.subscribe_as::<Report>(Filter::all());
    handle.connect();
    for _ in 0..10 {
        match reports.recv().await {
            Some(Delivery::Event(report)) => match report.value() {
                Ok(Report::Price { symbol, price }) => println!("{symbol} is at {price}"),
                Ok(Report::Weather(weather)) => println!("the weather: {weather}"),
                Ok(Report::Other) => println!("something else: {:?}", report.event().event_type()),
                Err(error) => println!("{error}; it was {:?}", report.event().data()),
            },
            Some(Delivery::Gap(gap)) => println!("{gap}"),
            None => break,
        }
    }
    Ok(handle.shutdown().await.into_result()?)
}
