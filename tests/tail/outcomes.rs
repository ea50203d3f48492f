//! Refusals, retries and ends: messages and exit statuses.

use serde_json::json;

use crate::program::Tail;
use crate::server::{Server, refused_url};
use crate::{after_response, answered_once, parsed};

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
