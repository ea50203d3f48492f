//! Connections of the caller's own client.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use sseclient::{Client, CloseReason, EventStream, Filter};
use tokio::io::AsyncReadExt as _;
use tokio::sync::Notify;
use tokio::task::yield_now;

use crate::script::in_short;
use crate::support::{RawServer, short, within};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// An event in a chunk of its own.
fn chunk(data: &str) -> String {
    format!("{:x}\r\ndata: {data}\n\n\r\n", data.len() + 8)
}

/// The end of the body comes in a piece of its own behind the mark, as from most servers: not
/// before the client has waited for it.
#[tokio::test]
async fn a_pooled_connection_is_used_again_after_the_end_mark() {
    let is_awaited = Arc::new(Notify::new());
    let end_is_awaited = Arc::clone(&is_awaited);
    let server = RawServer::start(move |number, mut connection| {
        let end_is_awaited = Arc::clone(&end_is_awaited);
        async move {
            loop {
                connection.send(&format!("{CHUNKED}{}{}", chunk(&number.to_string()), chunk("[DONE]"))).await;
                end_is_awaited.notified().await;
                connection.send("0\r\n\r\n").await;
                if !matches!(connection.io.read(&mut [0; 4096]).await, Ok(1..)) {
                    return;
                }
            }
        }
    })
    .await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for _question in 0..5 {
        let response = within(client.get(&server.url).send()).await.unwrap();
        let mut answer = EventStream::try_from_response(response.into()).unwrap().end_mark("[DONE]");
        assert_eq!(in_short(within(answer.recv()).await), "0", "of the first connection");
        let (end, ()) = within(async {
            tokio::join!(answer.recv(), async {
                for _turn in 0..20 {
                    yield_now().await;
                }
                is_awaited.notify_one();
            })
        })
        .await;
        assert_eq!(in_short(end), "end");
        drop(answer);
        // The client's own task returns the connection to the pool.
        for _turn in 0..100 {
            yield_now().await;
        }
    }
}

/// A stream does not wait for the end of the body behind the mark.
#[tokio::test]
async fn the_connection_of_a_stream_is_closed_at_the_end_mark() {
    let (closing, mut closed) = tokio::sync::mpsc::unbounded_channel();
    let server = RawServer::start(move |_, mut connection| {
        let closing = closing.clone();
        async move {
            connection.send(&format!("{CHUNKED}{}{}", chunk("a"), chunk("[DONE]"))).await;
            connection.closed().await;
            closing.send(()).unwrap();
        }
    })
    .await;
    let pool = reqwest::Client::builder().no_proxy().build().unwrap();
    let transport = move |request: Request<Bytes>| {
        let sending = reqwest::Request::try_from(request).map(|request| pool.execute(request));
        async { sending?.await.map(Response::<reqwest::Body>::from) }
    };
    let client = Client::builder().transport(transport).build();
    for question in 1..=3 {
        let mut answer =
            within(client.stream(&*server.url).once().end_mark("[DONE]").open(Filter::all())).await.unwrap();
        assert_eq!(short(&mut answer).await, "a");
        assert_eq!(within(answer.recv()).await, None);
        assert!(matches!(within(answer.handle().closed()).await, CloseReason::EndMark));
        within(closed.recv()).await.expect("the server sees the end of each connection");
        assert_eq!(server.requests().len(), question);
    }
}
