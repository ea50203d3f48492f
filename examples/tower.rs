//! Follows a stream through middleware of tower, which signs requests and reports responses:
//! `cargo run --example tower -- [URL]`.

#[path = "tail/server.rs"]
mod server;

use http_body_util::Full;
use hyper_util::rt::TokioExecutor;
use sseclient::bytes::Bytes;
use sseclient::http::{HeaderValue, Request, Response};
use sseclient::{Client, Delivery, Filter};
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = if let Some(url) = std::env::args().nth(1) { url } else { server::start().await? };
    let sign = |mut request: Request<Bytes>| {
        request.headers_mut().insert("x-signature", HeaderValue::from_static("signed"));
        request.map(Full::new)
    };
    let report = |response: Response<_>| {
        println!("{}", response.status());
        response
    };
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
    let service = ServiceBuilder::new().map_request(sign).map_response(report).service(http);
    let client = Client::builder().transport(move |request| service.clone().oneshot(request)).build();

    let mut events = client.stream(url).open(Filter::all()).await?;
    // The server hangs up in between.
    for _ in 0..15 {
        match events.recv().await {
            Some(Delivery::Event(event)) => println!("{} {:?}", event.event_type(), event.data()),
            Some(Delivery::Gap(gap)) => println!("{gap}"),
            None => break,
        }
    }
    Ok(events.handle().shutdown().await.into_result()?)
}
