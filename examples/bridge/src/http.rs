//! Serves the state: `/health`, `/metrics` and `/`. One request on each connection, which is all
//! that monitors and browsers need here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::health::Health;
use crate::status::Status;
use crate::{metrics, page};

/// How many connections may be open. Further ones wait.
const MAX_CONNECTIONS: usize = 32;

/// How long one may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The largest head of a request.
const MAX_HEAD: usize = 8 * 1024;

/// The pause after a failure to accept: the process may have no files left.
const PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// Runs until it is dropped.
pub async fn serve(listener: TcpListener, status: Arc<Status>) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(permit) = Arc::clone(&connections).acquire_owned().await {
        match listener.accept().await {
            Ok((socket, _)) => {
                let status = Arc::clone(&status);
                tokio::spawn(async move {
                    // Ends with an error when the client goes, or sends no request.
                    let _ = timeout(TIMEOUT, answer(socket, &status)).await;
                    drop(permit);
                });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn answer(mut socket: TcpStream, status: &Status) -> io::Result<()> {
    let head = read_head(&mut socket).await?;
    let mut request_line = head.lines().next().unwrap_or_default().split(' ');
    let (method, target) = (request_line.next().unwrap_or_default(), request_line.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let (code, content_type, body) = match method {
        "GET" | "HEAD" => response(path, status),
        _ => ("405 Method Not Allowed", TEXT, "only GET and HEAD\n".to_owned()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {code}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await?;
    if method != "HEAD" {
        socket.write_all(body.as_bytes()).await?;
    }
    socket.shutdown().await
}

/// Returns status, content type and body.
fn response(path: &str, status: &Status) -> (&'static str, &'static str, String) {
    let now = status.now();
    match path {
        "/" => ("200 OK", HTML, page::page(&now)),
        "/metrics" => ("200 OK", METRICS, metrics::metrics(&now)),
        "/health" => {
            let Health { is_good, state, reason } = Health::of(&now);
            let code = if is_good { "200 OK" } else { "503 Service Unavailable" };
            (code, TEXT, format!("{state}: {reason}\n"))
        }
        _ => ("404 Not Found", TEXT, "there are /, /health and /metrics\n".to_owned()),
    }
}

async fn read_head(socket: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() > MAX_HEAD || socket.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
