//! Publishing through the publisher endpoint of a server.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Publishes over one kept connection, and waits for each answer.
pub(crate) struct Publisher {
    connection: BufReader<TcpStream>,
}

impl Publisher {
    pub(crate) async fn connect(server: SocketAddr) -> Self {
        let connection = TcpStream::connect(server).await.expect("the server listens");
        connection.set_nodelay(true).expect("a live socket");
        Self { connection: BufReader::new(connection) }
    }

    pub(crate) async fn publish(&mut self, event_type: &str, data: &str) {
        let request = format!(
            "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\
             X-EventSource-Event: {event_type}\r\nContent-Length: {}\r\n\r\n{data}",
            data.len()
        );
        self.connection.write_all(request.as_bytes()).await.expect("the server reads");
        self.accepted().await;
    }

    /// Reads one response: 201 or 202, with a content length.
    async fn accepted(&mut self) {
        let status = self.line().await;
        assert!(status.starts_with("HTTP/1.1 201") || status.starts_with("HTTP/1.1 202"), "{status}");
        let mut length = 0;
        loop {
            let line = self.line().await.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        self.connection.read_exact(&mut vec![0; length]).await.expect("the whole answer");
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.connection.read_line(&mut line).await.expect("the server answers");
        line.trim_end().to_owned()
    }
}
