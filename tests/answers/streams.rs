//! The end mark of a stream.

use std::future::{Ready, ready};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use sseclient::testing::Script;
use sseclient::{
    Apply, Client, CloseReason, Commit, Delivery, ErrorKind, Event, FileStore, Filter, ResumeStore as _, StreamBuilder,
    Subscription, TranscriptItem,
};
use tokio::sync::oneshot;

use crate::script::{self, bytewise, script, text};
use crate::support::folder::Folder;
use crate::support::{follow, headers, numbered, serve, short, staying, stream, until, within};

/// All that a subscription gets, in short, and why it ended.
pub async fn all(events: Subscription) -> (Vec<String>, String) {
    within(all_in_any_time(events)).await
}

pub async fn all_in_any_time(mut events: Subscription) -> (Vec<String>, String) {
    let mut items = Vec::new();
    while let Some(delivery) = events.recv().await {
        items.push(match delivery {
            Delivery::Event(event) => event.data().to_owned(),
            Delivery::Gap(gap) => gap.to_string(),
        });
    }
    let reason = match events.close_reason().unwrap() {
        CloseReason::Failed(error) => error.kind().as_str().to_owned(),
        reason => format!("{reason:?}"),
    };
    (items, reason)
}

pub async fn open(stream: StreamBuilder) -> Subscription {
    within(stream.open(Filter::all())).await.unwrap()
}

/// A response that ends after this text.
pub fn ending(text: impl Into<Bytes>) -> Script {
    Script::open().bytes(text).end()
}

#[tokio::test]
async fn the_end_mark_closes_the_stream_and_is_not_published() {
    for input in [
        "data: a\n\ndata: [DONE]\n\n",
        "data: a\n\ndata: [DONE]\n\ndata: b\n\n",
        "data: a\n\ndata: [DONE]\n\ndata: [DONE]\n\ndata: b\n\n",
        "data: a\n\n: x\nevent: done\ndata: [DONE]\n\n",
    ] {
        // The server leaves the connection open.
        let server = staying(input).await;
        let (items, reason) = all(open(stream(server.url()).end_mark("[DONE]")).await).await;
        assert_eq!((items, reason.as_str()), (vec!["a".to_owned()], "EndMark"), "{input:?}");
        assert_eq!(server.requests().len(), 1);
    }
    // Without a blank line, at the end of the response.
    let server = serve(ending("data: a\n\ndata: [DONE]")).await;
    let (items, reason) = all(open(stream(server.url()).end_mark("[DONE]")).await).await;
    assert_eq!((items, reason.as_str()), (vec!["a".to_owned()], "EndMark"));
}

#[tokio::test]
async fn the_end_mark_is_in_no_transcript_and_its_id_counts() {
    let server = staying("id: 1\ndata: a\n\nid: 2\ndata: [DONE]\n\n").await;
    let handle = stream(server.url()).end_mark("[DONE]").build().unwrap();
    let mut transcript = handle.transcript();
    handle.connect();
    let mut events = Vec::new();
    while let Some(item) = within(transcript.recv()).await {
        if let TranscriptItem::Event(event) = item {
            events.push(event.data().to_owned());
        }
    }
    assert_eq!(events, ["a"]);
    assert!(matches!(within(handle.closed()).await, CloseReason::EndMark));
    assert_eq!(handle.last_event_id(), "2");
}

/// Its ID is that of an event before the newest, so the stream does not go back to it.
#[tokio::test]
async fn a_mark_with_the_id_of_a_repeat_is_still_the_mark() {
    let server = staying(format!("{}id: 1\ndata: [DONE]\n\n", numbered([1, 2, 1]))).await;
    let events = open(stream(server.url()).drop_repeats(10).end_mark("[DONE]")).await;
    let handle = events.handle().clone();
    assert_eq!(all(events).await, (vec!["1".to_owned(), "2".to_owned()], "EndMark".to_owned()));
    assert_eq!(handle.last_event_id(), "2");
}

