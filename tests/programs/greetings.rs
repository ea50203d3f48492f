//! Servers whose responses each begin with the same greeting, behind a proxy that cuts them.

use std::time::Duration;

use http::Uri;
use sseclient::{Client, Handle, ReconnectPolicy, State};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::sleep;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// A chunk with a greeting that has no ID.
const GREETING: &str = "d\r\ndata: hello\n\n\r\n";

/// Greets, is silent for a while, and cuts the connection: no chunk says that the body is over.
async fn greet(mut server: DuplexStream, silence: Duration) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = server.read_u8().await else { return };
        head.push(byte);
    }
    let _ = server.write_all(format!("{HEAD}{GREETING}").as_bytes()).await;
    sleep(silence).await;
}

/// Returns the seconds of the first waits.
async fn waits(handle: &Handle, count: usize) -> Vec<u64> {
    let mut states = handle.state_changes();
    handle.connect();
    let mut waits = Vec::new();
    while waits.len() < count {
        if let State::Waiting { delay, .. } = states.recv().await.expect("the stream goes on") {
            waits.push(delay.as_secs());
        }
    }
    waits
}

/// Under paused time, so without sockets.
#[tokio::test(start_paused = true)]
async fn greetings_that_a_proxy_cuts_after_a_silence_do_not_slow_a_stream_down() {
    for (silence, expected) in [
        // A proxy's timeout. Shorter than what makes a response healthy, too.
        (30_000, [3; 8]),
        (5_000, [3; 8]),
        (1_100, [3; 8]),
        // The server breaks each time right after the greeting, as if the next event could not be
        // sent.
        (0, [3, 3, 3, 3, 60, 60, 60, 60]),
    ] {
        let silence = Duration::from_millis(silence);
        let connector = move |_: Uri| {
            let (client, server) = duplex(4096);
            tokio::spawn(greet(server, silence));
            std::future::ready(Ok::<_, std::io::Error>(client))
        };
        let client = Client::builder().connector(connector).build();
        let policy = ReconnectPolicy::daemon().jitter(0.0);
        let stream = client.stream("http://server.invalid/").last_event_id("7").reconnect_policy(policy);
        let handle = stream.build().unwrap();
        assert_eq!(waits(&handle, expected.len()).await, expected, "{silence:?}");
        handle.shutdown().await;
    }
}
