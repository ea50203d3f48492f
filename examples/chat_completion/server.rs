//! A server that answers as chat servers do: the role first, then one token in each event, `[DONE]`
//! at the end. With the token `wrong` it refuses, and with `overloaded` it fails in the middle of its
//! answer.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &str = "A response that does not end: each event is a few lines of text and a blank one.";

/// Starts the server on a free loopback port and returns its URL.
pub async fn start() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1/chat/completions", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(answer(tcp));
        }
    });
    Ok(url)
}

async fn answer(tcp: TcpStream) -> io::Result<()> {
    let mut tcp = BufReader::new(tcp);
    let (mut line, mut length, mut token) = (String::new(), 0, String::new());
    while tcp.read_line(&mut line).await? > 0 && line != "\r\n" {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if let Some(value) = line.strip_prefix("authorization: Bearer ") {
            token = value.trim().to_owned();
        }
        line.clear();
    }
    let mut question = vec![0; length];
    tcp.read_exact(&mut question).await?;
    let error = |message: &str| serde_json::json!({ "error": { "message": message } });
    if token == "wrong" {
        let body = error("no such key").to_string();
        let head = format!("HTTP/1.1 401 Unauthorized\r\ncontent-length: {}\r\n\r\n", body.len());
        return tcp.write_all((head + &body).as_bytes()).await;
    }
    tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await?;
    let role = serde_json::json!({ "role": "assistant", "content": "" });
    let tokens = ANSWER.split_inclusive(' ').map(|word| serde_json::json!({ "content": word }));
    for (number, delta) in [role].into_iter().chain(tokens).enumerate() {
        let part = match (number, &*token) {
            (5, "overloaded") => error("overloaded"),
            _ => serde_json::json!({ "choices": [{ "delta": delta }], "error": null }),
        };
        tcp.write_all(format!("data: {part}\n\n").as_bytes()).await?;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    tcp.write_all(b"data: [DONE]\n\n").await
}
