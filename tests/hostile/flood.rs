//! A server that does not stop sending.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::until;

/// More bytes than any client should read from one connection.
const ENOUGH: usize = 1 << 30;

/// The bytes of a flood.
pub struct Script {
    /// Sent first, before the request.
    pub greeting: Vec<u8>,
    /// Returns whether these bytes are a complete request.
    pub is_asked: fn(&[u8]) -> bool,
    pub start: Vec<u8>,
    /// Sent without end, up to a GiB. If it is empty, the connection stays open.
    pub part: Vec<u8>,
}

impl Script {
    /// A script for HTTP/1.1 clients.
    #[allow(dead_code, reason = "not all speak it")]
    pub fn http(start: impl Into<Vec<u8>>, part: impl Into<Vec<u8>>) -> Self {
        let is_asked = |asked: &[u8]| asked.ends_with(b"\r\n\r\n");
        Self { greeting: Vec::new(), is_asked, start: start.into(), part: part.into() }
    }
}

/// The server. Each connection gets the same bytes, which are allocated before a test counts.
pub struct Flood {
    /// Host and port.
    pub address: String,
    /// The bytes that the system accepted on all connections.
    written: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Flood {
    pub async fn start(mut script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let written = Arc::<AtomicUsize>::default();
        let times = if script.part.is_empty() { 0 } else { (64 * 1024 / script.part.len()).max(1) };
        script.part = script.part.repeat(times);
        let (script, counted) = (Arc::new(script), Arc::clone(&written));
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (script, counted) = (Arc::clone(&script), Arc::clone(&counted));
                tokio::spawn(async move { drop(flood(tcp, &script, &counted).await) });
            }
        });
        Self { address, written, task }
    }

    /// Ends the server and waits for its tasks, so that a later measurement does not count what
    /// they free. Returns how many bytes the system accepted.
    pub async fn finish(self) -> usize {
        self.task.abort();
        let runtime = tokio::runtime::Handle::current();
        until("all tasks end", || runtime.metrics().num_alive_tasks() == 0).await;
        self.written.load(Relaxed)
    }
}

async fn flood(mut tcp: TcpStream, script: &Script, counted: &AtomicUsize) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    tcp.write_all(&script.greeting).await?;
    let mut asked = Vec::new();
    while !(script.is_asked)(&asked) {
        if tcp.read_buf(&mut asked).await? == 0 {
            return Ok(());
        }
    }
    tcp.write_all(&script.start).await?;
    let mut sent = 0;
    while !script.part.is_empty() && sent < ENOUGH {
        let taken = tcp.write(&script.part[sent % script.part.len()..]).await?;
        sent += taken;
        counted.fetch_add(taken, Relaxed);
    }
    // Stay until the client closes.
    while tcp.read_buf(&mut asked).await? > 0 {
        asked.clear();
    }
    Ok(())
}
