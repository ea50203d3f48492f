//! [`RequestSender`]: hyper's side of a connection, which sends the request and parses the head.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::Context;

use bytes::Bytes;
use http::Request;
use http::response::Parts;
use http_body_util::Full;
use hyper::client::conn::http1::{Builder, Connection};
use hyper_util::rt::TokioIo;

use super::super::connector::Io;
use super::body_framing::Framing;
use super::head_gate::{GateHandle, HeadGate};

/// Maximum size of a response head. It is hyper's default, named because it bounds the memory that
/// a server can make the client use.
const MAX_HEAD: usize = 8 * 1024 + 400 * 1024;

/// hyper's side of a connection. It must be polled until the whole request is sent.
pub(super) struct RequestSender {
    /// `None` once it has ended. Its result does not matter: the bytes that are read decide.
    connection: Option<Connection<TokioIo<HeadGate>, Full<Bytes>>>,
    pub(super) gate: GateHandle,
}

impl RequestSender {
    /// Sends the request up to the response's head; a server may answer before it has read all.
    pub(super) async fn send(io: Box<dyn Io>, request: Request<Full<Bytes>>) -> hyper::Result<(Parts, Framing, Self)> {
        let (io, gate) = HeadGate::new(io);
        let mut http1 = Builder::new();
        // A user agent accepts headers that are folded over lines (RFC 9112, section 5.2).
        http1.max_buf_size(MAX_HEAD).allow_obsolete_multiline_headers_in_responses(true);
        let (mut requests, connection) = http1.handshake(TokioIo::new(io)).await?;
        let mut sender = Self { connection: Some(connection), gate };
        let mut response = pin!(requests.send_request(request));
        let response = poll_fn(|cx| {
            // The connection moves the bytes. Polled here, it needs neither a task of its own nor a
            // channel.
            sender.poll(cx);
            response.as_mut().poll(cx)
        });
        let (head, body) = response.await?.into_parts();
        let framing = Framing::of(&head, &body);
        Ok((head, framing, sender))
    }

    /// Lets hyper send and receive.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection {
            if Pin::new(connection).poll(cx).is_ready() {
                self.connection = None;
            }
        }
    }

    /// Returns true if the whole request has been sent, or never will be.
    pub(super) fn is_done(&self) -> bool {
        self.connection.is_none() || self.gate.lock().flushed
    }
}
