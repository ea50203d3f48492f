//! Interrupts, and programs that read the output slowly or not at all.

use std::io::{BufRead, Read, Write};
use std::time::Duration;

use crate::parsed;
use crate::program::{self, Running, Tail};
use crate::server::Server;

#[cfg(unix)]
#[test]
fn an_interrupt_hangs_up_and_ends_well() {
    let server = Server::start();
    let tail = Tail::start(&[&server.url, "--json"]);
    let mut connection = server.accept_and_open();
    connection.send("data: x\n\n");
    tail.next_of("event");
    tail.interrupt();
    connection.wait_for_hang_up();
    let finished = tail.finish();
    finished.assert_quiet_success();
    assert_eq!(parsed(finished.stdout.last().unwrap())["state"], "closed");
}

#[cfg(unix)]
#[test]
fn an_interrupt_works_while_the_output_is_not_read() {
    let server = Server::start();
    let mut child = Running::start(&[&server.url, "--json"]);
    let mut connection = server.accept_and_open();
    // The pipe fills up, then the sockets, until the server cannot write any more.
    connection.socket.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let event = format!("data: {}\n\n", "x".repeat(60_000));
    while connection.socket.write_all(event.as_bytes()).is_ok() {}
    program::interrupt(&child.0);
    // The pipe stays open and unread until the program has ended.
    let unread = child.0.stdout.take();
    assert_eq!(child.exit_status(), Some(0));
    drop(unread);
}

#[test]
fn a_slow_reader_loses_nothing() {
    // Twice the capacity of the program's queue, and more than fits into the sockets.
    const EVENTS: u64 = 10_000;
    let server = Server::start();
    let limit = EVENTS.to_string();
    let mut child = Running::start(&[&server.url, "--json", "-n", &limit]);
    let mut connection = server.accept_and_open();
    let (sent, progress) = std::sync::mpsc::channel();
    let sender = std::thread::spawn(move || {
        for id in 1..=EVENTS {
            connection.send(&format!("id: {id}\ndata: {:2000}\n\n", ""));
            sent.send(id).unwrap();
        }
        connection
    });
    // The test does not read until the server is stuck.
    let mut before = 0;
    while let Ok(id) = progress.recv_timeout(Duration::from_millis(300)) {
        before = id;
    }
    assert!(before < EVENTS, "the server was never stuck");
    let mut stdout = child.stdout();
    let mut expected = 1;
    let mut line = String::new();
    while stdout.read_line(&mut line).unwrap() > 0 {
        // The test compares text, because parsing would take longer than everything else.
        assert!(!line.contains(r#""type":"gap""#), "{line}");
        if line.contains(r#""type":"event""#) {
            assert!(line.contains(&format!(r#""own_id":"{expected}""#)), "{expected}: {line}");
            expected += 1;
        }
        line.clear();
    }
    assert_eq!(expected, EVENTS + 1);
    assert_eq!(child.exit_status(), Some(0));
    drop(sender.join().unwrap());
}

#[test]
fn a_reader_that_goes_away_is_a_quiet_end() {
    for mode in [&["--json"][..], &[]] {
        let server = Server::start();
        let mut child = Running::start(&[&[server.url.as_str()], mode].concat());
        let mut connection = server.accept_and_open();
        connection.send("data: 1\n\n");
        let mut stdout = child.stdout();
        stdout.read_line(&mut String::new()).unwrap();
        drop(stdout);
        // A write may still succeed while another test starts a program, which holds a copy of the
        // pipe's end.
        let more = |_: &u32| connection.socket.write_all(b"data: 2\n\n").is_ok();
        assert_ne!((0..10_000_000).take_while(more).count(), 10_000_000, "{mode:?}");
        assert_eq!(child.exit_status(), Some(0), "{mode:?}");
        let mut stderr = String::new();
        child.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert!(!stderr.contains("panic") && !stderr.contains("tail:"), "{stderr}");
    }
}

#[test]
fn a_reader_of_standard_error_that_goes_away_is_no_trouble() {
    let server = Server::start();
    let mut child = Running::start(&[&server.url, "-n", "1"]);
    drop(child.0.stderr.take());
    server.accept_and_open().send("data: 1\n\n");
    assert_eq!(child.exit_status(), Some(0));
}
