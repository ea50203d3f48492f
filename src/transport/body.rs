//! [`Body`]: what a response says, without its content coding.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;

use crate::error::Error;

use super::coding::{self, Decoding};
use super::exchange::Exchange;

/// The body of an open response. Dropping it closes the connection.
pub(crate) struct Body {
    exchange: Exchange,
    decoding: Option<Box<Decoding>>,
}

impl Body {
    /// The body of a response with these headers. A coding that is decoded here is taken out of them.
    pub(super) fn new(exchange: Exchange, headers: &mut HeaderMap) -> Self {
        Self { exchange, decoding: coding::take(headers) }
    }

    /// The next bytes of the body; `None` at its end.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let Self { exchange, decoding } = self;
        match decoding {
            None => exchange.poll_data(cx),
            Some(decoding) => decoding.poll_data(cx, |cx| exchange.poll_data(cx)),
        }
    }
}
