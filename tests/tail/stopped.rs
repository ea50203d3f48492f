//! A process that is stopped, as by a laptop's lid, for longer than a timeout, while the server goes
//! on.

use std::time::Duration;

use crate::parsed;
use crate::program::Tail;
use crate::server::Server;

/// In milliseconds. The process is stopped for twice as long.
const TIMEOUT: &str = "500";
const STOPPED: Duration = Duration::from_secs(1);

#[test]
fn what_came_while_the_process_was_stopped_is_read_before_silence_is_judged() {
    for _attempt in 0..3 {
        let server = Server::start();
        let tail = Tail::start(&[&server.url, "--json", "--idle-timeout", TIMEOUT, "-n", "2"]);
        let mut connection = server.accept_and_open();
        connection.send("data: 1\n\n");
        assert_eq!(tail.next_of("event")["data"], "1");
        tail.stop_for(STOPPED, || connection.send("data: 2\n\n"));
        // No state and no gap comes in between.
        assert_eq!(parsed(&tail.line())["data"], "2");
        tail.finish().assert_quiet_success();
    }
}

#[test]
fn a_head_that_came_while_the_process_was_stopped_opens_the_stream() {
    let server = Server::start();
    let tail = Tail::start(&[&server.url, "--json", "--response-timeout", TIMEOUT, "-n", "1"]);
    let mut connection = server.accept();
    assert_eq!(parsed(&tail.line())["state"], "connecting");
    tail.stop_for(STOPPED, || {
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    });
    assert_eq!(parsed(&tail.line())["state"], "open");
    assert_eq!(parsed(&tail.line())["data"], "1");
    tail.finish().assert_quiet_success();
}
