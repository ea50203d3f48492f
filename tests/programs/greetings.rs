//! Servers whose responses each begin with the same greeting, behind a proxy that cuts them.

use std::time::Duration;

use sseclient::testing::{Plan, Script, Server};
use sseclient::{Handle, ReconnectPolicy, State};

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
        // The greeting has no ID.
        let script = move || Script::open().bytes("data: hello\n\n").stall(silence).hang_up();
        let server = Server::in_memory(Plan::each(move |_, _| script()));
        let policy = ReconnectPolicy::daemon().jitter(0.0);
        let stream = server.client().stream(server.url()).last_event_id("7").reconnect_policy(policy);
        let handle = stream.build().unwrap();
        assert_eq!(waits(&handle, expected.len()).await, expected, "{silence:?}");
        handle.shutdown().await;
    }
}
