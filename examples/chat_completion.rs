//! Asks a language model: `cargo run --example chat_completion --features json -- [URL [TOKEN]]`.

#[path = "chat_completion/server.rs"]
mod server;

use std::error::Error;
use std::io::{Write as _, stdout};
use std::time::Duration;

use serde_json::{Value, json};
use sseclient::{Delivery, EventStream};

#[tokio::main]
async fn main() -> Result<(), String> {
    let (url, token) = (std::env::args().nth(1).unwrap_or_default(), std::env::args().nth(2).unwrap_or_default());
    tokio::select! {
        answered = ask(url, token) => answered.map_err(|error| with_causes(&*error)),
        _ = tokio::signal::ctrl_c() => Ok(()), // drops the answer: its connection closes
    }
}

async fn ask(url: String, token: String) -> Result<(), Box<dyn Error>> {
    let url = if url.is_empty() { server::start().await? } else { url };
    let question = json!({ "model": "any", "stream": true, "messages": [{ "role": "user", "content": "Why SSE?" }] });
    let request = reqwest::Client::new().post(url).bearer_auth(token).header("accept", "text/event-stream");
    let sending = request.header("content-type", "application/json").body(question.to_string()).send();
    let response = tokio::time::timeout(Duration::from_secs(60), sending).await.map_err(|_| "no response")??;
    // A server says in its body why it refuses. A proxy in front of it may send something else.
    let answer = EventStream::from_response(response.into()).await.map_err(|refusal| {
        let body = refusal.json::<Value>().unwrap_or_default();
        body["error"]["message"].as_str().map_or_else(|| refusal.to_string(), |why| format!("{refusal}: {why}"))
    })?;
    let answer = answer.first_event_timeout(Duration::from_secs(60)).idle_timeout(Duration::from_secs(20));
    let mut parts = answer.end_mark("[DONE]").decode_as::<Value>();
    while let Some(part) = parts.recv().await {
        let Delivery::Event(part) = part? else { return Err("a part of the answer is too large".into()) };
        let part = part.into_value()?; // `part?`, above, ends an answer that was cut off, or took too long
        // The status was sent long before, so a late failure is an event like any other.
        if let error @ (Value::Object(_) | Value::String(_)) = &part["error"] {
            return Err(error["message"].as_str().or(error.as_str()).unwrap_or("a failure without a message").into());
        }
        print!("{}", part["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
        stdout().flush()?;
    }
    Ok(stdout().write_all(b"\n")?)
}

fn with_causes(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", with_causes(cause)))
}
