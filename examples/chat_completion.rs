//! Asks a chat server a question and prints the tokens as they arrive:
//! `cargo run --example chat_completion --features json -- [URL [TOKEN]]`.

#[path = "chat_completion/server.rs"]
mod server;

use std::error::Error;
use std::io::{Write as _, stdout};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sseclient::{Delivery, EventStream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (url, token) = (std::env::args().nth(1).unwrap_or_default(), std::env::args().nth(2).unwrap_or_default());
    let url = if url.is_empty() { server::start().await? } else { url };
    tokio::select! {
        answered = ask(&url, &token) => answered,
        interrupt = tokio::signal::ctrl_c() => Ok(interrupt?), // drops the answer: its connection closes
    }
}

async fn ask(url: &str, token: &str) -> Result<(), Box<dyn Error>> {
    let question =
        json!({ "model": "any", "stream": true, "messages": [{ "role": "user", "content": "What is SSE?" }] });
    let request = reqwest::Client::new().post(url).bearer_auth(token).header("content-type", "application/json");
    let (asked, response) = (Instant::now(), request.body(question.to_string()).send().await?);
    // A server says in its body why it refuses. A proxy in front of it may send something else.
    let answer = EventStream::from_response(response.into()).await.map_err(|error| match error.json::<Value>() {
        Ok(body) => format!("{error}: {}", body["error"]["message"]),
        Err(_) => error.to_string(),
    })?;
    let answer = answer.first_event_timeout(Duration::from_secs(60)).idle_timeout(Duration::from_secs(20));
    let (mut parts, mut first_token) = (answer.end_mark("[DONE]").decode_as::<Value>(), None);
    while let Some(part) = parts.recv().await {
        // An error here: the answer was cut off, or took too long.
        let Delivery::Event(part) = part? else { return Err("a part of the answer is too large".into()) };
        let part = part.into_value()?;
        // The status was sent long before, so a late failure is an event like any other.
        if let Some(error) = part.get("error") {
            return Err(error["message"].to_string().into());
        }
        print!("{}", part["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
        first_token.get_or_insert_with(|| asked.elapsed());
        stdout().flush()?;
    }
    println!("\n(first token after {:?}, all after {:?})", first_token.unwrap_or_default(), asked.elapsed());
    Ok(())
}
