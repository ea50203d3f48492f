//! The defaults, row by row of their table in the design.

use super::row::{Row, STOP, at_once, check, opened, plain};
use super::*;

const POLL: &str = opened!("retry: 5000\n: nothing new\n\n");
const COMMENT: &str = opened!(": nothing new\n\n");
const BAD_RETRY: &str = opened!("retry: soon\nretry: -1\nretry\n\n");
const CUT_POLL: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\nretry: 5000\n\n";

#[tokio::test(start_paused = true)]
async fn an_ended_response_is_followed_by_one_after_its_last_id() {
    let states = &[
        "0.0 connecting 1",
        "0.0 open 1 since 0.0",
        "0.0 waiting 3.0 until 3.0 for 2: EndOfStream",
        "3.0 connecting 2",
        "3.0 open 2 since 3.0",
        "3.0 waiting 3.0 until 6.0 for 2: EndOfStream",
        "6.0 connecting 2",
        "6.0 stopped",
    ];
    check(Row {
        what: "an ID is sent while it is the last, as UTF-8, and none when it was cleared",
        stream: plain,
        answers: at_once(&[opened!("id: \u{fc}7\ndata: x\n\n"), opened!("data: y\n\nid\ndata: z\n\n"), STOP]),
        requests: &["0.0", "3.0 last-event-id: \u{fc}7", "6.0"],
        states,
        deliveries: &["x#\u{fc}7", "reconnected, resuming after ID \"\u{fc}7\"", "y#\u{fc}7", "z#"],
    })
    .await;
    check(Row {
        what: "an ID that no header can carry is left out",
        stream: |stream| stream.last_event_id("0"),
        answers: at_once(&[opened!("id: a\u{1}b\ndata: x\n\n"), opened!("data: y\n\n"), STOP]),
        requests: &["0.0 last-event-id: 0", "3.0", "6.0"],
        states,
        deliveries: &["x#a\u{1}b", "reconnected without an ID: what came in between is lost", "y#a\u{1}b"],
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_reconnection_time_is_the_servers_or_else_the_callers() {
    check(Row {
        what: "the server's replaces the caller's, and outlives the response",
        stream: |stream| stream.reconnection_time(Duration::ZERO),
        answers: [vec![Script::Refuse], at_once(&[opened!("retry: 20000\n")]), vec![Script::Refuse], at_once(&[STOP])]
            .concat(),
        requests: &["0.0", "60.0"],
        states: &[
            "0.0 connecting 1",
            "0.0 waiting 0.0 until 0.0 for 2: Connect",
            "0.0 connecting 2",
            "0.0 open 2 since 0.0",
            // A server that sets the time and ends the response wants to be polled.
            "0.0 waiting 20.0 until 20.0 for 2: EndOfStream",
            "20.0 connecting 2",
            "20.0 waiting 40.0 until 60.0 for 3: Connect",
            "60.0 connecting 3",
            "60.0 stopped",
        ],
        deliveries: &[],
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn waits_double_up_to_a_minute_without_a_limit_on_attempts() {
    let mut answers = vec![Script::Refuse; 7];
    answers.extend(at_once(&[STOP]));
    check(Row {
        what: "refused again and again",
        stream: plain,
        answers,
        requests: &["213.0"],
        states: &[
            "0.0 connecting 1",
            "0.0 waiting 3.0 until 3.0 for 2: Connect",
            "3.0 connecting 2",
            "3.0 waiting 6.0 until 9.0 for 3: Connect",
            "9.0 connecting 3",
            "9.0 waiting 12.0 until 21.0 for 4: Connect",
            "21.0 connecting 4",
            "21.0 waiting 24.0 until 45.0 for 5: Connect",
            "45.0 connecting 5",
            "45.0 waiting 48.0 until 93.0 for 6: Connect",
            "93.0 connecting 6",
            "93.0 waiting 60.0 until 153.0 for 7: Connect",
            "153.0 connecting 7",
            "153.0 waiting 60.0 until 213.0 for 8: Connect",
            "213.0 connecting 8",
            "213.0 stopped",
        ],
        deliveries: &[],
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_event_ten_seconds_or_a_retry_begin_the_waits_anew() {
    let seconds = Duration::from_secs;
    let event: &[&str] = &["x#"];
    for (what, text, open_for, wait, then, deliveries) in [
        ("an event", EVENT, AT_ONCE, "3.0 waiting 3.0 until 6.0 for 2", "6.0 connecting 2", event),
        ("ten seconds", EMPTY, seconds(10), "13.0 waiting 3.0 until 16.0 for 2", "16.0 connecting 2", &[]),
        ("nine seconds", EMPTY, seconds(9), "12.0 waiting 6.0 until 18.0 for 3", "18.0 connecting 3", &[]),
        ("a retry", POLL, AT_ONCE, "3.0 waiting 5.0 until 8.0 for 2", "8.0 connecting 2", &[]),
        ("a comment", COMMENT, AT_ONCE, "3.0 waiting 6.0 until 9.0 for 3", "9.0 connecting 3", &[]),
        ("no retry", BAD_RETRY, AT_ONCE, "3.0 waiting 6.0 until 9.0 for 3", "9.0 connecting 3", &[]),
        ("a cut after a retry", CUT_POLL, AT_ONCE, "3.0 waiting 10.0 until 13.0 for 3", "13.0 connecting 3", &[]),
    ] {
        let end = then.split(' ').next().unwrap();
        check(Row {
            what,
            stream: plain,
            answers: vec![Script::Refuse, Script::Answer(text, open_for), Script::Answer(STOP, AT_ONCE)],
            requests: &["3.0", end],
            states: &[
                "0.0 connecting 1",
                "0.0 waiting 3.0 until 3.0 for 2: Connect",
                "3.0 connecting 2",
                "3.0 open 2 since 3.0",
                &format!("{wait}: {}", if text == CUT_POLL { "Body" } else { "EndOfStream" }),
                then,
                &format!("{end} stopped"),
            ],
            deliveries,
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn temporary_statuses_are_retried_with_retry_after_as_a_floor() {
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let busy = |headers: &str| format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n{headers}\r\n").leak();
        check(Row {
            what: &format!("{status}"),
            stream: plain,
            answers: at_once(&[busy(""), busy("retry-after: 120\r\n"), busy(""), EVENT, STOP]),
            requests: &["0.0", "3.0", "123.0", "135.0", "138.0"],
            states: &[
                "0.0 connecting 1",
                &format!("0.0 waiting 3.0 until 3.0 for 2: Status {status}"),
                "3.0 connecting 2",
                &format!("3.0 waiting 120.0 until 123.0 for 3: Status {status}"),
                "123.0 connecting 3",
                &format!("123.0 waiting 12.0 until 135.0 for 4: Status {status}"),
                "135.0 connecting 4",
                "135.0 open 4 since 135.0",
                "135.0 waiting 3.0 until 138.0 for 2: EndOfStream",
                "138.0 connecting 2",
                "138.0 stopped",
            ],
            // The first response that was accepted: no gap.
            deliveries: &["x#"],
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_final_response_ends_the_stream_whether_it_comes_first_or_later() {
    let others = [201, 206, 300, 304, 400, 401, 403, 404, 410, 501].map(|status| (status, "", "Status"));
    let opened = [
        (200, "", "ContentType"),
        (200, "content-type: text/html\r\n", "ContentType"),
        (200, "content-type: text/\u{fc}\r\n", "ContentType"),
        (200, "content-type: text/event-stream\r\ncontent-encoding: compress\r\n", "ContentEncoding"),
    ];
    for (status, headers, kind) in others.into_iter().chain(opened) {
        let answer = format!("HTTP/1.1 {status} So\r\ncontent-length: 0\r\n{headers}\r\n").leak();
        let failed = format!("failed: {kind} {status}");
        check(Row {
            what: &format!("first {status} {headers:?}"),
            stream: plain,
            answers: at_once(&[answer]),
            requests: &["0.0"],
            states: &["0.0 connecting 1", &format!("0.0 {failed}")],
            deliveries: &[],
        })
        .await;
        check(Row {
            what: &format!("later {status} {headers:?}"),
            stream: plain,
            answers: at_once(&[EVENT, answer]),
            requests: &["0.0", "3.0"],
            states: &[
                "0.0 connecting 1",
                "0.0 open 1 since 0.0",
                "0.0 waiting 3.0 until 3.0 for 2: EndOfStream",
                "3.0 connecting 2",
                &format!("3.0 {failed}"),
            ],
            deliveries: &["x#"],
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_content_stops_a_stream_at_once() {
    check(Row {
        what: "204",
        stream: plain,
        answers: at_once(&[STOP]),
        requests: &["0.0"],
        states: &["0.0 connecting 1", "0.0 stopped"],
        deliveries: &[],
    })
    .await;
}
