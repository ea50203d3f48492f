//! The `tail` example from the outside: its options, its output, its exit status.

mod program;
mod server;
#[cfg(feature = "tls")]
mod tls;

use std::io::{BufRead, Read, Write};
use std::time::Duration;

use serde_json::{Value, json};

use crate::program::{Finished, Running, Tail, command};
use crate::server::{Server, refused_url};

/// Runs `tail` against a server that answers the first connection with `text` and closes it.
fn answered_once(args: &[&str], text: &str) -> (Server, Tail) {
    let server = Server::start();
    let tail = Tail::start(&[&[server.url.as_str()], args].concat());
    server.accept_and_open().send(text);
    (server, tail)
}

/// The output of `tail` for one raw HTTP response.
fn after_response(args: &[&str], head: &str, body: &str) -> Finished {
    let server = Server::start();
    let tail = Tail::start(&[&[server.url.as_str()], args].concat());
    server.accept().respond(head, body);
    tail.finish()
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[test]
fn json_lines_have_the_documented_keys_in_the_documented_order() {
    let text = "event: update\nid: 7\nretry: 2500\ndata: one\ndata: two\n\ndata: \u{1b}\u{e9}\n\n\
                : hi\nid\ndata:\n\n";
    let (_server, tail) = answered_once(&["--json", "--comments", "-n", "3"], text);
    let finished = tail.finish();
    finished.assert_quiet_success();
    assert_eq!(
        finished.stdout,
        [
            r#"{"type":"state","state":"connecting","attempt":1}"#,
            r#"{"type":"state","state":"open","attempt":1,"status":200}"#,
            r#"{"type":"event","event":"update","data":"one\ntwo","id":"7","own_id":"7","retry":2500}"#,
            "{\"type\":\"event\",\"event\":\"message\",\"data\":\"\\u001b\u{e9}\",\"id\":\"7\",\"own_id\":null,\"retry\":null}",
            r#"{"type":"comment","text":" hi"}"#,
            r#"{"type":"event","event":"message","data":"","id":"","own_id":"","retry":null}"#,
        ]
    );
}

#[test]
fn comments_are_printed_only_when_asked_for() {
    let (_server, tail) = answered_once(&["--json", "-n", "1"], ": hi\n\ndata: x\n\n");
    let finished = tail.finish();
    assert!(finished.stdout.iter().all(|line| parsed(line)["type"] != "comment"));
}

#[test]
fn a_reconnection_resumes_and_says_what_it_sent() {
    let server = Server::start();
    let tail = Tail::start(&[&server.url, "--json", "--retry", "1", "-n", "2"]);
    let mut first = server.accept_and_open();
    assert_eq!(first.header("last-event-id"), None);
    first.send("id: 7\ndata: a\n\n");
    drop(first);
    let mut second = server.accept_and_open();
    assert_eq!(second.header("last-event-id"), Some("7"));
    second.send("data: b\n\n");

    let finished = tail.finish();
    finished.assert_quiet_success();
    let lines: Vec<Value> = finished.stdout.iter().map(|line| parsed(line)).collect();
    let kinds: Vec<&Value> = lines.iter().map(|line| &line["type"]).collect();
    assert_eq!(kinds, ["state", "state", "event", "state", "state", "state", "gap", "event"], "{lines:#?}");
    let (waiting, connecting, gap, last) = (&lines[3], &lines[4], &lines[6], &lines[7]);
    let keys: Vec<&String> = waiting.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["type", "state", "attempt", "delay_ms", "reason"]);
    assert_eq!((&waiting["state"], &waiting["attempt"]), (&json!("waiting"), &json!(2)));
    assert_eq!(connecting, &json!({"type": "state", "state": "connecting", "attempt": 2}));
    assert_eq!(finished.stdout[6], r#"{"type":"gap","gap":"reconnected","sent":"7"}"#);
    assert_eq!(gap["sent"], "7");
    assert_eq!((&last["id"], &last["own_id"]), (&json!("7"), &Value::Null));
}

#[test]
fn a_reconnection_without_an_id_is_a_gap_that_sent_nothing() {
    let (server, tail) = answered_once(&["--json", "--retry", "1"], "data: a\n\n");
    let second = server.accept_and_open();
    assert_eq!(second.header("last-event-id"), None);
    assert_eq!(tail.next_of("gap"), json!({"type": "gap", "gap": "reconnected", "sent": null}));
}

#[test]
fn an_unfinished_event_is_not_printed() {
    let server = Server::start();
    let tail = Tail::start(&[&server.url, "--json", "--retry", "1", "-n", "2"]);
    server.accept_and_open().send("id: 1\ndata: whole\n\nid: 2\ndata: half\n");
    let mut second = server.accept_and_open();
    assert_eq!(second.header("last-event-id"), Some("1"));
    second.send("id: 2\ndata: now whole\n\n");
    let finished = tail.finish();
    let events = finished.stdout.iter().map(|line| parsed(line));
    let data: Vec<Value> = events.filter(|line| line["type"] == "event").map(|line| line["data"].clone()).collect();
    assert_eq!(data, ["whole", "now whole"]);
}

#[test]
fn only_asked_for_types_are_printed_and_counted() {
    let text = "data: 1\n\nevent: a\ndata: 2\n\nevent: b\ndata: 3\n\nevent: a\ndata: 4\n\n";
    let (_server, tail) = answered_once(&["--json", "-e", "a", "--event", "c", "-n", "2"], text);
    let finished = tail.finish();
    finished.assert_quiet_success();
    let data: Vec<Value> = finished.stdout[2..].iter().map(|line| parsed(line)["data"].clone()).collect();
    assert_eq!(data, ["2", "4"]);
}

#[test]
fn no_more_events_are_printed_than_asked_for() {
    let (_server, tail) = answered_once(&["-n", "2"], &"data: x\n\n".repeat(100));
    let finished = tail.finish();
    assert_eq!((finished.status, finished.stdout.len()), (Some(0), 2));
}

#[test]
fn an_oversized_event_is_a_gap_and_the_stream_goes_on() {
    let large = "x".repeat(2000);
    let text = format!("event: big\nid: 1\ndata: {large}\n\nid: 2\ndata: small\n\n");
    let (_server, tail) = answered_once(&["--json", "--max-event-size", "1000", "-n", "1"], &text);
    let gap = tail.next_of("gap");
    let keys: Vec<&String> = gap.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["type", "gap", "event", "id", "events", "size"]);
    assert_eq!(
        (&gap["gap"], &gap["event"], &gap["id"], &gap["events"]),
        (&json!("oversized"), &json!("big"), &json!("1"), &json!(1))
    );
    assert!(gap["size"].as_u64().unwrap() >= 2000, "{gap}");
    assert_eq!(tail.next_of("event")["data"], "small");
}

