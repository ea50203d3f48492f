//! A client of the Model Context Protocol over streamable HTTP: `cargo run --example mcp --features
//! json -- [URL]`. Without a URL it talks to a small server of its own.

#[path = "mcp/server.rs"]
mod server;

use std::error::Error;
use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sseclient::{Client, Decision, Delivery, EventStream, ReconnectPolicy, http};

const SESSION: &str = "mcp-session-id";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = match std::env::args().nth(1) {
        Some(url) => url,
        None => server::start().await?,
    };
    // The server answers the first request with JSON, and the second one with a stream.
    let (session, hello) = call(&url, None, &json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize" })).await?;
    println!("{hello}");
    let question = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": "add" } });
    let (_, sum) = call(&url, session.as_deref(), &question).await?;
    println!("{sum}");
    listen(&url, session.as_deref().ok_or("no session")?).await
}

/// Sends a request and returns the session, if one begins, and the answer: the body, or the one
/// event that answers this request.
async fn call(url: &str, session: Option<&str>, request: &Value) -> Result<(Option<String>, Value), Box<dyn Error>> {
    let mut post = reqwest::Client::new().post(url).header("accept", "application/json, text/event-stream");
    if let Some(session) = session {
        post = post.header(SESSION, session);
    }
    let response = http::Response::from(post.body(request.to_string()).send().await?);
    let session = response.headers().get(SESSION).and_then(|id| Some(id.to_str().ok()?.to_owned()));
    let mut events = match EventStream::try_from_response(response) {
        Ok(events) => events.idle_timeout(Duration::from_secs(60)),
        Err(response) if response.status().is_success() => {
            return Ok((session, serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?));
        }
        Err(refused) => return Err(EventStream::from_response(refused).await.unwrap_err().into()),
    };
    while let Some(delivery) = events.recv().await {
        let event = match delivery? {
            Delivery::Event(event) => event,
            // It was too large to be read, and may have been the answer.
            Delivery::Gap(gap) => return Err(gap.to_string().into()),
        };
        // Servers begin with an event without data, for its ID.
        if event.data().is_empty() {
            continue;
        }
        let message: Value = serde_json::from_str(event.data())?;
        if message["id"] == request["id"] {
            return Ok((session, message));
        }
        println!("{message}");
    }
    Err("the stream ended without the answer".into())
}

/// Prints what the server says by itself, until it has no more (204). The stream goes on after an
/// interruption only if events have IDs, so that none is lost; otherwise it has to begin anew.
async fn listen(url: &str, session: &str) -> Result<(), Box<dyn Error>> {
    let policy = ReconnectPolicy::daemon().decide_with(|failure| match failure.last_event_id() {
        "" => Decision::Stop,
        _ => failure.suggestion(),
    });
    let stream = Client::new().stream(url).header(SESSION, session).reconnect_policy(policy);
    let mut messages = stream.open("message").await?;
    while let Some(delivery) = messages.recv().await {
        match delivery {
            Delivery::Event(event) => println!("{}", event.data()),
            Delivery::Gap(gap) => println!("({gap})"),
        }
    }
    Ok(messages.handle().closed().await.into_result()?)
}
