//! What `tail --json` prints: lines, their fields and their order.

use serde_json::{Value, json};

use crate::program::Tail;
use crate::server::Server;
use crate::{answered_once, parsed};

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
