//! What is read from a response, compared with what hyper reads from the same bytes.

use std::error::Error as _;
use std::task::Poll;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use tokio::io::duplex;
use tokio_test::task::spawn;

use super::comparison::{Reading, ScriptedServer, compare, read, request, run};
use super::exchange::send_through;
use super::head_gate::HeadGate;
use super::received_head::{MAX_HEAD, ReceivedHead};
use crate::error::ErrorKind;
use crate::response::{ResponseVerdict, judge};

/// The heads of responses, and bytes that are none.
const HEADS: &[&str] = &[
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked \r\ncontent-length: 3\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked,\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding:\r\n\r\n",
    "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ncontent-length: 7\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ncontent-length: 8\r\n\r\n",
    "HTTP/1.1 200 OK\ncontent-length: 0\n\n",
    "HTTP/1.0 200 OK\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\r\nno field\r\nx-powered-by : PHP\r\n\r\n",
    "HTTP/1.1 200 OK\r\na: b\r\n\tc\r\n \r\n\r\n",
    "HTTP/1.1 200 OK\r\na: b\r\r\n\r\n",
    "HTTP/1.1 200 OK\r\na: b\r\n\r\r\n",
    "\r\n\nHTTP/1.1 200 OK\r\n\r\n",
];
const BODY: &[&str] = &[
    "0\r\n\r\n",
    "1\r\nx\r\n",
    "5\r\nhello\r\n",
    "a;x=y\r\n0123456789\r\n",
    "2;x\ny\r\nab\r\n",
    "00000000000000002\r\nab\r\n",
    "3 \r\nabc\r\n",
    "2\r\nabc\r\n",
    "\r\n",
    "\n",
    "0",
    "f",
    "0\r\nx: y\r\n\r\n",
    "0\r\nx: y\nz: w\r\n\r\n",
    "0\r\nx y\r\n\r\n",
    "0\r\n x: y\r\n\r\n",
    ";",
    "data: x",
    "fffffffffffffffff\r\n",
    "5\r\nhel",
    "-1\r\n",
    "0x1\r\n",
];

/// Returns what this crate reads.
fn ours(response: &str, lengths: &[usize]) -> Option<Reading> {
    let [ours, _] = read(response.as_bytes(), lengths);
    ours
}

/// Returns why the response has no head, with its cause.
fn refused(response: &str, length: usize) -> String {
    let server = ScriptedServer::boxed(response.as_bytes(), &[length]);
    let error = run(super::exchange::send(server, request())).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    format!("{error}: {}", error.source().unwrap())
}

/// User agents have to accept it (RFC 9112, section 5.2).
#[test]
fn a_folded_header_is_read_as_one_line() {
    let response = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream;\r\n\t charset=utf-8\r\na:\n b\r\n \r\n\r\nc";
    for length in 1..=response.len() {
        let reading = ours(response, &[length]).unwrap();
        assert_eq!(reading.headers["content-type"], "text/event-stream; charset=utf-8", "{length}");
        assert_eq!(reading.headers["a"], "b", "{length}");
        assert_eq!(reading.body, b"c", "{length}");
    }
}

#[test]
fn a_line_that_a_script_prints_into_the_head_is_skipped() {
    for odd in ["PHP Warning:  oh no in /x.php on line 3", "X-Powered-By : PHP", "no field", "a: \x01", ": x"] {
        for position in [0, 1] {
            let mut lines = vec!["content-length: 3"];
            lines.insert(position, odd);
            let response = format!("HTTP/1.1 200 OK\r\n{}\r\n\r\nabcd", lines.join("\r\n"));
            for length in 1..=response.len() {
                let reading = ours(&response, &[length]).unwrap();
                assert_eq!((&*reading.body, reading.is_complete), (&b"abc"[..], true), "{response:?}");
            }
            compare(response.as_bytes(), &[5, 2]);
        }
    }
}

#[test]
fn a_head_may_have_as_many_fields_as_curl_takes() {
    for (fields, is_taken) in [(101, true), (500, true), (5_000, true), (5_001, false)] {
        let response = format!("HTTP/1.1 200 OK\r\n{}\r\nabc", "a: b\r\n".repeat(fields));
        assert_eq!(ours(&response, &[]).map(|reading| reading.headers.len()), is_taken.then_some(fields));
        compare(response.as_bytes(), &[4_000]);
    }
}

