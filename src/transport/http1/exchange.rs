//! [`send`]: a request, and the head of its response.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use http::Request;
use http::header::{HeaderValue, TRANSFER_ENCODING};
use http::response::Parts;
use http_body_util::Full;
use hyper_util::rt::TokioIo;

use crate::error::Error;
use crate::response::transfer_codings;

use super::super::connector::Io;
use super::body_framing::{ChunkState, Framing};
use super::head_gate::{GateHandle, HeadGate};
use super::http1_body::Http1Body;
use super::received_head::{MAX_HEAD, builder, no_answer};
use super::request_sender::RequestSender;

/// Sends the request and reads the response's head.
///
/// # Errors
///
/// `Protocol`: no answer came, or none that is HTTP.
///
/// # Cancel safety
///
/// Dropping the future closes the connection.
pub(in crate::transport) async fn send(
    io: Box<dyn Io>,
    request: Request<Full<Bytes>>,
) -> Result<(Parts, Http1Body), Error> {
    let (io, gate) = HeadGate::new(io);
    send_through(io, gate, request).await
}

/// Does what [`send`] does. Tests change what the gate takes for a head.
pub(super) async fn send_through(
    io: HeadGate,
    gate: GateHandle,
    request: Request<Full<Bytes>>,
) -> Result<(Parts, Http1Body), Error> {
    let (mut requests, connection) =
        builder().max_buf_size(MAX_HEAD).handshake(TokioIo::new(io)).await.map_err(no_answer)?;
    let mut sender = RequestSender::new(connection, gate);
    let mut response = pin!(requests.send_request(request));
    let response = poll_fn(|cx| {
        loop {
            // The connection moves the bytes. Polled here, it needs neither a task of its own nor a
            // channel.
            sender.poll(cx);
            match response.as_mut().poll(cx) {
                Poll::Pending if sender.gate.release_end() => {}
                polled => return polled,
            }
        }
    });
    let response = response.await.map_err(|error| sender.gate.take_error().unwrap_or_else(|| no_answer(error)))?;
    let (mut head, body) = response.into_parts();
    let received = sender.gate.take_over()?;
    received.head.check(&head)?;
    head.version = received.head.version;
    let framing = Framing::of(&head, &body);
    let is_chunked = transfer_codings(&head.headers).all(|coding| coding.eq_ignore_ascii_case("chunked"));
    if is_chunked && framing == Framing::Chunked(ChunkState::Size) {
        // Without empty elements and repetitions, which other readers take for other codings.
        head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if sender.is_done() {
        return Ok((head, Http1Body::new(received, framing, None)));
    }
    // A server may answer before it has read the whole request.
    sender.body = Some(body);
    Ok((head, Http1Body::new(received, framing, Some(Box::new(sender)))))
}
