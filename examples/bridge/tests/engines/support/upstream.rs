//! [`Upstream`]: a server of numbered events.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Events that are sent at once, and the pause after them, until the server is told to hurry. So a
/// bridge always has a batch at hand, and a kill meets it in the middle.
const BURST: u64 = 60;
const PAUSE: Duration = Duration::from_millis(13);

pub(crate) struct Upstream {
    url: String,
    is_in_a_hurry: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Upstream {
    /// Serves the events 1 to `total`, to each request those after its `Last-Event-ID`.
    pub(crate) async fn start(total: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let is_in_a_hurry = Arc::new(AtomicBool::new(false));
        let hurry = Arc::clone(&is_in_a_hurry);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let hurry = Arc::clone(&hurry);
                // Ends with an error when the client goes.
                tokio::spawn(async move { drop(serve(socket, total, &hurry).await) });
            }
        });
        Self { url, is_in_a_hurry, task }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Pauses no more.
    pub(crate) fn hurry(&self) {
        self.is_in_a_hurry.store(true, Ordering::Relaxed);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns what the consumer prints for the event of this number.
fn printed(number: u64) -> String {
    format!("message\t{number}\tevent {number}")
}

/// Asserts that the source has the events 1 to `total`, once each, in order.
pub(crate) fn assert_each_once(entries: &[String], total: u64) {
    let first_wrong = entries.iter().zip(1..).find(|(entry, number)| **entry != printed(*number));
    assert_eq!(first_wrong, None, "the first entry that is not the next event");
    assert_eq!(entries.len() as u64, total);
}

async fn serve(mut socket: TcpStream, total: u64, is_in_a_hurry: &AtomicBool) -> io::Result<()> {
    let mut sent = last_event_id(&mut socket).await?;
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 100\n\n").await?;
    while sent < total {
        let end = total.min(sent + BURST);
        let burst: String = (sent + 1..=end).map(|id| format!("id: {id}\ndata: event {id}\n\n")).collect();
        socket.write_all(burst.as_bytes()).await?;
        sent = end;
        if !is_in_a_hurry.load(Ordering::Relaxed) {
            sleep(PAUSE).await;
        }
    }
    // Open until the client goes.
    socket.read_u8().await.map(drop)
}

async fn last_event_id(socket: &mut TcpStream) -> io::Result<u64> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(socket.read_u8().await?.into());
    }
    let line = head.to_ascii_lowercase();
    let id = line.lines().find_map(|line| line.strip_prefix("last-event-id: ")?.parse().ok());
    Ok(id.unwrap_or(0))
}
