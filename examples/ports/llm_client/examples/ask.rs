//! Asks a model: `cargo run --example ask -- [QUESTION]`, against a small server inside itself; or
//! a real one, with `LLM_URL`, `LLM_KEY`, `LLM_MODEL` and, for Anthropic's, `LLM_API=anthropic`.

#[path = "../../../chat_completion/server.rs"]
mod server;

use std::env::{args, var};
use std::error::Error;
use std::io::{Write as _, stdout};

use llm_client::{Api, Chunk, LlmClient, over_reqwest};
use reqwest::redirect::Policy;

#[tokio::main]
async fn main() -> Result<(), String> {
    tokio::select! {
        answered = ask() => answered.map_err(|error| with_causes(&*error)),
        _ = tokio::signal::ctrl_c() => Ok(()), // drops the answer: its connection closes
    }
}

async fn ask() -> Result<(), Box<dyn Error>> {
    let url = match var("LLM_URL") {
        Ok(url) => url,
        Err(_) => server::start().await?,
    };
    let setting = |name| var(name).unwrap_or_default();
    let api = if setting("LLM_API") == "anthropic" { Api::Anthropic } else { Api::OpenAi };
    let http = reqwest::Client::builder().redirect(Policy::none()).build()?;
    let client = LlmClient::new(over_reqwest(http), api, url.parse()?, &setting("LLM_KEY"), setting("LLM_MODEL"))?;
    let mut answer = client.complete(&args().nth(1).unwrap_or_else(|| "Why SSE?".to_owned())).await?;
    while let Some(chunk) = answer.recv().await {
        match chunk? {
            Chunk::Text(text) => print!("{text}"),
            Chunk::End { stop_reason, usage } => println!("\n{stop_reason:?}, {usage:?}"),
            other => println!("{other:?}"),
        }
        stdout().flush()?;
    }
    println!("first token after {:?}", answer.time_to_first_token().unwrap_or_default());
    Ok(())
}

fn with_causes(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", with_causes(cause)))
}
