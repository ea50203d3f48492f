//! The server of the events that are measured.

use std::io;
use std::net::SocketAddr;
use std::thread;

use bridge::sources::BATCH;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const EVENT_TYPE: &str = "price";

/// Returns the data of an event.
pub(crate) fn data(number: u64) -> String {
    format!("{{\"symbol\":\"SSE\",\"price\":{number:08},\"note\":\"{}\"}}", "x".repeat(64))
}

/// Serves on a thread of its own: `/100` has 100 events and then stays open.
pub(crate) fn serve() -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            loop {
                let (socket, _) = listener.accept().await?;
                // Ends with an error when the bridge goes.
                tokio::spawn(send_events(socket));
            }
            #[expect(unreachable_code, reason = "gives the block its type")]
            io::Result::Ok(())
        })
    });
    Ok(address)
}

async fn send_events(mut socket: TcpStream) -> io::Result<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(socket.read_u8().await?.into());
    }
    let count = head.split(['/', ' ']).find_map(|part| part.parse().ok()).unwrap_or(0);
    let line = |number| format!("event: {EVENT_TYPE}\nid: {number}\ndata: {}\n\n", data(number));
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await?;
    for first in (1..=count).step_by(BATCH) {
        let events: String = (first..=count.min(first + BATCH as u64 - 1)).map(line).collect();
        socket.write_all(events.as_bytes()).await?;
    }
    socket.read_u8().await.map(drop)
}
