//! A runtime that is blocked for longer than a timeout, while what the server has sent waits in the
//! socket.

use std::io::Read as _;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use sseclient::{Client, Filter};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::support::{LIMIT, OPEN, short, within};

/// Shorter than the time for which the runtime is blocked.
const TIMEOUT: Duration = Duration::from_millis(300);

/// What the server sends while the client is blocked.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Late {
    /// The head, and the first event.
    Head,
    /// The second event of an open response.
    Event,
}

/// The test's side of a server on a thread of its own: the client's is blocked.
struct Server {
    url: String,
    /// The server has read the request, and sent what comes at once.
    ready: Receiver<()>,
    go_on: oneshot::Sender<()>,
    /// The rest has left the server.
    sent: Receiver<()>,
}

/// The server's side.
struct Cues {
    ready: Sender<()>,
    go_on: oneshot::Receiver<()>,
    sent: Sender<()>,
}

impl Server {
    fn start(serve: impl FnOnce(std::net::TcpStream, Cues) + Send + 'static) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let ((ready, is_ready), (go_on, told), (sent, is_sent)) = (channel(), oneshot::channel(), channel());
        let cues = Cues { ready, go_on: told, sent };
        std::thread::spawn(move || serve(listener.accept().unwrap().0, cues));
        Self { url, ready: is_ready, go_on, sent: is_sent }
    }

    /// Blocks the thread until the rest has been sent, and for longer than the timeout.
    fn block(self) {
        let begun = Instant::now();
        self.go_on.send(()).unwrap();
        self.sent.recv_timeout(LIMIT).unwrap();
        // The server keeps its end until the process is over: nothing comes.
        let _ = self.sent.recv_timeout(2 * TIMEOUT);
        assert!(begun.elapsed() > TIMEOUT);
    }
}

fn http1(late: Late) -> Server {
    use std::io::Write as _;
    Server::start(move |mut tcp, cues| {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            tcp.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let first = format!("{OPEN}data: first\n\n");
        if late == Late::Event {
            tcp.write_all(first.as_bytes()).unwrap();
        }
        cues.ready.send(()).unwrap();
        cues.go_on.blocking_recv().unwrap();
        if late == Late::Head {
            tcp.write_all(first.as_bytes()).unwrap();
        }
        tcp.write_all(b"data: second\n\n").unwrap();
        cues.sent.send(()).unwrap();
        let _ = tcp.read(&mut [0]);
        drop(cues.sent);
    })
}

#[cfg(feature = "http2")]
fn http2(late: Late) -> Server {
    Server::start(move |tcp, cues| {
        current_thread().block_on(async {
            tcp.set_nonblocking(true).unwrap();
            let tcp = tokio::net::TcpStream::from_std(tcp).unwrap();
            let mut connection = h2::server::handshake(tcp).await.unwrap();
            let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
            // The connection moves the bytes while it accepts further requests.
            let driver = tokio::spawn(async move { while connection.accept().await.is_some() {} });
            let mut open = || {
                let head = http::Response::builder().header("content-type", "text/event-stream").body(()).unwrap();
                let mut body = respond.send_response(head, false).unwrap();
                body.send_data("data: first\n\n".into(), false).unwrap();
                body
            };
            let opened = (late == Late::Event).then(&mut open);
            cues.ready.send(()).unwrap();
            cues.go_on.await.unwrap();
            let mut body = opened.unwrap_or_else(open);
            body.send_data("data: second\n\n".into(), false).unwrap();
            // The driver has written what there was once it is polled to the end.
            for _turn in 0..100 {
                tokio::task::yield_now().await;
            }
            cues.sent.send(()).unwrap();
            driver.await.unwrap();
            drop(cues.sent);
        });
    })
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn one_worker() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Follows a stream on a runtime that is blocked while the rest of the response comes.
async fn follow(what: &str, late: Late, server: Server, client: Client) {
    let stream = client.stream(&server.url).response_timeout(TIMEOUT).idle_timeout(TIMEOUT);
    let handle = stream.build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    if late == Late::Event {
        assert_eq!(short(&mut events).await, "first", "{what}");
    }
    while server.ready.try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    // In a task: a future of `block_on` has a thread of its own.
    within(tokio::spawn(async move { server.block() })).await.unwrap();
    if late == Late::Head {
        assert_eq!(short(&mut events).await, "first", "{what}");
    }
    assert_eq!(short(&mut events).await, "second", "{what}");
    assert!(handle.stats().failures.is_empty(), "{what}: {:?}", handle.stats().failures);
    drop(events);
    within(handle.shutdown()).await;
}

#[test]
fn what_came_while_the_runtime_was_blocked_is_read_before_silence_is_judged() {
    for (name, runtime) in [("one thread", current_thread()), ("one worker", one_worker())] {
        for late in [Late::Head, Late::Event] {
            let what = format!("HTTP/1.1, {name}, {late:?}");
            runtime.block_on(follow(&what, late, http1(late), Client::new()));
        }
    }
}

#[cfg(feature = "http2")]
#[test]
fn what_came_over_http2_while_the_runtime_was_blocked_is_read() {
    for (name, runtime) in [("one thread", current_thread()), ("one worker", one_worker())] {
        for late in [Late::Head, Late::Event] {
            let what = format!("HTTP/2, {name}, {late:?}");
            let client = Client::builder().http2_prior_knowledge(true).build();
            runtime.block_on(follow(&what, late, http2(late), client));
        }
    }
}
