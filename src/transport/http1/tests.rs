//! Compares bodies with those that hyper reads from the same bytes.

use std::future::poll_fn;
use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

/// The body, and whether it was complete; `None` without a head.
type ReadBody = Option<(Vec<u8>, bool)>;

/// The heads of responses, and bytes that are none.
const HEADS: &[&str] = &[
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked \r\ncontent-length: 3\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n",
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
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\r\nno field\r\n\r\n",
    "\r\nHTTP/1.1 200 OK\r\n\r\n",
];
/// Without lone line feeds: hyper takes some of them among trailers, which are refused here.
const BODY: &[&str] = &[
    "0\r\n\r\n",
    "1\r\nx\r\n",
    "5\r\nhello\r\n",
    "a;x=y\r\n0123456789\r\n",
    "3 \r\nabc\r\n",
    "2\r\nabc\r\n",
    "\r\n",
    "0",
    "f",
    "0\r\nx: y\r\n\r\n",
    ";",
    "data: x",
    "fffffffffffffffff\r\n",
    "5\r\nhel",
    "-1\r\n",
    "0x1\r\n",
];

fn request() -> Request<Full<Bytes>> {
    Request::get("/").header("host", "x").body(Full::default()).unwrap()
}

/// Returns a connection that a server answers with these pieces and then closes.
fn answered(pieces: Vec<Vec<u8>>) -> DuplexStream {
    let (client, mut server) = duplex(64 * 1024);
    tokio::spawn(async move {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(server.read_u8().await?);
        }
        for piece in pieces {
            server.write_all(&piece).await?;
            // The client reads a piece before the next comes.
            tokio::task::yield_now().await;
        }
        io::Result::Ok(())
    });
    client
}

async fn ours(pieces: Vec<Vec<u8>>) -> ReadBody {
    let (_, mut response) = send(Box::new(answered(pieces)), request()).await.ok()?;
    let mut body = Vec::new();
    loop {
        match poll_fn(|cx| response.poll_data(cx)).await {
            Some(Ok(data)) => body.extend_from_slice(&data),
            end => return Some((body, end.is_none())),
        }
    }
}

async fn hypers(pieces: Vec<Vec<u8>>) -> ReadBody {
    let (mut requests, connection) = handshake(TokioIo::new(answered(pieces))).await.ok()?;
    tokio::spawn(connection);
    let mut response = requests.send_request(request()).await.ok()?.into_body();
    let mut body = Vec::new();
    loop {
        match response.frame().await {
            Some(Ok(frame)) => body.extend(frame.into_data().unwrap_or_default()),
            end => return Some((body, end.is_none())),
        }
    }
}

/// User agents have to accept it (RFC 9112, section 5.2).
#[tokio::test]
async fn a_folded_header_is_read_as_one_line() {
    let wire = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream;\r\n\t charset=utf-8\r\na:\n b\r\n \r\n\r\nc";
    for size in 1..=wire.len() {
        let pieces = wire.chunks(size).map(<[u8]>::to_vec).collect();
        let (head, mut response) = send(Box::new(answered(pieces)), request()).await.unwrap();
        assert_eq!(head.headers["content-type"], "text/event-stream; charset=utf-8", "{size}");
        assert_eq!(head.headers["a"], "b", "{size}");
        assert_eq!(poll_fn(|cx| response.poll_data(cx)).await.unwrap().unwrap(), "c", "{size}");
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
        size in 1_usize..40,
    ) {
        let wire = head.to_owned() + &body.concat();
        let pieces: Vec<Vec<u8>> = wire.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (ours, hypers) = runtime.block_on(async { (ours(pieces.clone()).await, hypers(pieces).await) });
        prop_assert_eq!(ours, hypers, "{:?}", wire);
    }
}
