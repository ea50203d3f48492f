//! The caller's choices other than the defaults, and the limits on time: row by row.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::row::{Row, STOP, at_once, check, opened, plain};
use super::*;
use crate::{CredentialsReason, StreamBuilder};

const HOUR: Duration = Duration::from_secs(3600);
const TIMED_OUT: &str = "HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 0\r\n\r\n";

/// Its credentials say why they were asked for.
fn with_credentials(stream: StreamBuilder) -> StreamBuilder {
    stream.credentials(|reason| async move {
        let why = match reason {
            CredentialsReason::First => "first",
            CredentialsReason::Reconnect => "reconnect",
            CredentialsReason::Rejected { .. } => "rejected",
        };
        Ok::<_, Error>(HeaderMap::from_iter([(AUTHORIZATION, why.parse().unwrap())]))
    })
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_asked_for_once_more_at_once() {
    for status in [401, 403] {
        let refusal = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n").leak();
        check(Row {
            what: "refused once, and later twice in a row",
            stream: with_credentials,
            answers: at_once(&[refusal, EVENT, EVENT, refusal, refusal]),
            requests: &[
                "0.0 authorization: first",
                "0.0 authorization: rejected",
                "3.0 authorization: reconnect",
                "6.0 authorization: reconnect",
                "6.0 authorization: rejected",
            ],
            states: &[
                "0.0 connecting 1",
                "0.0 connecting 1",
                "0.0 open 1 since 0.0",
                "0.0 waiting 3.0 until 3.0 for 2: EndOfStream",
                "3.0 connecting 2",
                "3.0 open 2 since 3.0",
                "3.0 waiting 3.0 until 6.0 for 2: EndOfStream",
                "6.0 connecting 2",
                "6.0 connecting 2",
                &format!("6.0 failed: Status {status}"),
            ],
            deliveries: &["x#", "reconnected without an ID: what came in between is lost", "x#"],
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_of_credentials_has_thirty_seconds() {
    check(Row {
        what: "a token server that hangs, and one that is down, and one that is well",
        stream: |stream| {
            let answers = Mutex::new(0);
            stream.credentials(move |_| {
                let mut answers = answers.lock().unwrap();
                *answers += 1;
                let answer = *answers;
                async move {
                    match answer {
                        1 => std::future::pending().await,
                        2 => Err("down"),
                        _ => Ok(HeaderMap::new()),
                    }
                }
            })
        },
        answers: at_once(&[STOP]),
        requests: &["39.0"],
        states: &[
            "0.0 connecting 1",
            "30.0 waiting 3.0 until 33.0 for 2: CredentialsTimeout",
            "33.0 connecting 2",
            "33.0 waiting 6.0 until 39.0 for 3: Credentials",
            "39.0 connecting 3",
            "39.0 stopped",
        ],
        deliveries: &[],
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_has_limits_and_an_open_response_has_none() {
    check(Row {
        what: "the defaults",
        stream: plain,
        answers: vec![
            Script::Hang,
            Script::Answer("", HOUR),
            Script::Answer(EVENT, HOUR),
            Script::Answer(STOP, AT_ONCE),
        ],
        requests: &["13.0", "316.1", "3919.1"],
        states: &[
            "0.0 connecting 1",
            "10.0 waiting 3.0 until 13.0 for 2: ConnectTimeout",
            "13.0 connecting 2",
            "313.1 waiting 3.0 until 316.1 for 3: ResponseTimeout",
            "316.1 connecting 3",
            "316.1 open 3 since 316.1",
            "3916.1 waiting 3.0 until 3919.1 for 2: EndOfStream",
            "3919.1 connecting 2",
            "3919.1 stopped",
        ],
        deliveries: &["reconnected without an ID: what came in between is lost", "x#"],
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_with_the_first_event_is_waited_for() {
    let late = || Script::Talk(vec![(HOUR, EVENT), (HOUR, "")]);
    check(Row {
        what: "without a limit",
        stream: |stream| stream.response_timeout(None).idle_timeout(None),
        answers: vec![late(), Script::Answer(STOP, AT_ONCE)],
        requests: &["0.0", "7203.0"],
        states: &[
            "0.0 connecting 1",
            "3600.0 open 1 since 3600.0",
            "7200.0 waiting 3.0 until 7203.0 for 2: EndOfStream",
            "7203.0 connecting 2",
            "7203.0 stopped",
        ],
        deliveries: &["x#"],
    })
    .await;
    let minute = |stream: StreamBuilder| stream.response_timeout(Duration::from_secs(60));
    check(Row {
        what: "the waits do not grow, and a gap stands before the first event",
        stream: minute,
        answers: [vec![late(); 3], at_once(&[EVENT, STOP])].concat(),
        requests: &["0.0", "63.0", "126.1", "189.1", "192.1"],
        states: &[
            "0.0 connecting 1",
            "60.0 waiting 3.0 until 63.0 for 2: ResponseTimeout",
            "63.0 connecting 2",
            "123.1 waiting 3.0 until 126.1 for 3: ResponseTimeout",
            "126.1 connecting 3",
            "186.1 waiting 3.0 until 189.1 for 4: ResponseTimeout",
            "189.1 connecting 4",
            "189.1 open 4 since 189.1",
            "189.1 waiting 3.0 until 192.1 for 2: EndOfStream",
            "192.1 connecting 2",
            "192.1 stopped",
        ],
        deliveries: &["reconnected without an ID: what came in between is lost", "x#"],
    })
    .await;
    let gives_up = |text| Script::Talk(vec![(Duration::from_secs(60), text)]);
    check(Row {
        what: "a proxy gives up before the server does",
        stream: plain,
        answers: [vec![gives_up(""), gives_up(TIMED_OUT)], at_once(&["", EVENT, STOP])].concat(),
        requests: &["0.0", "63.0", "126.0", "138.0", "141.0"],
        states: &[
            "0.0 connecting 1",
            "60.0 waiting 3.0 until 63.0 for 2: Protocol",
            "63.0 connecting 2",
            "123.0 waiting 3.0 until 126.0 for 3: Status 504",
            "126.0 connecting 3",
            // Not after a minute, but at once.
            "126.0 waiting 12.0 until 138.0 for 4: Protocol",
            "138.0 connecting 4",
            "138.0 open 4 since 138.0",
            "138.0 waiting 3.0 until 141.0 for 2: EndOfStream",
            "141.0 connecting 2",
            "141.0 stopped",
        ],
        deliveries: &["reconnected without an ID: what came in between is lost", "x#"],
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn limits_on_time_are_as_long_as_the_caller_says() {
    let beat = (Duration::from_secs(9), ":");
    check(Row {
        what: "a second, two, and ten",
        stream: |stream| {
            let second = Duration::from_secs(1);
            stream.connect_timeout(second).response_timeout(second * 2).idle_timeout(second * 10)
        },
        answers: vec![
            Script::Hang,
            Script::Answer("", HOUR),
            Script::Talk(vec![(AT_ONCE, WITH_ID), beat, beat, (HOUR, "")]),
            Script::Answer(STOP, AT_ONCE),
        ],
        requests: &["4.0", "9.1", "40.1 last-event-id: 7"],
        states: &[
            "0.0 connecting 1",
            "1.0 waiting 3.0 until 4.0 for 2: ConnectTimeout",
            "4.0 connecting 2",
            // No longer than the last wait: the server may have sent events.
            "6.1 waiting 3.0 until 9.1 for 3: ResponseTimeout",
            "9.1 connecting 3",
            "9.1 open 3 since 9.1",
            // Two heartbeats, and ten seconds of silence.
            "37.1 waiting 3.0 until 40.1 for 2: IdleTimeout",
            "40.1 connecting 2",
            "40.1 stopped",
        ],
        deliveries: &["reconnected without an ID: what came in between is lost", "x#7"],
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_cut_off_is_dropped_with_its_id() {
    let cut =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\nid: 1\ndata: x\n\nid: 2\nda";
    for (text, kind) in [(cut, "Body"), (opened!("id: 1\ndata: x\n\nid: 2\ndata: y\n"), "EndOfStream")] {
        check(Row {
            what: kind,
            stream: plain,
            // A new response is decoded anew: nothing of the last one is in the way.
            answers: at_once(&[text, opened!("\u{feff}data: z\n\n"), STOP]),
            requests: &["0.0", "3.0 last-event-id: 1", "6.0 last-event-id: 1"],
            states: &[
                "0.0 connecting 1",
                "0.0 open 1 since 0.0",
                &format!("0.0 waiting 3.0 until 3.0 for 2: {kind}"),
                "3.0 connecting 2",
                "3.0 open 2 since 3.0",
                "3.0 waiting 3.0 until 6.0 for 2: EndOfStream",
                "6.0 connecting 2",
                "6.0 stopped",
            ],
            deliveries: &["x#1", "reconnected, resuming after ID \"1\"", "z#1"],
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_standard_waits_at_a_constant_pace_and_stops_at_any_other_status() {
    for status in [404, 503] {
        let refusal = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n").leak();
        let mut answers = vec![Script::Refuse; 3];
        answers.extend(at_once(&[EVENT, refusal]));
        check(Row {
            what: "faults, an event, and a verdict",
            stream: |stream| stream.reconnect_policy(ReconnectPolicy::standard()),
            answers,
            requests: &["9.0", "12.0"],
            states: &[
                "0.0 connecting 1",
                "0.0 waiting 3.0 until 3.0 for 2: Connect",
                "3.0 connecting 2",
                "3.0 waiting 3.0 until 6.0 for 3: Connect",
                "6.0 connecting 3",
                "6.0 waiting 3.0 until 9.0 for 4: Connect",
                "9.0 connecting 4",
                "9.0 open 4 since 9.0",
                "9.0 waiting 3.0 until 12.0 for 2: EndOfStream",
                "12.0 connecting 2",
                &format!("12.0 failed: Status {status}"),
            ],
            deliveries: &["x#"],
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_persistent_stream_retries_every_verdict_and_never_retries_none() {
    check(Row {
        what: "persistent",
        stream: |stream| stream.reconnect_policy(ReconnectPolicy::persistent().jitter(0.0)),
        answers: at_once(&[NOT_FOUND, EVENT, STOP]),
        requests: &["0.0", "60.0", "63.0"],
        states: &[
            "0.0 connecting 1",
            "0.0 waiting 60.0 until 60.0 for 2: Status 404",
            "60.0 connecting 2",
            "60.0 open 2 since 60.0",
            "60.0 waiting 3.0 until 63.0 for 2: EndOfStream",
            "63.0 connecting 2",
            "63.0 stopped",
        ],
        deliveries: &["x#"],
    })
    .await;
    let opened = ["0.0 connecting 1", "0.0 open 1 since 0.0", "0.0 closed: the server ended the stream"];
    for (what, text, states, deliveries) in [
        ("a response that ends well", EVENT, &opened[..], &["x#"][..]),
        ("one that is cut off", CUT, &["0.0 connecting 1", "0.0 open 1 since 0.0", "0.0 failed: Body"], &["x#"]),
        ("one that is refused", MAINTENANCE, &["0.0 connecting 1", "0.0 failed: Status 503"], &[]),
    ] {
        check(Row {
            what,
            stream: |stream| stream.reconnect_policy(ReconnectPolicy::never()),
            answers: at_once(&[text]),
            requests: &["0.0"],
            states,
            deliveries,
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_shut_down_amid_a_chunk_publishes_no_more_of_it() {
    // Twenty queues full, in a few chunks.
    let body = format!("{EMPTY}{}", "data: x\n\n".repeat(5_000)).leak();
    let (_, handle) = stream(vec![Script::Answer(body, HOUR)]);
    let mut events = handle.subscribe(Filter::all());
    let mut other = handle.subscribe("message");
    handle.connect();
    assert!(matches!(events.recv().await, Some(Delivery::Event(_))));
    let published = handle.stats().events;
    let ended = handle.shutdown();
    let mut taken = 1;
    while events.recv().await.is_some() {
        taken += 1;
    }
    assert_eq!((taken, handle.stats().events), (published, published));
    assert!(published < 5_000, "in the middle");
    ended.await;
    for _ in 0..published {
        assert!(matches!(other.recv().await, Some(Delivery::Event(_))), "what was queued can still be taken");
    }
    assert!(other.recv().await.is_none());
}
