//! The output for people: columns, colours, and what goes to standard error.

use serde_json::{Value, json};

use crate::program::{Tail, command};
use crate::server::Server;
use crate::{answered_once, parsed};

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
