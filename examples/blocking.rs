//! Reads a stream without a runtime: `cargo run --features blocking --example blocking`.
//!
//! It starts a server of its own, so it needs no network.

use std::io::{BufRead, BufReader, Error, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use sseclient::Filter;
use sseclient::blocking::Client;

/// Sends three events to each of two connections, then answers 204: there is nothing more.
fn serve(listener: &TcpListener) -> Result<(), Error> {
    for connection in 0..3 {
        let (tcp, _) = listener.accept()?;
        let mut head = BufReader::new(&tcp).lines();
        while head.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        if connection == 2 {
            return (&tcp).write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
        }
        (&tcp).write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")?;
        for id in 3 * connection + 1..=3 * connection + 3 {
            write!(&tcp, "id: {id}\nevent: update\ndata: number {id}\n\n")?;
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    let server = thread::spawn(move || serve(&listener));
    let client = Client::new()?;
    let stream = client.stream(url).reconnection_time(Duration::from_millis(10));
    for event in client.open(stream, Filter::all())? {
        let event = event?;
        println!("{} {:?}", event.last_event_id(), event.data());
    }
    Ok(server.join().expect("the server does not panic")?)
}
