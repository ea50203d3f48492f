//! A server on a thread of its own, for tests without a runtime.

use std::future::pending;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::sync::watch;

use super::Connection;

/// The head of an open event stream, delimited by the connection's end.
pub const OPEN: &str = super::OPEN;
pub const STOP: &str = "HTTP/1.1 204 No Content\r\n\r\n";
pub const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone";

/// How long a condition may take to hold before a test fails rather than hang.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A server that answers connections in turn, and the rest like the last. Its thread ends with the
/// process.
pub struct Server {
    pub url: String,
    hung_up: watch::Sender<bool>,
}

impl Server {
    /// If `stays` is set, connections stay open after the answer.
    pub fn answering(answers: &[&str], stays: bool) -> Self {
        let answers: Arc<Vec<String>> = Arc::new(answers.iter().map(|answer| (*answer).to_owned()).collect());
        let (hung_up, watched) = watch::channel(false);
        let script = move |number: usize, mut connection: Connection| {
            let (answers, mut hung_up) = (Arc::clone(&answers), watched.clone());
            async move {
                let is_over = *hung_up.borrow();
                connection.send(if is_over { STOP } else { &answers[number.min(answers.len() - 1)] }).await;
                if stays {
                    // It is an error when the test is over.
                    let _ = hung_up.wait_for(|hung_up| *hung_up).await;
                }
            }
        };
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                let server = super::Server::hearing(script).await;
                tell.send(server.url.clone()).unwrap();
                pending::<()>().await;
            });
        });
        Self { url: told.recv().unwrap(), hung_up }
    }

    /// Closes all connections. Clients that reconnect get a 204.
    pub fn hang_up(&self) {
        self.hung_up.send_replace(true);
    }
}

/// A blocking client with the transport of this process.
#[cfg(feature = "blocking")]
pub fn client() -> sseclient::blocking::Client {
    sseclient::blocking::Client::with(super::client()).unwrap()
}

/// Waits until `condition` holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LIMIT, "{what}");
        thread::yield_now();
    }
}
