//! eventsource-client. Its parser is private, so its public client runs over a transport in memory.
//!
//! The figure includes the whole client, which costs little beside its parser. Reconnection is off,
//! so the end of the chunks is the end of the stream.

use std::future::ready;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use eventsource_client::{Client, ClientBuilder, ReconnectOptions, SSE};
use futures_util::stream;
use http::{Request, Response};
use launchdarkly_sdk_transport::{ByteStream, HttpTransport, ResponseFuture};

use super::{Input, count};

pub fn run(input: Input) -> usize {
    let transport = InMemory { chunks: Arc::new(Mutex::new(input.chunks)) };
    let client = ClientBuilder::for_url("http://localhost/")
        .expect("a valid URL")
        .reconnect(ReconnectOptions::reconnect(false).build())
        .build_with_transport(transport);
    count(client.stream(), |item| matches!(item, Ok(SSE::Event(_))))
}

/// A transport that answers the one request with the chunks.
#[derive(Clone)]
struct InMemory {
    chunks: Arc<Mutex<Vec<Bytes>>>,
}

impl HttpTransport for InMemory {
    fn request(&self, _: Request<Option<Bytes>>) -> ResponseFuture {
        let chunks = std::mem::take(&mut *self.chunks.lock().expect("no panic while it is held"));
        let body: ByteStream = Box::pin(stream::iter(chunks.into_iter().map(Ok)));
        Box::pin(ready(Ok(Response::new(body))))
    }
}