/// However it comes, the error does not wait for the rest of the head.
#[test]
fn an_error_names_the_line_and_never_shows_its_value() {
    for (head, says) in [
        ("SSH-2.0-OpenSSH_9.2 SECRET\r\n", "because of line 1, its status line"),
        ("HTTP/1.1 2xx SECRET\r\n\r\n", "because of line 1, its status line"),
        ("HTTP/2 200 SECRET\r\n\r\n", "because of line 1, its status line"),
        ("HTTP/1.1 200 OK\r\na: b\r\n\r\r\n", "because of line 3"),
        ("HTTP/1.1 200 OK\r\nx-odd: SECRET\r\r\n\r\n", "because of line 2, the field x-odd"),
        ("HTTP/1.1 200 OK\r\na: b\r\nX-Odd : SE\rCRET\r\n\r\n", "because of line 3, the field x-odd"),
        ("HTTP/1.1 200 OK\r\na: b\r\nSECRET \0 SECRET: SECRET\r\n\r\n", "because of line 3"),
        ("HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nodd: SECRET\0\r\n\r\n", "because of line 2, the field odd"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 7\r\ncontent-length: 8\r\n\r\n", "content-length"),
    ] {
        for length in 1..=head.len() {
            let error = refused(head, length);
            assert!(error.contains(says), "{head:?} in pieces of {length}: {error}");
            assert!(!error.contains("SECRET"), "{error}");
        }
    }
}

/// Else the body might begin where an event is already under way.
#[test]
fn two_readings_of_a_head_must_agree() {
    let head = "HTTP/1.1 200 OK\r\nA: b\r\nc: d\r\na: e\r\n\r\n";
    let received = ReceivedHead::parse(head.as_bytes()).unwrap().unwrap();
    let read = |status: u16, names: &[&'static str]| {
        let mut response = http::Response::builder().status(status);
        for &name in names {
            response = response.header(name, "x");
        }
        response.body(()).unwrap().into_parts().0
    };
    assert!(received.check(&read(200, &["a", "c", "a"])).is_ok());
    for other in [read(404, &["a", "c", "a"]), read(200, &["a", "c"]), read(200, &["a", "c", "c"]), read(200, &[])] {
        let error = received.check(&other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().contains("httparse finds status 200 and 3 fields, hyper finds status"), "{error}");
    }
}

/// Else hyper would have bytes of the body, and an event might be lost.
#[test]
fn a_head_that_hyper_takes_for_shorter_is_an_error_and_no_loss() {
    const PLAIN: &str = "HTTP/1.1 200 OK\r\n\r\n";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    // Whether the whole request can be sent before the answer.
    for room in [4096, 4] {
        for head in [PLAIN, CHUNKED, EMPTY] {
            for (body, surplus, is_known) in
                [("", 0, true), ("5\r\nabc", 0, true), ("5\r\nabc", 1, true), ("5\r\nabc", 3, true), ("", 0, false)]
            {
                let (client, _server) = duplex(room);
                let (io, gate) = HeadGate::new(Box::new(client));
                let mut sending = spawn(send_through(io, gate.clone(), request()));
                assert!(sending.poll().is_pending());
                let received = ReceivedHead::parse(head.as_bytes()).unwrap().filter(|_| is_known);
                gate.set_head((head.to_owned() + body).as_bytes(), head.len() + surplus, received);
                let Poll::Ready(sent) = sending.poll() else { panic!("a head has come") };
                let what = format!("{head:?}, {surplus} bytes more, known: {is_known}, {room}");
                let Err(error) = sent else {
                    assert_eq!((surplus, is_known), (0, true), "{what}");
                    continue;
                };
                assert!(surplus > 0 || !is_known, "{what}: {error}");
                assert_eq!(error.kind(), ErrorKind::Protocol, "{what}");
                assert!(error.to_string().contains("hyper takes it for complete"), "{error}");
            }
        }
    }
}

#[test]
fn empty_lines_before_a_head_are_skipped_up_to_the_length_of_a_head() {
    let lines = |bytes| "\n\r\n".repeat(bytes / 3);
    let head = "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    assert!(ours(&(lines(MAX_HEAD) + head), &[4096]).is_some());
    let error = refused(&lines(MAX_HEAD + 3), 4096);
    assert!(error.starts_with("the server sent 408 KiB of empty lines in place of a response head"), "{error}");
}

#[test]
fn chunks_in_http_1_0_are_decoded() {
    let response = "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nrest";
    for length in 1..=response.len() {
        let reading = ours(response, &[length]).unwrap();
        assert_eq!((&*reading.body, reading.is_complete), (&b"abc"[..], true), "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3_000, rng_seed: RngSeed::Fixed(0x4854_5450), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn a_body_is_the_same_as_hyper_reads_it(
        head in select(HEADS),
        body in proptest::collection::vec(select(BODY), 0..6),
        lengths in proptest::collection::vec(1_usize..40, 1..3),
    ) {
        compare((head.to_owned() + &body.concat()).as_bytes(), &lengths);
    }

    /// It is refused, or decoded. Also by hyper alone, whose list of codings is another one.
    #[test]
    fn lines_between_chunks_are_never_part_of_an_accepted_body(
        codings in proptest::collection::vec(
            select(&["chunked", "Chunked", "identity", "gzip", "", " ", "chunked;q=1", "\u{fc}"][..]), 0..5),
        joints in proptest::collection::vec(select(&[",", ", ", "\t,", "\r\nTransfer-Encoding: "][..]), 5),
        place in 0..5_usize,
        version in 0..2,
    ) {
        let mut codings = codings;
        codings.insert(place.min(codings.len()), "chunked");
        let list: String = codings.iter().zip(&joints).flat_map(|(coding, joint)| [*coding, *joint]).collect();
        let head = format!("HTTP/1.{version} 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: {list}\r\n\r\n");
        let response = head + "9\r\ndata: 100\r\n5\r\n0000\n\r\n1\r\n\n\r\n0\r\n\r\n";
        for reading in read(response.as_bytes(), &[]).into_iter().flatten() {
            if judge(reading.status, &reading.headers, || None) == ResponseVerdict::Accept {
                prop_assert_eq!(&reading.body[..], &b"data: 1000000\n\n"[..], "{}", &response);
            }
        }
    }
}
