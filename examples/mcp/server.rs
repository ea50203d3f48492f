//! A server of the Model Context Protocol with three answers: JSON, a stream that ends with the
//! answer, and a stream of messages that is cut once and then goes on where it was.

use std::io;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const HELLO: &str = concat!(
    r#"{"jsonrpc":"2.0","id":1,"result":"#,
    r#"{"protocolVersion":"2025-11-25","serverInfo":{"name":"adder"}}}"#
);

/// The priming event, a notification and the answer.
const SUM: &str = concat!(
    "id: a-0\ndata:\n\n",
    "id: a-1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n",
    "id: a-2\ndata: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"5\"}]}}\n\n"
);

/// The messages of the stream that the client listens to, each in a response of its own.
const MESSAGES: [(&str, &str); 2] = [("", "one"), ("m-one", "two")];

/// Starts the server on a free loopback port and returns its URL.
pub async fn start() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(answer(tcp));
        }
    });
    Ok(url)
}

async fn answer(tcp: TcpStream) -> io::Result<()> {
    let mut tcp = BufReader::new(tcp);
    let mut head = String::new();
    while tcp.read_line(&mut head).await? > 2 {}
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let mut body = vec![0; header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
    tcp.read_exact(&mut body).await?;
    let stream = |events: &str| format!("200 OK\r\ncontent-type: text/event-stream\r\n\r\n{events}");
    let is_notification = serde_json::from_slice::<Value>(&body).is_ok_and(|message| message["id"].is_null());
    let rest = match (header("mcp-session-id"), head.split(' ').next()) {
        (None, Some("POST")) => {
            format!("200 OK\r\nmcp-session-id: s-1\r\ncontent-type: application/json\r\n\r\n{HELLO}")
        }
        (None, _) => "400 Bad Request\r\n\r\n".to_owned(),
        (Some(_), Some("POST")) if is_notification => "202 Accepted\r\n\r\n".to_owned(),
        (Some(_), Some("POST")) => stream(SUM),
        (Some(_), Some("DELETE")) => "200 OK\r\n\r\n".to_owned(),
        (Some(_), _) => {
            let after = header("last-event-id").unwrap_or_default();
            match MESSAGES.iter().find(|(before, _)| *before == after) {
                Some((_, text)) => stream(&format!("retry: 100\nid: m-{text}\ndata: {}\n\n", log(text))),
                None => "204 No Content\r\n\r\n".to_owned(),
            }
        }
    };
    tcp.write_all(format!("HTTP/1.1 {}", rest.replacen("\r\n", "\r\nconnection: close\r\n", 1)).as_bytes()).await
}

/// Returns a notification.
fn log(text: &str) -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": text } })
}