/// A transport that answers each request with a body that `body` makes.
fn answering(
    coding: &'static str,
    body: impl Fn() -> script::Script + Send + Sync + 'static,
) -> impl Fn(Request<Bytes>) -> Ready<http::Result<Response<script::Script>>> {
    move |_| {
        let response = Response::builder().header("content-type", "text/event-stream");
        ready(response.header("content-encoding", coding).body(body()))
    }
}

#[tokio::test]
async fn the_mark_is_found_wherever_chunks_cut_it_and_its_id_counts() {
    for input in [
        "data: a\n\nid: 7\ndata: [DONE]\n\ndata: b\n\n",
        "data: a\r\n\r\nid: 7\r\ndata: [DONE]\r\n\r\ndata: b\r\n\r\n",
        // Without a blank line, or without any line end.
        "data: a\n\nid: 7\ndata: [DONE]\n",
        "data: a\n\ndata: [DONE]\nid: 7",
    ] {
        // At the last place it is one byte at a time.
        for cut in 1..=input.len() {
            let body = move || match input.split_at(cut) {
                (whole, "") => bytewise(whole.as_bytes()),
                (first, second) => script([text(first), text(second)]),
            };
            let client = Client::builder().transport(answering("identity", body)).build();
            let events = open(client.stream("http://host/").end_mark("[DONE]")).await;
            let handle = events.handle().clone();
            assert_eq!(all(events).await, (vec!["a".to_owned()], "EndMark".to_owned()), "{input:?}, {cut}");
            assert_eq!(handle.last_event_id(), "7", "{input:?}, {cut}");
        }
    }
}

#[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
#[tokio::test]
async fn the_mark_is_found_in_a_compressed_answer() {
    for coding in crate::support::codings::CODINGS {
        let mut encoder = (coding.encoder)();
        let mut encoded = encoder.flush("data: a\n\nid: 7\ndata: [DONE]");
        encoded.extend(encoder.finish());
        let client = Client::builder().transport(answering(coding.name, move || bytewise(&encoded))).build();
        let events = open(client.stream("http://host/").end_mark("[DONE]")).await;
        let handle = events.handle().clone();
        assert_eq!(all(events).await, (vec!["a".to_owned()], "EndMark".to_owned()), "{}", coding.name);
        assert_eq!(handle.last_event_id(), "7", "{}", coding.name);
    }
}

/// The first response is cut off. The second ends with the mark, with or without a blank line.
#[tokio::test]
async fn the_id_of_the_mark_is_saved_in_a_store() {
    let folder = Folder::new("end-mark");
    for (number, end) in ["\n\n", "\n", ""].into_iter().enumerate() {
        let path = folder.join(number.to_string());
        let last = Script::open().bytes(format!("id: 2\ndata: [DONE]{end}"));
        // At a blank line the client leaves.
        let last = if end == "\n\n" { last } else { last.end() };
        let server = serve([ending(numbered([1])), last]).await;
        let store = FileStore::new(&path);
        let question = stream(server.url()).end_mark("[DONE]").resume_store(store, Commit::Delivery);
        let events = open(question).await;
        let handle = events.handle().clone();
        let items = ["1", "reconnected, resuming after ID \"1\""].map(str::to_owned).to_vec();
        assert_eq!(all(events).await, (items, "EndMark".to_owned()), "{end:?}");
        assert_eq!(handle.last_event_id(), "2", "{end:?}");
        within(handle.shutdown()).await;
        let saved = within(FileStore::new(&path).load()).await.unwrap();
        assert_eq!(saved.as_deref(), Some("2"), "{end:?}");
    }
}

