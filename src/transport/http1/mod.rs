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
mod request_sender;

use bytes::Bytes;
use http::Request;
use http::response::Parts;
use http_body_util::Full;

use super::connector::Io;

pub(super) use self::http1_body::Http1Body;
use self::request_sender::RequestSender;

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
    let (head, framing, sender) = RequestSender::send(io, request).await?;
    Ok((head, Http1Body::new(sender, framing)))
}

#[cfg(test)]
mod tests;
