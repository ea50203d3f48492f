//! Thousands of streams of our client in one process, with few events in all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sseclient::{Client, Filter, Subscription};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::ours;

/// The streams, and the number of events that they have received together.
pub struct Streams {
    readers: Vec<JoinHandle<()>>,
    received: Arc<AtomicUsize>,
}

impl Streams {
    /// Opens `count` streams at `url`, one after the other, with a handle and a reading task each.
    pub async fn open(url: &str, count: usize) -> Self {
        let mut streams = Self { readers: Vec::with_capacity(count), received: Arc::default() };
        let client = Client::new();
        for _ in 0..count {
            let handle = client.stream(url).build().expect("the URL from e2e");
            let subscription = handle.subscribe(Filter::all());
            handle.connect();
            handle.opened().await.expect("the server answers");
            streams.readers.push(tokio::spawn(read(subscription, Arc::clone(&streams.received))));
        }
        streams
    }

    /// Returns how many events have come.
    ///
    /// # Panics
    ///
    /// Panics if an event was lost, repeated or out of order, or if a stream has ended.
    pub fn received(&self) -> usize {
        let ended = self.readers.iter().filter(|reader| reader.is_finished()).count();
        assert!(ended == 0, "{ended} readers have failed");
        self.received.load(Ordering::Relaxed)
    }
}

/// Reads one stream, on which the server sends 0, 1, 2 …
async fn read(mut subscription: Subscription, received: Arc<AtomicUsize>) {
    for expected in 0_usize.. {
        let event = ours::next(&mut subscription).await.expect("the stream stays open");
        assert_eq!(event.data(), expected.to_string(), "lost, twice, or out of order");
        received.fetch_add(1, Ordering::Relaxed);
    }
}

/// Makes the server send `events` over the streams at `url`, one each `every` microseconds. Returns
/// how many events the server says it has sent.
pub async fn drive(url: &str, events: usize, every: usize) -> usize {
    let address = url.trim_start_matches("http://").split('/').next().expect("an address");
    let mut socket = TcpStream::connect(address).await.expect("the server listens");
    let request = format!("GET /soak/drive/{events}/{every} HTTP/1.1\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("the server answers");
    let sent = answer.rsplit("\r\n").next().and_then(|count| count.parse().ok());
    sent.expect("a number comes last")
}
