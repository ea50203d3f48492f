//! Replaces a token before it expires, without losing an event:
//! `cargo run --example rotate_token -- [URL]`.

#[path = "tail/server.rs"]
mod server;

use std::error::Error;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use sseclient::{Apply, Client, CredentialsReason, Delivery, Filter};
use tokio::time::{Instant, interval_at};

/// A real source asks a token server, and keeps the token until the reason is `Rejected`.
async fn token(reason: CredentialsReason) -> Result<HeaderMap, http::Error> {
    println!("a token is needed: {reason:?}");
    let bearer = HeaderValue::from_str(&format!("Bearer {}", std::process::id()))?;
    Ok(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = if let Some(url) = std::env::args().nth(1) { url } else { server::start().await? };
    let handle = Client::new().stream(url).credentials(token).build()?;
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    let second = Duration::from_secs(1);
    let (mut expiry, mut wanted) = (interval_at(Instant::now() + second, second), 10);
    while wanted > 0 {
        tokio::select! {
            // A second response with a fresh token takes over, and only then the first one is
            // dropped.
            _ = expiry.tick() => drop(handle.update(|request| request, Apply::MakeBeforeBreak)),
            delivery = events.recv() => match delivery {
                Some(Delivery::Event(event)) => { println!("{:?}", event.data()); wanted -= 1 }
                Some(Delivery::Gap(gap)) => println!("{gap}"),
                None => break,
            },
        }
    }
    Ok(handle.shutdown().await.into_result()?)
}
