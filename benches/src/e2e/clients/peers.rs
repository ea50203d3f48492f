//! Other crates that are whole clients, used as in their own examples, and one put together by hand.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use eventsource_client::{Client, ClientBuilder, ReconnectOptions, SSE};
use futures_util::StreamExt;
use launchdarkly_sdk_transport::HyperTransport;
use reqwest_eventsource::{Event, EventSource};
use sse_core::{SseDecoder, SseEvent};

use super::{Sink, drain};

/// Our own default, in place of 512 KiB: one table has events of 1 MiB.
const MAX_EVENT_SIZE: NonZeroUsize = NonZeroUsize::new(16 << 20).expect("not zero");

pub async fn eventsource_client(url: &str, sink: Sink<'_>) {
    let transport = HyperTransport::builder().build_http().expect("a plain HTTP transport");
    let client = ClientBuilder::for_url(url)
        .expect("the URL from e2e")
        .reconnect(ReconnectOptions::reconnect(false).build())
        .build_with_transport(transport);
    let mut stream = client.stream();
    while let Some(Ok(item)) = stream.next().await {
        if let SSE::Event(event) = item
            && sink(event.data.as_bytes()).is_break()
        {
            break;
        }
    }
}

pub async fn reqwest_eventsource(url: &str, sink: Sink<'_>) {
    let mut stream = EventSource::get(url);
    while let Some(Ok(item)) = stream.next().await {
        if let Event::Message(event) = item
            && sink(event.data.as_bytes()).is_break()
        {
            break;
        }
    }
    stream.close();
}

/// The stream inside eventsrc-client, without reconnection. Its events are views of reqwest's
/// chunks.
pub async fn eventsrc(url: &str, sink: Sink<'_>) {
    let response = reqwest::get(url).await.expect("the server answers");
    let mut stream = eventsrc::EventStream::new(response.bytes_stream());
    while let Some(Ok(event)) = stream.next().await {
        if sink(event.data().as_bytes()).is_break() {
            break;
        }
    }
}

/// Drains reqwest's stream of chunks. The sink gets HTTP chunks.
pub async fn reqwest_drained(url: &str, sink: Sink<'_>) {
    let mut chunks = reqwest::get(url).await.expect("the server answers").bytes_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        if sink(&chunk).is_break() {
            break;
        }
    }
}

/// hyper in the task that reads, and sse-core on its chunks: no queue, no second task, no
/// reconnection.
pub async fn same_task_sse_core(url: &str, sink: Sink<'_>) {
    let mut decoder = SseDecoder::with_limit(MAX_EVENT_SIZE);
    let mut parse = |mut chunk: &[u8]| {
        while let Some(item) = decoder.next(&mut chunk) {
            if let Ok(SseEvent::Message(event)) = item {
                sink(event.data.as_bytes())?;
            }
        }
        ControlFlow::Continue(())
    };
    drain::same_task(url, &mut parse).await;
}
