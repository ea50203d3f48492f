//! A server that the test drives connection by connection.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Long enough for any machine; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    pub(crate) url: String,
    connections: Receiver<Connection>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/stream", listener.local_addr().unwrap());
        let (accepted, connections) = channel();
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                if accepted.send(Connection::accept(socket)).is_err() {
                    return;
                }
            }
        });
        Self { url, connections }
    }

    /// Waits for the next connection and its request head.
    pub(crate) fn accept(&self) -> Connection {
        self.connections.recv_timeout(PATIENCE).expect("a connection")
    }

    /// Waits for the next connection and answers it with an open stream.
    pub(crate) fn accept_and_open(&self) -> Connection {
        let mut connection = self.accept();
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        connection
    }
}

/// A connection, which closes when it is dropped.
pub(crate) struct Connection {
    pub(crate) head: String,
    pub(crate) socket: TcpStream,
}

impl Connection {
    fn accept(mut socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match socket.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => break,
            }
        }
        Self { head: String::from_utf8(head).unwrap(), socket }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn respond(mut self, head: &str, body: &str) {
        let length = body.len();
        self.send(&format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}"));
    }

    pub(crate) fn request_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut values = lines.filter(|(n, _)| n.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim())
    }

    /// Returns once the client has closed its end.
    pub(crate) fn wait_for_hang_up(mut self) {
        let mut rest = Vec::new();
        // A reset counts as closing. A timeout does not.
        if let Err(error) = self.socket.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
    }
}

/// A URL at which no server listens.
pub(crate) fn refused_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}