#[test]
fn a_204_is_a_clean_end() {
    let finished = after_response(&["--json"], "204 No Content", "");
    finished.assert_quiet_success();
    let last = parsed(finished.stdout.last().unwrap());
    assert_eq!((&last["state"], &last["status"]), (&json!("closed"), &json!(204)));
    let keys: Vec<&String> = last.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["type", "state", "reason", "status"]);
}

#[test]
fn without_reconnection_the_clean_end_of_the_response_is_a_success() {
    for beside in [&[][..], &["--max-retries", "3"], &["--retry", "1"], &["--standard"]] {
        let args = [&["--json", "--no-reconnect"], beside].concat();
        let (_server, tail) = answered_once(&args, "data: x\n\n");
        let finished = tail.finish();
        finished.assert_quiet_success();
        assert_eq!(
            finished.stdout.last().unwrap(),
            r#"{"type":"state","state":"closed","reason":"the server ended the stream"}"#,
            "{args:?}"
        );
    }
}

#[test]
fn retries_are_limited_when_asked() {
    let url = refused_url();
    let finished = Tail::start(&[&url, "--json", "--retry", "1", "--max-retries", "2"]).finish();
    assert_eq!(finished.status, Some(1));
    let connecting = finished.stdout.iter().filter(|line| line.contains("connecting")).count();
    assert_eq!(connecting, 3, "{:?}", finished.stdout);
}