#[tokio::test]
async fn the_mark_ends_a_handover_from_either_response() {
    for of_second in [true, false] {
        let (tell, told) = oneshot::channel::<()>();
        let open = || Script::open().bytes(numbered([1]));
        let marked = open().wait_for(told).bytes("id: 2\ndata: [DONE]\n\n");
        // The second response repeats the event, or does not begin.
        let server = serve(if of_second { [open(), marked] } else { [marked, Script::raw()] }).await;
        let (handle, mut events) = follow(stream(server.url()).end_mark("[DONE]"));
        assert_eq!(short(&mut events).await, "1");
        let update = handle.update(|request| request, Apply::MakeBeforeBreak);
        until("the second request comes", || server.requests().len() == 2).await;
        if of_second {
            within(update).await.unwrap();
            tell.send(()).unwrap();
        } else {
            tell.send(()).unwrap();
            assert_eq!(within(update).await.unwrap_err().kind(), ErrorKind::Closed);
        }
        assert_eq!(all(events).await, (vec![], "EndMark".to_owned()));
        assert_eq!(handle.last_event_id(), "2");
    }
}

#[tokio::test]
async fn an_answer_without_its_mark_is_repeated_or_the_end_as_the_policy_says() {
    let part = |id: &str, rest: &str| Script::open().bytes(format!("id: {id}\ndata: {id}\n\n{rest}"));
    let server = serve([part("1", "").end(), part("2", "data: [DO").end(), part("3", "data: [DONE]\n\n")]).await;
    let (items, reason) = all(open(stream(server.url()).end_mark("[DONE]")).await).await;
    let gaps = ["reconnected, resuming after ID \"1\"", "reconnected, resuming after ID \"2\""];
    assert_eq!(items, ["1", gaps[0], "2", gaps[1], "3"]);
    assert_eq!(reason, "EndMark");
    assert_eq!(headers(&server, "last-event-id"), [None, Some("1".to_owned()), Some("2".to_owned())]);

    for never in [|question: StreamBuilder| question.once(), |question: StreamBuilder| question.body("?")] {
        let server = serve(part("1", "").end()).await;
        let question = never(stream(server.url()));
        let (items, reason) = all(open(question.end_mark("[DONE]")).await).await;
        assert_eq!((items, reason.as_str()), (vec!["1".to_owned()], "incomplete"));
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn the_mark_is_any_event_that_the_caller_says_and_no_lock_is_held() {
    let server = staying("event: a\ndata: 1\n\nevent: message_stop\ndata: {}\n\n").await;
    let handle = Arc::new(std::sync::OnceLock::<sseclient::Handle>::new());
    let inside = Arc::clone(&handle);
    let is_stop = move |event: &Event| {
        // Each of these takes the lock of the queues.
        let handle = inside.get().unwrap();
        assert_eq!(handle.last_event_id(), "");
        drop(handle.subscribe("other"));
        event.event_type() == "message_stop"
    };
    // Of two marks the last call counts.
    handle.set(stream(server.url()).end_mark("1").ends_when(is_stop).build().unwrap()).unwrap();
    let events = handle.get().unwrap().subscribe(Filter::all());
    handle.get().unwrap().connect();
    assert_eq!(all(events).await, (vec!["1".to_owned()], "EndMark".to_owned()));
}

#[tokio::test]
async fn a_panic_in_the_callers_mark_ends_the_stream() {
    let server = staying("data: 1\n\n").await;
    let events = stream(server.url()).ends_when(|_| panic!("no such thing"));
    let (items, reason) = all(open(events).await).await;
    assert_eq!((items, reason.as_str()), (vec![], "task_failed"));
}

#[tokio::test]
async fn an_oversized_event_is_never_the_mark_of_a_stream() {
    let server = staying("data: 0123456789\n\ndata: x\n\n").await;
    let events = stream(server.url()).max_event_size(8);
    let (items, reason) =
        all(open(events.ends_when(|event| event.data() == "x" || event.data().len() > 8)).await).await;
    assert_eq!(items, ["1 event was skipped: over the size limit, 10 bytes"]);
    assert_eq!(reason, "EndMark");
}
