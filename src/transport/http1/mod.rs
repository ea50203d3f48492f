//! HTTP/1.1 on a connection of the stream's own: hyper sends the request and reads the head; the body is read here.
//!
//! hyper hands a body over chunk by chunk, through a channel between two futures. A server that flushes each event
//! sends a chunk for each, and that channel (its atomics and the reference count of each piece) was then two thirds
//! of all CPU of a stream, even with both futures in one task. Here all chunks that one read brought become one
//! piece, in place. See `benches/README.md` for what that is worth.

mod framing;
mod heads;
mod message;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Context;

use bytes::Bytes;
use http::Request;
use http::response::Parts;
use http_body_util::Full;
use hyper::client::conn::http1::{Builder, Connection};
use hyper_util::rt::TokioIo;

use super::Io;

use self::framing::Framing;
use self::heads::{Gate, HeadsOnly};
pub(super) use self::message::Message;

/// A head that is larger fails. hyper's own default, named since it is what a server can make us keep.
const LARGEST_HEAD: usize = 8 * 1024 + 400 * 1024;

/// hyper's side of a connection.
struct Sender {
    /// `None` once it has ended. How is only detail: what is read decides.
    connection: Option<Connection<TokioIo<HeadsOnly>, Full<Bytes>>>,
    gate: Gate,
}

impl Sender {
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection {
            if Pin::new(connection).poll(cx).is_ready() {
                self.connection = None;
            }
        }
    }

    /// Whether the whole request has gone out, or never will.
    fn is_done(&self) -> bool {
        self.connection.is_none() || self.gate.is_flushed()
    }
}

/// Sends the request and reads the response's head.
///
/// # Errors
///
/// hyper's: no answer came, or none that is HTTP.
pub(super) async fn begin(io: Box<dyn Io>, request: Request<Full<Bytes>>) -> hyper::Result<(Parts, Message)> {
    let (heads, gate) = HeadsOnly::new(io);
    let mut http1 = Builder::new();
    // Headers that are folded over lines are for servers to refuse, not for user agents (RFC 9112, section 5.2).
    http1.max_buf_size(LARGEST_HEAD).allow_obsolete_multiline_headers_in_responses(true);
    let (mut requests, connection) = http1.handshake(TokioIo::new(heads)).await?;
    let mut sender = Sender { connection: Some(connection), gate };
    let mut response = pin!(requests.send_request(request));
    let response = poll_fn(|cx| {
        sender.poll(cx);
        response.as_mut().poll(cx)
    });
    let (head, body) = response.await?.into_parts();
    let framing = Framing::of(&head, &body);
    Ok((head, Message::new(sender, framing)))
}

#[cfg(test)]
mod tests;
