//! Follows a stream with reqwest 0.12 as its transport: `cargo run --bin reqwest_0_12 -- [URL]`.

#[path = "../../../tail/server.rs"]
mod server;

use std::time::Duration;

use reqwest_0_12 as reqwest;
use sseclient::bytes::Bytes;
use sseclient::http::{Request, Response};
use sseclient::{Client, Delivery, Filter};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = if let Some(url) = std::env::args().nth(1) { url } else { server::start().await? };
    // No `timeout` and no `read_timeout`: they end streams. The guide says what to do about the rest.
    let http = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let transport = move |request: Request<Bytes>| {
        let sending = reqwest::Request::try_from(request).map(|request| http.execute(request));
        async { sending?.await.map(Response::<reqwest::Body>::from) }
    };
    let handle = Client::builder().transport(transport).build().stream(url).build()?;
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    // The server hangs up in between.
    for _ in 0..15 {
        match events.recv().await {
            Some(Delivery::Event(event)) => println!("{} {:?}", event.event_type(), event.data()),
            Some(Delivery::Gap(gap)) => println!("{gap}"),
            None => break,
        }
    }
    Ok(handle.shutdown().await.into_result()?)
}
