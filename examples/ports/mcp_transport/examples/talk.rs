//! Talks to a server: `cargo run --example talk -- [URL]`. Without a URL it talks to a small server
//! inside itself.

#[path = "../../../mcp/server.rs"]
mod server;

use std::env::args;
use std::error::Error;

use mcp_transport::{Inbox, Session};
use reqwest::redirect::Policy;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), String> {
    talk().await.map_err(|error| with_causes(&*error))
}

async fn talk() -> Result<(), Box<dyn Error>> {
    let url = match args().nth(1) {
        Some(url) => url,
        None => server::start().await?,
    };
    let http = reqwest::Client::builder().redirect(Policy::none()).build()?;
    let client = json!({ "name": "talk", "version": "0" });
    let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
    let (session, inbox, server) = Session::initialize(http, &url, hello).await?;
    println!("{server}");
    let reading = tokio::spawn(read(inbox));
    let question = json!({ "name": "add", "arguments": { "a": 2, "b": 3 } });
    println!("{}", session.call("tools/call", question).await?);
    session.close().await?;
    Ok(reading.await?)
}

/// Prints what the server says by itself, until the session is over.
async fn read(mut inbox: Inbox) {
    while let Some(message) = inbox.recv().await {
        match message {
            Ok(message) => println!("{message:?}"),
            Err(error) => println!("{}", with_causes(&error)),
        }
    }
}

fn with_causes(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", with_causes(cause)))
}
