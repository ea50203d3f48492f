//! A scripted server, whose answers each test writes byte by byte.

use std::future::Future;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The head of an open event stream, delimited by the connection's end.
pub const OPEN: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// A server that passes each connection to a script, which answers its requests.
pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

pub struct Connection {
    tcp: TcpStream,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub async fn start<Fut>(script: impl Fn(Connection) -> Fut + Send + 'static) -> Self
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/stream", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(script(Connection { tcp, requests: Arc::clone(&seen) }));
            }
        });
        Self { url, requests }
    }

    /// A server that answers the first request on each connection with this text, and stays.
    pub async fn staying(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self::start(move |mut connection| {
            let answer = answer.clone();
            async move {
                connection.request().await;
                connection.send(answer.as_bytes()).await;
                connection.request().await;
            }
        })
        .await
    }

    /// The heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The value of a header in each request.
    pub fn headers(&self, name: &str) -> Vec<Option<String>> {
        let of = |request: &String| {
            let mut fields = request.lines().filter_map(|line| line.split_once(": "));
            fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        self.requests().iter().map(of).collect()
    }
}

impl Connection {
    /// Waits for the head of the next request. Returns false if the client closes instead.
    pub async fn request(&mut self) -> bool {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = self.tcp.read_u8().await else { return false };
            head.push(byte);
        }
        self.requests.lock().unwrap().push(String::from_utf8(head).unwrap());
        true
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        // The client may have closed.
        let _ = self.tcp.write_all(bytes).await;
    }
}
