//! Tests a program without a network: a closure answers its requests, and its hours take no time.
//! `cargo run --example without_network`.

use std::time::Duration;

use http_body_util::Full;
use sseclient::bytes::Bytes;
use sseclient::http::{self, HeaderName, Request, Response};
use sseclient::{Client, Delivery, Filter};

/// Answers as a server that is down for an hour, and then has one event for each response.
async fn answer(request: Request<Bytes>, down_until: tokio::time::Instant) -> http::Result<Response<Full<Bytes>>> {
    let header = |name: HeaderName| request.headers().get(name)?.to_str().ok()?.parse::<u64>().ok();
    let last = header(HeaderName::from_static("last-event-id")).unwrap_or(0);
    if tokio::time::Instant::now() < down_until {
        return Response::builder().status(503).body(Full::default());
    }
    let event = format!("id: {0}\ndata: number {0}\n\n", last + 1);
    Response::builder().header("content-type", "text/event-stream").body(event.into())
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let down_until = tokio::time::Instant::now() + Duration::from_secs(3600);
    let client = Client::builder().transport(move |request| answer(request, down_until)).build();
    let handle = client.stream("https://server.invalid/stream").build()?;
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    for _ in 0..5 {
        match events.recv().await {
            Some(Delivery::Event(event)) => println!("{}", event.data()),
            Some(Delivery::Gap(gap)) => println!("{gap}"),
            None => break,
        }
    }
    println!("{:?}", handle.stats());
    Ok(handle.shutdown().await.into_result()?)
}
