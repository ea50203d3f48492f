//! Asks a chat server a question and prints the tokens as they arrive:
//! `cargo run --example chat_completion --features json -- [URL [TOKEN]]`.

#[path = "chat_completion/server.rs"]
mod server;

use std::error::Error;
use std::io::Write as _;

use serde_json::{Value, json};
use sseclient::{Client, Delivery};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = match args.next() {
        Some(url) => url,
        None => server::start().await?,
    };
    let question = json!({
        "model": "any",
        "stream": true,
        "messages": [{ "role": "user", "content": "What is an event stream?" }],
    });
    // A request with a body is a POST.
    let mut request = Client::new().stream(url).json(&question);
    if let Some(token) = args.next() {
        request = request.bearer_auth(token);
    }
    // A POST is sent once: a broken answer cannot be resumed, and a second request is billed again.
    let mut answer = request.open("message").await?;
    while let Some(delivery) = answer.recv().await {
        let Delivery::Event(event) = delivery else { return Err("a part of the answer is missing".into()) };
        if event.data() == "[DONE]" {
            println!();
            return Ok(());
        }
        let part: Value = serde_json::from_str(event.data())?;
        print!("{}", part["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
        std::io::stdout().flush()?;
    }
    // The stream ended without `[DONE]`. The subscription knows why.
    let reason = answer.close_reason();
    Err(reason.map_or_else(String::new, |reason| reason.to_string()).into())
}
