//! A server that does not stop sending.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::until;

/// No client should take so much of one connection.
const ENOUGH: usize = 1 << 30;

/// What a flood consists of.
pub struct Script {
    /// What is said first, unasked.
    pub greeting: Vec<u8>,
    /// Whether these bytes are all of a request.
    pub is_asked: fn(&[u8]) -> bool,
    pub start: Vec<u8>,
    /// What comes without end, up to a GiB; nothing if it is empty, and the connection stays.
    pub part: Vec<u8>,
}

impl Script {
    /// For who asks in HTTP/1.1.
    #[allow(dead_code, reason = "not all speak it")]
    pub fn http(start: impl Into<Vec<u8>>, part: impl Into<Vec<u8>>) -> Self {
        let is_asked = |asked: &[u8]| asked.ends_with(b"\r\n\r\n");
        Self { greeting: Vec::new(), is_asked, start: start.into(), part: part.into() }
    }
}

/// The server: each connection gets the same. What it sends is there before anybody counts.
pub struct Flood {
    /// Host and port.
    pub address: String,
    /// Bytes that the system took, of all connections.
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

    /// Ends it, and waits for all tasks but the test itself, so that what they give back is not counted with what is
    /// counted next. Tells how many bytes the system took.
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
    // Until the client goes.
    while tcp.read_buf(&mut asked).await? > 0 {
        asked.clear();
    }
    Ok(())
}