#[test]
fn the_standard_gives_up_on_a_503() {
    let finished = after_response(&["--json", "--standard"], "503 Service Unavailable", "later");
    assert_eq!(finished.status, Some(1));
    assert!(!finished.stdout.iter().any(|line| line.contains("waiting")), "{:?}", finished.stdout);
}

#[test]
fn a_404_is_one_line_that_says_what_to_do() {
    let finished = after_response(&["--json"], "404 Not Found", "no such stream\nbye\n");
    let complaint = finished.complaint(1);
    for part in ["404", "no such stream", "check the URL"] {
        assert!(complaint.contains(part), "{complaint}");
    }
    let last = parsed(finished.stdout.last().unwrap());
    assert_eq!((&last["state"], &last["status"]), (&json!("closed"), &json!(404)));
}

#[test]
fn an_error_body_of_any_length_is_printed_on_one_line() {
    let json = "{\n  \"error\": \"no such model\"\n}\n";
    // The limit of 8 KiB is inside a character.
    let long = format!("x{}", "é".repeat(5000));
    for (body, words) in [(json, r#"{ "error": "no such model" };"#), (&long, "xééé")] {
        let finished = after_response(&["--json"], "404 Not Found", body);
        let complaint = finished.complaint(1);
        assert!(complaint.contains(&format!("the server says: {words}")), "{complaint}");
    }
}

#[test]
fn a_404_is_one_line_for_people_too() {
    let finished = after_response(&[], "404 Not Found", "");
    assert_eq!((finished.status, finished.stdout.len()), (Some(1), 0));
    let complaints = finished.stderr.lines().filter(|line| line.contains("404"));
    assert_eq!(complaints.count(), 1, "{}", finished.stderr);
}

#[test]
fn html_is_refused_in_one_line() {
    let head = "200 OK\r\nContent-Type: text/html";
    let finished = after_response(&["--json"], head, "<!doctype html>\n<p>hello");
    let complaint = finished.complaint(1);
    assert!(complaint.contains("text/html"), "{complaint}");
    assert!(!complaint.contains("doctype"), "{complaint}");
}

#[test]
fn the_words_of_a_hostile_server_cannot_drive_the_terminal() {
    let finished = after_response(&["--json"], "404 Not Found", "\u{1b}[2Jboo\u{9b}");
    let complaint = finished.complaint(1);
    assert!(complaint.contains("boo"), "{complaint}");
    assert!(!complaint.contains(char::is_control), "{complaint:?}");
}

#[test]
fn a_503_is_waited_for() {
    let server = Server::start();
    let tail = Tail::start(&[&server.url, "--json", "--retry", "1", "-n", "1"]);
    server.accept().respond("503 Service Unavailable", "");
    let waiting = tail.state("waiting");
    assert_eq!(waiting["status"], 503);
    server.accept_and_open().send("data: back\n\n");
    assert_eq!(tail.next_of("event")["data"], "back");
    tail.finish().assert_quiet_success();
}

#[test]
fn a_server_that_falls_silent_is_left_after_the_idle_timeout() {
    let server = Server::start();
    let tail = Tail::start(&[&server.url, "--json", "--retry", "1", "--idle-timeout", "100", "-n", "1"]);
    let silent = server.accept_and_open();
    let waiting = tail.state("waiting");
    assert!(waiting["reason"].as_str().unwrap().contains("silent for 100ms"), "{waiting}");
    server.accept_and_open().send("data: back\n\n");
    assert_eq!(tail.next_of("event")["data"], "back");
    tail.finish().assert_quiet_success();
    drop(silent);
}

#[cfg(unix)]
#[test]
fn a_refused_port_is_tried_again_until_an_interrupt() {
    let tail = Tail::start(&[&refused_url(), "--json", "--retry", "100000"]);
    let waiting = tail.state("waiting");
    assert_eq!(waiting["attempt"], 2, "the one that follows");
    let delay = waiting["delay_ms"].as_u64().unwrap();
    assert!((100_000..=150_000).contains(&delay), "{waiting}");
    assert!(waiting["reason"].as_str().unwrap().contains("refused"), "{waiting}");
    assert_eq!(waiting.get("status"), None);
    tail.interrupt();
    tail.finish().assert_quiet_success();
}

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

#[test]
fn wrong_usage_exits_with_2() {
    let cases: [&[&str]; 20] = [
        &["--no-such-option"],
        &["http://localhost/", "surplus"],
        &["-n", "0"],
        &["-n", "many"],
        &["--retry", "-1"],
        &["--connect-timeout", "soon"],
        &["--max-event-size", "0"],
        &["--query", "no equals sign"],
        &["--cookie", "no equals sign"],
        &["http://localhost/", "--cookie", "a=b; c=d"],
        &["--user", "a:b", "--bearer", "c"],
        &["http://localhost/", "-X", "no method"],
        &["http://localhost/", "-X", "HEAD"],
        &["http://localhost/", "-H", "no colon"],
        &["http://localhost/", "-H", "bad name: x"],
        &["not a url"],
        &["ftp://localhost/"],
        &["http://"],
        &["http://localhost/", "-x", "ftp://proxy"],
        &["http://localhost/", "-x", "http://user:hunter2@"],
    ];
    for case in cases {
        let finished = Tail::start(case).finish();
        assert_eq!(finished.status, Some(2), "{case:?}: {}", finished.stderr);
        assert!(!finished.stderr.is_empty(), "{case:?}");
        assert!(!finished.stderr.contains("hunter2"), "{}", finished.stderr);
        assert_eq!(finished.stdout.len(), 0, "{case:?}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn an_unusable_certificate_file_is_wrong_usage() {
    for file in ["/no/such/file", file!()] {
        for option in ["--cacert", "--cert"] {
            let finished = Tail::start(&["https://localhost/", option, file]).finish();
            let complaint = finished.complaint(2);
            assert!(complaint.contains(option) && complaint.contains(file), "{complaint}");
        }
    }
}

#[test]
fn the_request_carries_what_the_options_say() {
    let server = Server::start();
    let _tail = Tail::start(&[
        &server.url,
        "-H",
        "X-One: 1",
        "--header",
        "X-Two:two: 2",
        "--last-event-id",
        "41",
        "--bearer",
        "s3cret",
        "--query",
        "a=b c",
        "--query",
        "d=e&f",
        "--cookie",
        "g=h",
        "--cookie",
        "i=j",
    ]);
    let connection = server.accept();
    assert_eq!(connection.header("content-length"), None);
    assert_eq!(connection.request_line(), "GET /stream?a=b%20c&d=e%26f HTTP/1.1");
    let expected = [
        ("accept", "text/event-stream"),
        ("cache-control", "no-cache"),
        ("x-one", "1"),
        ("x-two", "two: 2"),
        ("last-event-id", "41"),
        ("authorization", "Bearer s3cret"),
        ("cookie", "g=h; i=j"),
    ];
    for (name, value) in expected {
        assert_eq!(connection.header(name), Some(value), "{}", connection.head);
    }
}

#[test]
fn a_body_is_posted_as_it_is_unless_another_method_is_given() {
    let server = Server::start();
    for (options, method) in [
        (&["-d", "a=é&b"][..], "POST"),
        (&["--data", "a=é&b", "--method", "PUT"], "PUT"),
        (&["-X", "REPORT", "-d", "a=é&b", "-H", "Content-Type: text/plain"], "REPORT"),
    ] {
        let _tail = Tail::start(&[&[&*server.url], options].concat());
        let mut connection = server.accept();
        assert_eq!(connection.request_line(), format!("{method} /stream HTTP/1.1"));
        let content_type = options.contains(&"-H").then_some("text/plain");
        assert_eq!(connection.header("content-type"), content_type);
        assert_eq!(connection.header("content-length"), Some("6"));
        let mut body = [0; 6];
        connection.socket.read_exact(&mut body).unwrap();
        assert_eq!(body, "a=é&b".as_bytes());
    }
    let _tail = Tail::start(&[&server.url, "-X", "POST"]);
    assert_eq!(server.accept().request_line(), "POST /stream HTTP/1.1");
}

#[test]
fn a_redirect_is_followed_unless_that_is_ruled_out() {
    const MOVED: &str = "302 Found\r\nLocation: /elsewhere";
    let server = Server::start();
    let _tail = Tail::start(&[&server.url]);
    server.accept().respond(MOVED, "");
    assert_eq!(server.accept().request_line(), "GET /elsewhere HTTP/1.1");
    let finished = after_response(&["--json", "--no-follow"], MOVED, "");
    let complaint = finished.complaint(1);
    assert!(complaint.contains("302") && complaint.contains("give the URL that it points to"), "{complaint}");
}

#[cfg(feature = "http2")]
#[test]
fn http2_is_spoken_at_once_to_a_server_that_is_known_to_speak_it() {
    let server = Server::start();
    let _tail = Tail::start(&[&server.url, "--http2-prior-knowledge"]);
    // The preface of HTTP/2 starts like a request head.
    assert_eq!(server.accept().request_line(), "PRI * HTTP/2.0");
}

#[cfg(feature = "gzip")]
#[test]
fn a_compressed_stream_is_asked_for_only_when_it_is_wanted() {
    let server = Server::start();
    for (options, wanted) in [(&["--compressed"][..], true), (&[], false)] {
        let _tail = Tail::start(&[&[&*server.url], options].concat());
        assert_eq!(server.accept().header("accept-encoding").is_some(), wanted);
    }
}

#[test]
fn a_proxy_is_asked_in_the_servers_stead() {
    let server = Server::start();
    let proxy = server.url.replace("/stream", "").replace("http://", "http://user:secret@");
    let _tail = Tail::start(&["http://server.invalid/x", "-x", &proxy]);
    let connection = server.accept();
    assert_eq!(connection.request_line(), "GET http://server.invalid/x HTTP/1.1");
    assert_eq!(connection.header("proxy-authorization"), Some("Basic dXNlcjpzZWNyZXQ="));
}

#[cfg(unix)]
#[test]
fn a_unix_socket_stands_in_for_the_host() {
    use std::io::Read as _;

    let path = std::env::temp_dir().join(format!("sseclient-test-{}-tail", std::process::id()));
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let _tail = Tail::start(&["http://docker/events", "--unix-socket", path.to_str().unwrap()]);
    let mut start = [0; 22];
    listener.accept().unwrap().0.read_exact(&mut start).unwrap();
    std::fs::remove_file(path).unwrap();
    assert_eq!(&start[..], b"GET /events HTTP/1.1\r\n");
}

#[test]
fn user_and_password_become_basic_authentication() {
    let server = Server::start();
    let _tail = Tail::start(&[&server.url, "--user", "Aladdin:open sesame"]);
    let connection = server.accept();
    assert_eq!(connection.header("authorization"), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
}

#[cfg(feature = "tls")]
#[test]
fn only_the_given_certificates_are_trusted() {
    let authority = tls::Authority::new("only_the_given_certificates_are_trusted");
    let other = tls::Authority::new("only_the_given_certificates_are_trusted_other");
    let url = authority.serve("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: secret\n\n");
    let start = |trusted: &tls::Authority| {
        let file = trusted.file.to_str().unwrap();
        Tail::start(&[&url, "--json", "-n", "1", "--cacert", file])
    };
    let trusting = start(&authority);
    assert_eq!(trusting.next_of("event")["data"], "secret");
    trusting.finish().assert_quiet_success();
    let waiting = start(&other).state("waiting");
    assert!(waiting["reason"].as_str().unwrap().contains("certificate"), "{waiting}");
}

#[cfg(feature = "tls")]
#[test]
fn a_client_certificate_is_sent_and_insecure_accepts_any_server() {
    let authority = tls::Authority::new("a_client_certificate_is_shown");
    let url = authority.serve_its_own("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: secret\n\n");
    let (certificate, key) = authority.identity();
    let file = |name: &str, text: &str| {
        let path = authority.file.with_extension(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (certificate, key, both) =
        (file("cert", &certificate), file("key", &key), file("both", &format!("{certificate}{key}")));
    for identity in [&["--cert", &certificate, "--key", &key][..], &["--cert", &both]] {
        let tail = Tail::start(&[&[&url, "--json", "-n", "1", "-k"], identity].concat());
        assert_eq!(tail.next_of("event")["data"], "secret");
        tail.finish().assert_quiet_success();
    }
    let waiting = Tail::start(&[&url, "--json", "--insecure"]).state("waiting");
    assert!(waiting["reason"].as_str().unwrap().contains("wants a client certificate"), "{waiting}");
    for file in [certificate, key, both] {
        std::fs::remove_file(file).unwrap();
    }
}

#[cfg(feature = "tls")]
#[test]
fn a_silent_peer_is_given_up_after_the_connect_timeout() {
    let authority = tls::Authority::new("a_silent_peer_is_given_up_after_the_connect_timeout");
    // This listener accepts, and never answers the TLS handshake.
    let server = Server::start();
    let url = server.url.replace("http:", "https:");
    let file = authority.file.to_str().unwrap();
    let timeout = ["--connect-timeout", "50", "--retry", "100000"];
    let tail = Tail::start(&[&[&url, "--json", "--cacert", file], &timeout[..]].concat());
    assert_eq!(tail.state("waiting")["attempt"], 2);
}

#[test]
fn people_get_columns_without_colours_in_a_pipe() {
    let text = "event: a\ndata: one\ndata: \ttwo\n\nevent: a-longer-type\ndata: \u{1b}[31mred\u{9b}\u{7f}\n\n\
                data: last\n\n";
    let (_server, tail) = answered_once(&["-n", "3"], text);
    let finished = tail.finish();
    assert_eq!(finished.status, Some(0));
    let without_time: Vec<&str> = finished.stdout.iter().map(|line| &line[12..]).collect();
    assert_eq!(
        without_time,
        [
            "  a         one",
            "            \ttwo",
            "  a-longer-type  \\u{1b}[31mred\\u{9b}\\u{7f}",
            "  message        last",
        ]
    );
    let time: Vec<char> = finished.stdout[0][..12].chars().collect();
    assert!(time.iter().all(|c| c.is_ascii_digit() || ":.".contains(*c)), "{time:?}");
    assert!(finished.stderr.contains("open (200 OK)"), "{}", finished.stderr);
    assert!(!finished.stderr.contains('\u{1b}'), "{}", finished.stderr);
}

#[test]
fn colours_come_when_forced_and_go_with_no_color() {
    for (no_color, coloured) in [(false, true), (true, false)] {
        let server = Server::start();
        let mut command = command(&[&server.url, "-n", "1"]);
        command.env("CLICOLOR_FORCE", "1");
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let tail = Tail::run(&mut command);
        server.accept_and_open().send("data: x\n\n");
        let finished = tail.finish();
        assert_eq!(finished.stdout[0].contains('\u{1b}'), coloured);
        assert_eq!(finished.stderr.contains('\u{1b}'), coloured);
    }
}

#[test]
fn states_comments_and_gaps_go_to_standard_error_for_people() {
    let server = Server::start();
    let tail = Tail::start(&[&server.url, "--comments", "--retry", "1", "-n", "2"]);
    server.accept_and_open().send(": a \u{1b} comment\ndata: 1\n\n");
    server.accept_and_open().send("data: 2\n\n");
    let finished = tail.finish();
    assert_eq!((finished.status, finished.stdout.len()), (Some(0), 2));
    for part in ["connecting", "open", ": a \\u{1b} comment", "trying again in", "gap: "] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
}

/// The server sends 12 events, closes in the middle of the thirteenth, and continues after it.
#[test]
fn the_embedded_server_hangs_up_and_is_resumed_without_a_hole() {
    let finished = Tail::start(&["--json", "--comments", "-n", "14"]).finish();
    finished.assert_quiet_success();
    let lines: Vec<Value> = finished.stdout.iter().map(|line| parsed(line)).collect();
    let events: Vec<&Value> = lines.iter().filter(|line| line["type"] == "event").collect();
    let ids: Vec<&str> = events.iter().map(|event| event["own_id"].as_str().unwrap()).collect();
    let expected: Vec<String> = (1..=14).map(|id| id.to_string()).collect();
    assert_eq!(ids, expected);
    let has = |wanted: Value| lines.contains(&wanted);
    assert!(has(json!({"type": "gap", "gap": "reconnected", "sent": "12"})), "{lines:#?}");
    assert!(has(json!({"type": "comment", "text": " resumed after 12"})), "{lines:#?}");
    let mut types: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types, ["message", "price", "update", "weather"]);
}
