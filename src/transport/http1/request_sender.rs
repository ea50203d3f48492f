//! [`RequestSender`]: hyper's side of a connection, which sends the request and parses the head.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Context;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::Connection;
use hyper_util::rt::TokioIo;

use super::head_gate::{GateHandle, HeadGate};

/// hyper's side of a connection. It must be polled until the whole request is sent.
pub(super) struct RequestSender {
    /// `None` once it has ended. Its result does not matter: the bytes that are read decide.
    connection: Option<Connection<TokioIo<HeadGate>, Full<Bytes>>>,
    pub(super) gate: GateHandle,
    /// Never read, but hyper would read on without it, to find the end of the body.
    pub(super) body: Option<Incoming>,
}

impl RequestSender {
    pub(super) fn new(connection: Connection<TokioIo<HeadGate>, Full<Bytes>>, gate: GateHandle) -> Self {
        Self { connection: Some(connection), gate, body: None }
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
