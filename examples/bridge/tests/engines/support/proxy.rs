//! [`Proxy`]: stands before an engine, and can hold requests back and swallow answers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// What becomes of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    Pass,
    /// They are lost, and requests still arrive.
    Swallow,
    /// Connections that have swallowed an answer break; others work.
    Break,
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    answers: Arc<watch::Sender<Answers>>,
    /// How many bytes of requests may pass.
    requests: Arc<Semaphore>,
    swallowed: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(engine_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = Arc::new(watch::channel(Answers::Pass).0);
        let swallowed = Arc::new(AtomicU64::new(0));
        let requests = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let (rules, allowed, count) = (Arc::clone(&answers), Arc::clone(&requests), Arc::clone(&swallowed));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Ends with an error when either side goes.
                tokio::spawn(forward(client, engine_port, Arc::clone(&allowed), rules.subscribe(), Arc::clone(&count)));
            }
        });
        Self { port, answers, requests, swallowed, task }
    }

    pub(crate) fn set(&self, answers: Answers) {
        self.answers.send_replace(answers);
    }

    /// Holds requests back when this many more bytes of them have passed.
    pub(crate) fn hold_after(&self, bytes: usize) {
        self.requests.forget_permits(Semaphore::MAX_PERMITS);
        self.requests.add_permits(bytes);
    }

    /// Lets all requests pass again.
    pub(crate) fn release(&self) {
        self.requests.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

impl Proxy {
    /// Returns how many answers it has swallowed.
    pub(crate) fn swallowed(&self) -> u64 {
        self.swallowed.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    client: TcpStream,
    engine_port: u16,
    allowed: Arc<Semaphore>,
    rules: watch::Receiver<Answers>,
    swallowed: Arc<AtomicU64>,
) -> io::Result<()> {
    let engine = TcpStream::connect(("127.0.0.1", engine_port)).await?;
    let (from_client, to_client) = client.into_split();
    let (from_engine, to_engine) = engine.into_split();
    tokio::select! {
        ended = request(from_client, to_engine, &allowed) => ended,
        ended = answer(from_engine, to_client, rules, &swallowed) => ended,
    }
}

async fn request(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, allowed: &Semaphore) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        allowed.acquire_many(read as u32).await.expect("it is never closed").forget();
        to.write_all(&buffer[..read]).await?;
    }
}

async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut rules: watch::Receiver<Answers>,
    swallowed: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let mut has_swallowed = false;
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read?,
            _ = rules.wait_for(|&rule| has_swallowed && rule == Answers::Break) => return Ok(()),
        };
        if read == 0 {
            return Ok(());
        }
        has_swallowed |= *rules.borrow() == Answers::Swallow;
        if has_swallowed {
            swallowed.fetch_add(1, Ordering::Relaxed);
        } else {
            to.write_all(&buffer[..read]).await?;
        }
    }
}
