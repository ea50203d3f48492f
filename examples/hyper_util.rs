//! Follows a stream with hyper-util's client as its transport:
//! `cargo run --example hyper_util -- [URL]`.

#[path = "tail/server.rs"]
mod server;

use http_body_util::Full;
use hyper_util::rt::TokioExecutor;
use sseclient::bytes::Bytes;
use sseclient::http::Request;
use sseclient::{Client, Delivery, Filter};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = if let Some(url) = std::env::args().nth(1) { url } else { server::start().await? };
    // A connector for https goes here, too: hyper-rustls's or hyper-tls's.
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
    let transport = move |request: Request<Bytes>| http.request(request.map(Full::new));

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
