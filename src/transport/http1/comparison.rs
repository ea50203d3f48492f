//! Reads a response with this crate's reader and with hyper's, out of the same pieces, and compares
//! what they read. For tests and `fuzz/`.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};
use http::header::TRANSFER_ENCODING;
use http::response::Parts;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::response::transfer_codings;

use super::received_head::ReceivedHead;
use super::{exchange, plain};

/// What a reader made of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) is_complete: bool,
}

/// Checks that a response, in pieces of these lengths in turn, is the same for both readers. Both
/// may refuse it.
///
/// # Panics
///
/// If they differ in the head, in a byte of the body, or in whether it is complete.
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "only the fuzz target is another crate"))]
pub fn compare(response: &[u8], lengths: &[usize]) {
    let [ours, mut hypers] = read(response, lengths);
    let Some(ours) = ours else { return assert_eq!(hypers, None, "only hyper takes it") };
    if hypers.as_ref().is_none_or(|hypers| ours.headers != hypers.headers) {
        // Only this crate takes codings in HTTP/1.0, and `chunked,` for `chunked`. hyper gets a
        // head without these oddities.
        let (head, body) = response.split_at(body_start(response));
        assert!(hypers.is_some() || head.windows(8).any(|text| text == b"HTTP/1.0"), "only this crate takes it");
        let Reading { status, mut headers, .. } = hypers.unwrap_or_else(|| ours.clone());
        let mut plain = format!("HTTP/1.1 {} x\r\n", status.as_u16()).into_bytes();
        if ours.headers.get_all(TRANSFER_ENCODING).iter().eq(["chunked"]) {
            headers.insert(TRANSFER_ENCODING, http::HeaderValue::from_static("chunked"));
            plain.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        let [_, plain] = read(&[&plain, &b"\r\n"[..], body].concat(), lengths);
        hypers = plain.map(|plain| Reading { status, headers, ..plain });
    }
    // A body in another coding is refused, in whichever way it is framed.
    if transfer_codings(&ours.headers).all(|coding| coding.eq_ignore_ascii_case("chunked")) {
        assert_eq!(Some(ours), hypers);
    }
}

/// Returns where the body begins in a response that was accepted.
fn body_start(response: &[u8]) -> usize {
    let mut start = 0;
    loop {
        let head = ReceivedHead::parse(&response[start..]).unwrap().unwrap();
        start += head.length;
        if !head.is_interim() {
            return start;
        }
    }
}

/// Reads a response with this crate's reader and with hyper's; `None` for one without a valid head.
pub(super) fn read(response: &[u8], lengths: &[usize]) -> [Option<Reading>; 2] {
    let ours = run(async {
        let (head, mut body) = exchange::send(ScriptedServer::boxed(response, lengths), request()).await.ok()?;
        Some(reading(head, |cx| body.poll_data(cx)).await)
    });
    let hypers = run(async {
        let (head, mut body) = plain::send(ScriptedServer::boxed(response, lengths), request()).await.ok()?;
        Some(reading(head, |cx| body.poll_data(cx)).await)
    });
    [ours, hypers]
}

pub(super) fn request() -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    request.headers_mut().insert("host", http::HeaderValue::from_static("x"));
    request
}

/// Reads a body to its end, or to its error.
async fn reading(head: Parts, mut poll: impl FnMut(&mut Context<'_>) -> Poll<Option<io::Result<Bytes>>>) -> Reading {
    let mut reading = Reading { status: head.status, headers: head.headers, body: Vec::new(), is_complete: false };
    loop {
        match poll_fn(&mut poll).await {
            Some(Ok(data)) => reading.body.extend_from_slice(&data),
            end => return Reading { is_complete: end.is_none(), ..reading },
        }
    }
}

/// Polls a future until it is ready. Nothing wakes it: neither a socket nor a timer is involved.
pub(super) fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..100_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
    panic!("the reader waits for more bytes after the end of the connection");
}

/// A connection to a server that answers the request with pieces of a response, and closes.
pub(super) struct ScriptedServer {
    pieces: VecDeque<Bytes>,
    /// The request has come.
    is_asked: bool,
    /// A piece has ended, and the next is still under way.
    is_between: bool,
}

impl ScriptedServer {
    /// Cuts a response into pieces of these lengths in turn.
    pub(super) fn boxed(response: &[u8], lengths: &[usize]) -> Box<Self> {
        let mut rest = Bytes::copy_from_slice(response);
        let mut lengths = lengths.iter().cycle();
        let mut pieces = VecDeque::new();
        while !rest.is_empty() {
            let length = lengths.next().map_or(rest.len(), |&length| length.clamp(1, rest.len()));
            pieces.push_back(rest.split_to(length));
        }
        Box::new(Self { pieces, is_asked: false, is_between: false })
    }
}

impl AsyncRead for ScriptedServer {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.is_asked || std::mem::take(&mut self.is_between) {
            return Poll::Pending;
        }
        if let Some(piece) = self.pieces.front_mut() {
            let count = piece.len().min(buf.remaining());
            buf.put_slice(&piece.split_to(count));
            if !piece.has_remaining() {
                self.pieces.pop_front();
                self.is_between = true;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ScriptedServer {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.is_asked |= data.ends_with(b"\r\n\r\n");
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
