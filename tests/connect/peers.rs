//! A server that tells each client its address.

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::support::OPEN;

/// Answers each client with one event, `to ADDRESS`, and stays. Returns the URL.
pub async fn naming_peers() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/stream", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((tcp, peer)) = listener.accept().await {
            tokio::spawn(async move {
                let mut lines = BufReader::new(tcp).lines();
                while lines.next_line().await?.is_some_and(|line| !line.is_empty()) {}
                let mut tcp = lines.into_inner();
                tcp.write_all(format!("{OPEN}data: to {}\n\n", peer.ip()).as_bytes()).await?;
                tcp.fill_buf().await.map(drop)
            });
        }
    });
    url
}
