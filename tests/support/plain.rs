//! A server on plain threads, for tests without a runtime.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The head of an open event stream, delimited by the connection's end.
pub const OPEN: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
pub const STOP: &str = "HTTP/1.1 204 No Content\r\n\r\n";
pub const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone";

/// How long a condition may take to hold before a test fails rather than hang.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A server that answers connections in turn, and the rest like the last. Its thread ends with the
/// process.
pub struct Server {
    pub url: String,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    connections: Vec<TcpStream>,
    hung_up: bool,
}

impl Server {
    /// If `stays` is set, connections stay open after the answer.
    pub fn answering(answers: &[&str], stays: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let open = Arc::<Mutex<Open>>::default();
        let left_open = Arc::clone(&open);
        thread::spawn(move || {
            for (number, tcp) in listener.incoming().enumerate() {
                let mut tcp = tcp.unwrap();
                read_head(&mut tcp);
                let mut open = left_open.lock().unwrap();
                let answer = if open.hung_up { STOP } else { &answers[number.min(answers.len() - 1)] };
                // The client may have closed already.
                let _ = tcp.write_all(answer.as_bytes());
                if stays {
                    open.connections.push(tcp);
                }
            }
        });
        Self { url, open }
    }

    /// Closes all connections. Clients that reconnect get a 204.
    pub fn hang_up(&self) {
        let mut open = self.open.lock().unwrap();
        open.hung_up = true;
        open.connections.drain(..).for_each(|tcp| drop(tcp.shutdown(Shutdown::Both)));
    }
}

fn read_head(tcp: &mut TcpStream) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && tcp.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
    }
}

/// Waits until `condition` holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LIMIT, "{what}");
        thread::yield_now();
    }
}
