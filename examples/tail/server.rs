//! A small server with several event types, IDs, comments and a `retry`.
//!
//! It hangs up every few seconds, in the middle of an event, so that resumption can be seen.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{interval, timeout};

/// The time between two events.
const INTERVAL: Duration = Duration::from_millis(250);

/// How many whole events a connection gets before the server hangs up.
const EVENTS_PER_CONNECTION: u64 = 12;

/// Limits on the request head.
const MAX_HEAD: usize = 16 * 1024;
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

const RESPONSE_HEAD: &str = "HTTP/1.1 200 OK\r\n\
    Content-Type: text/event-stream\r\n\
    Cache-Control: no-store\r\n\
    Transfer-Encoding: chunked\r\n\r\n";

/// Starts the server on a free loopback port and returns its URL. It runs as long as the runtime.
pub(crate) async fn start() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // Every connection ends with an error or a hang-up.
            tokio::spawn(async move { drop(serve(socket).await) });
        }
    });
    Ok(url)
}

async fn serve(mut socket: TcpStream) -> io::Result<()> {
    let head = timeout(HEAD_TIMEOUT, read_head(&mut socket)).await??;
    let resumed = last_event_id(&head);
    let greeting = match resumed {
        Some(id) => format!(": resumed after {id}\n"),
        None => ": from the beginning\n".to_owned(),
    };
    socket.write_all(RESPONSE_HEAD.as_bytes()).await?;
    chunk(&mut socket, &format!("{greeting}retry: 1000\n\n")).await?;

    let first = resumed.unwrap_or(0).saturating_add(1);
    let end = first.saturating_add(EVENTS_PER_CONNECTION);
    let mut ticks = interval(INTERVAL);
    for id in first..end {
        ticks.tick().await;
        chunk(&mut socket, &event(id)).await?;
    }
    ticks.tick().await;
    // An event without its blank line. The client drops it and gets the whole event after it
    // resumes.
    let unfinished = event(end);
    chunk(&mut socket, unfinished.trim_end()).await
}

/// Returns the event with this ID, always the same one.
fn event(id: u64) -> String {
    match id % 6 {
        1 => format!("id: {id}\ndata: message number {id}\n\n"),
        2 | 4 => {
            let price = 100 + id * 37 % 23;
            format!("event: price\nid: {id}\ndata: {{\"symbol\":\"SSE\",\"price\":{price}}}\n\n")
        }
        3 => format!("event: weather\nid: {id}\ndata: wind: {} knots\ndata: sky: clear\n\n", id % 30),
        5 => format!("event: message\nid: {id}\ndata: all is well\n\n"),
        _ => format!(": still here\n\nevent: update\nid: {id}\ndata: every sixth is an update\n\n"),
    }
}

/// Sends the text as one HTTP chunk, in one write.
async fn chunk(socket: &mut TcpStream, text: &str) -> io::Result<()> {
    socket.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await
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

/// Returns the last event ID of the request, if this server could have sent it.
fn last_event_id(head: &str) -> Option<u64> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut ids = lines.filter(|(name, _)| name.eq_ignore_ascii_case("last-event-id"));
    ids.next().and_then(|(_, id)| id.trim().parse().ok())
}
