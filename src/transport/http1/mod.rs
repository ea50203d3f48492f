//! HTTP/1.1 on a connection of the stream's own. hyper sends the request and reads the response
//! head; [`Http1Body`] reads the body.
//!
//! hyper passes a body on chunk by chunk, through a channel between two futures. A server that
//! flushes each event sends one chunk per event, and that channel (its atomics, and the reference
//! count of each piece) was two thirds of a stream's CPU time, even with both futures in one task.
//! Here all chunks of one read become one piece, in place; `benches/README.md` has the figures.
//!
//! ```text
//! socket ─┬─ HeadGate ── hyper            until the head is complete
//!         └─ Framing ─── Http1Body        from then on
//! ```
//!
//! `head_gate` gives hyper the bytes of response heads and not one byte of a body. The body's
//! framing must never disagree with hyper about where the head ends: the gate only counts lines and
//! leaves it to hyper to accept or reject the head, and `body_framing` takes over only from a head
//! that hyper accepted.

mod body_framing;
mod head_gate;
mod http1_body;

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::Context;

use bytes::Bytes;
use http::Request;
use http::response::Parts;
use http_body_util::Full;
use hyper::client::conn::http1::{Builder, Connection};
use hyper_util::rt::TokioIo;

use super::connector::Io;

use self::body_framing::Framing;
use self::head_gate::{GateHandle, HeadGate};
pub(super) use self::http1_body::Http1Body;

/// Maximum size of a response head. It is hyper's default, named because it bounds the memory that
/// a server can make the client use.
const MAX_HEAD: usize = 8 * 1024 + 400 * 1024;

/// Sends the request and reads the response's head.
///
/// # Errors
///
/// hyper's: no answer came, or none that is HTTP.
///
/// # Cancel safety
///
/// Dropping the future closes the connection.
pub(super) async fn send(io: Box<dyn Io>, request: Request<Full<Bytes>>) -> hyper::Result<(Parts, Http1Body)> {
    let (io, gate) = HeadGate::new(io);
    let mut http1 = Builder::new();
    // A user agent accepts headers that are folded over lines (RFC 9112, section 5.2).
    http1.max_buf_size(MAX_HEAD).allow_obsolete_multiline_headers_in_responses(true);
    let (mut requests, connection) = http1.handshake(TokioIo::new(io)).await?;
    let mut sender = RequestSender { connection: Some(connection), gate };
    let mut response = pin!(requests.send_request(request));
    let response = poll_fn(|cx| {
        // The connection moves the bytes. Polled here, it needs neither a task of its own nor a
        // channel.
        sender.poll(cx);
        response.as_mut().poll(cx)
    });
    // A server may answer before it has read the whole request.
    let (head, body) = response.await?.into_parts();
    let framing = Framing::of(&head, &body);
    Ok((head, Http1Body::new(sender, framing)))
}

/// hyper's side of a connection. It must be polled until the whole request is sent.
struct RequestSender {
    /// `None` once it has ended. Its result does not matter: the bytes that are read decide.
    connection: Option<Connection<TokioIo<HeadGate>, Full<Bytes>>>,
    gate: GateHandle,
}

impl RequestSender {
    /// Lets hyper send and receive.
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection {
            if Pin::new(connection).poll(cx).is_ready() {
                self.connection = None;
            }
        }
    }

    /// Returns true if the whole request has been sent, or never will be.
    fn is_done(&self) -> bool {
        self.connection.is_none() || self.gate.lock().flushed
    }
}

#[cfg(test)]
mod tests;
