//! Compressed streams.

use std::error::Error as StdError;

use bytes::Bytes;
use http::Response;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use proptest::sample::Index;
use proptest::test_runner::RngSeed;
use sseclient::testing::Script;
use sseclient::{Delivery, Error, ErrorKind, EventStream, State};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::support::codings::{CODINGS, Coding};
use crate::support::{OPEN, RawServer, follow, headers, serve, setback, short, staying, stream, within};

/// A server that sends what the test hands it, and then closes.
async fn relay() -> (RawServer, mpsc::UnboundedSender<Vec<u8>>) {
    let (sender, receiver) = mpsc::unbounded_channel::<Vec<u8>>();
    let receiver = std::sync::Arc::new(tokio::sync::Mutex::new(receiver));
    let server = RawServer::start(move |_, mut connection| {
        let receiver = receiver.clone();
        async move {
            while let Some(bytes) = receiver.lock().await.recv().await {
                connection.io.write_all(&bytes).await.unwrap();
            }
        }
    })
    .await;
    (server, sender)
}

/// A response whose body consists of these chunks.
fn response(coding: &str, chunks: Vec<Vec<u8>>) -> Response<impl http_body::Body<Data = Bytes, Error = Error>> {
    let chunks = chunks.into_iter().map(|chunk| Ok::<_, Error>(http_body::Frame::data(Bytes::from(chunk))));
    let body = http_body_util::StreamBody::new(tokio_stream::iter(chunks));
    let head = Response::builder().header("content-type", "text/event-stream").header("content-encoding", coding);
    head.body(body).unwrap()
}

/// The data of a response's events, and the error at its end.
async fn events(coding: &str, chunks: Vec<Vec<u8>>) -> (Vec<String>, Option<Error>) {
    let mut events = EventStream::from_response(response(coding, chunks)).await.unwrap();
    let mut data = Vec::new();
    while let Some(delivery) = events.recv().await {
        match delivery {
            Ok(Delivery::Event(event)) => data.push(event.data().to_owned()),
            Ok(Delivery::Gap(gap)) => data.push(gap.to_string()),
            Err(error) => return (data, Some(error)),
        }
    }
    (data, None)
}

/// Some events, and a body in which the encoder flushed each of them.
fn some_events(coding: &Coding) -> (Vec<String>, Vec<u8>) {
    let data: Vec<_> = (0..20).map(|number| format!("{number} {}", "text ".repeat(number))).collect();
    let mut encoder = (coding.encoder)();
    let mut body: Vec<u8> = data.iter().flat_map(|data| encoder.flush(&format!("data: {data}\n\n"))).collect();
    body.extend(encoder.finish());
    (data, body)
}

#[tokio::test]
async fn an_event_is_delivered_before_the_next_one_is_sent() {
    for coding in CODINGS {
        let (server, sender) = relay().await;
        let (handle, mut subscription) = follow(stream(&server.url));
        sender.send(coding.open().into()).unwrap();
        within(handle.opened()).await.unwrap();
        let mut encoder = (coding.encoder)();
        for number in 0..50 {
            sender.send(encoder.flush(&format!("id: {number}\ndata: event {number}\n\n"))).unwrap();
            assert_eq!(short(&mut subscription).await, format!("event {number}"), "{}", coding.name);
        }
        let State::Open { response, .. } = handle.state() else { panic!("not open") };
        assert!(!response.headers().contains_key("content-encoding"), "it has been taken off");
        let mut states = handle.state_changes();
        sender.send(encoder.finish()).unwrap();
        drop(sender);
        let cause = setback(&mut states).await;
        assert_eq!(cause.kind(), ErrorKind::EndOfStream, "{}: {cause}", coding.name);
    }
}

#[tokio::test]
async fn requests_accept_the_codings_of_this_build_unless_the_caller_objects() {
    let server = staying("").await;
    let all = CODINGS.iter().map(|coding| coding.name).collect::<Vec<_>>().join(", ");
    let own = |stream: sseclient::StreamBuilder| stream.header("accept-encoding", "br;q=0.1");
    let cases = [
        (stream(server.url()), Some(all).filter(|all| !all.is_empty())),
        (own(stream(server.url())), Some("br;q=0.1".to_owned())),
        #[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
        (stream(server.url()).compression(false), None),
        #[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
        (own(stream(server.url()).compression(false)), Some("br;q=0.1".to_owned())),
    ];
    for (stream, expected) in cases {
        let before = server.requests().len();
        let (handle, _subscription) = follow(stream);
        within(handle.opened()).await.unwrap();
        handle.shutdown().await;
        assert_eq!(headers(&server, "accept-encoding")[before], expected);
    }
}

#[tokio::test]
async fn a_coding_that_this_build_does_not_decode_is_final_and_never_parsed() {
    let known = |name: &str| CODINGS.iter().any(|coding| coding.name == name);
    let codings = [
        "gzip",
        "x-gzip",
        "br",
        "zstd",
        "deflate",
        "compress",
        "X-Compress",
        "dcb",
        "identity, dcz",
        "none, exi",
        "gzip, br",
        "zstd, \u{e9}, deflate",
    ];
    for coding in codings.into_iter().filter(|name| !known(name.trim_start_matches("x-"))) {
        let head = OPEN.replace("\r\n\r\n", &format!("\r\ncontent-encoding: {coding}\r\n\r\n"));
        let server = serve(Script::raw().bytes(format!("{head}data: nonsense\n\n")).hang_up()).await;
        let (handle, mut subscription) = follow(stream(server.url()));
        let reason = within(handle.closed()).await;
        let error = reason.error().unwrap();
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::ContentEncoding, true), "{coding}");
        assert!(error.to_string().contains("content-encoding"), "{error}");
        assert_eq!(error.headers().unwrap()["content-encoding"].as_bytes(), coding.as_bytes());
        assert!(within(subscription.recv()).await.is_none(), "{coding}");
        let refused = EventStream::from_response(response(coding, Vec::new())).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ContentEncoding, "{coding}");
    }
}

#[tokio::test]
async fn a_coding_that_does_not_exist_changes_nothing() {
    for coding in
        ["", "identity", "none", "binary", "8bit", "identity, none", "utf-8", "\u{e9}", "gzipped", ",,None;q=1"]
    {
        let head = OPEN.replace("\r\n\r\n", &format!("\r\ncontent-encoding: {coding}\r\n\r\n"));
        let server = serve(Script::raw().bytes(format!("{head}data: plain\n\n"))).await;
        let (handle, mut subscription) = follow(stream(server.url()));
        assert_eq!(short(&mut subscription).await, "plain", "{coding}");
        handle.shutdown().await;
        let events = events(coding, vec![b"data: plain\n\n".to_vec()]).await;
        assert_eq!(events.0, ["plain"], "{coding}");
    }
}

#[tokio::test]
async fn the_body_of_a_refusal_is_decoded_too() {
    for coding in CODINGS {
        let body = coding.encode("no such stream");
        let head = format!(
            "HTTP/1.1 404 Not Found\r\ncontent-encoding: {}\r\ncontent-length: {}\r\n\r\n",
            coding.name,
            body.len()
        );
        let (server, sender) = relay().await;
        sender.send([head.into_bytes(), body].concat()).unwrap();
        let (handle, _subscription) = follow(stream(&server.url));
        let reason = within(handle.closed()).await;
        let error = reason.error().unwrap();
        assert_eq!(error.status().unwrap(), 404);
        assert_eq!(&error.body().unwrap()[..], b"no such stream", "{}", coding.name);
        let headers = error.headers().unwrap();
        assert!(!headers.contains_key("content-length") && !headers.contains_key("content-encoding"));
    }
}

#[tokio::test]
async fn the_chunks_of_a_compressed_body_may_be_any() {
    for coding in CODINGS {
        let (data, body) = some_events(coding);
        for size in [1, 2, 3, 7, 64, body.len()] {
            let chunks = body.chunks(size).map(<[u8]>::to_vec).collect();
            let (events, error) = events(coding.name, chunks).await;
            assert!(error.is_none(), "{}, {size}: {error:?}", coding.name);
            assert_eq!(events, data, "{}, {size}", coding.name);
        }
    }
}

#[tokio::test]
async fn an_empty_body_and_one_that_is_encoded_to_nothing_are_clean_ends() {
    for coding in CODINGS {
        for body in [Vec::new(), coding.encode("")] {
            let (events, error) = events(coding.name, vec![body]).await;
            assert!(error.is_none(), "{}: {error:?}", coding.name);
            assert!(events.is_empty());
        }
    }
    let plain = vec![b"data: plain\n\n".to_vec()];
    assert_eq!(events("identity", plain).await.0, ["plain"]);
}

#[tokio::test]
async fn each_event_may_be_a_member_of_its_own() {
    for coding in CODINGS.iter().filter(|coding| coding.name != "br") {
        let members: Vec<_> = (0..1000).map(|number| coding.encode(&format!("data: {number}\n\n"))).collect::<Vec<_>>();
        let expected: Vec<_> = (0..1000).map(|number| number.to_string()).collect();
        for chunks in [members.clone(), vec![members.concat()]] {
            let (events, error) = events(coding.name, chunks).await;
            assert!(error.is_none(), "{}: {error:?}", coding.name);
            assert_eq!(events, expected, "{}", coding.name);
        }
    }
}

#[cfg(feature = "gzip")]
#[tokio::test]
async fn gzip_has_an_older_name() {
    let body = CODINGS[0].encode("data: x\n\n");
    for name in ["x-gzip", "GZIP", "identity, gzip"] {
        assert_eq!(events(name, vec![body.clone()]).await.0, ["x"], "{name}");
    }
}

/// The error says what is wrong with the body.
#[tokio::test]
async fn a_corrupt_or_truncated_body_is_retried_after_its_good_events() {
    for coding in CODINGS {
        let mut encoder = (coding.encoder)();
        let good = encoder.flush("data: good\n\n");
        let rest = [encoder.flush("data: never\n\n"), encoder.finish()].concat();
        let noise = [0xff; 64].to_vec();
        let complete = [good.clone(), rest.clone()].concat();
        // If the other two decoders fail, they return nothing of their last chunk. This event comes
        // with the next response.
        let same_chunk: &[&str] = if coding.name == "gzip" { &["good"] } else { &[] };
        for (what, chunks, expected, says) in [
            ("noise", vec![noise.clone()], &[][..], "cannot be decoded"),
            ("noise later", vec![good.clone(), noise.clone()], &["good"], "cannot be decoded"),
            ("noise in the same chunk", vec![[good.clone(), noise.clone()].concat()], same_chunk, "cannot be decoded"),
            ("a cut", vec![good.clone()], &["good"], "cut off"),
            ("a cut in a block", vec![good.clone(), rest[..1].to_vec()], &["good"], "cut off"),
            ("garbage at the end", vec![complete, noise], &["good", "never"], "cannot be decoded"),
        ] {
            let (events, error) = events(coding.name, chunks).await;
            let error = error.unwrap_or_else(|| panic!("{}: {what}", coding.name));
            assert_eq!(events, expected, "{}: {what}", coding.name);
            assert_eq!((error.kind(), error.is_final()), (ErrorKind::Body, false), "{}: {what}", coding.name);
            assert!(error.to_string().contains(says), "{}: {what}: {error}", coding.name);
            assert!(error.source().is_some(), "{}: {what}", coding.name);
        }
    }
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 200,
        rng_seed: RngSeed::Fixed(0x5353_4521),
        failure_persistence: None,
        ..Default::default()
    }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn damage_anywhere_is_an_end_and_no_panic(
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
        cut in any::<Index>(),
        size in 1..200_usize,
    ) {
        for coding in CODINGS {
            let (_, mut body) = some_events(coding);
            for (place, byte) in &damage {
                let place = place.index(body.len());
                body[place] = *byte;
            }
            body.truncate(cut.index(body.len()) + 1);
            let chunks = body.chunks(size).map(<[u8]>::to_vec).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let (_, error) = runtime.block_on(async { within(events(coding.name, chunks)).await });
            prop_assert!(error.is_none_or(|error| error.kind() == ErrorKind::Body));
        }
    }
}

#[cfg(feature = "zstd")]
#[tokio::test]
async fn a_window_of_more_than_8_mib_is_refused() {
    use std::io::Write;
    for (log, accepted) in [(23, true), (24, false), (27, false)] {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(b"data: x\n\n").unwrap();
        encoder.flush().unwrap();
        let (events, error) = events("zstd", vec![encoder.finish().unwrap()]).await;
        assert_eq!((events.len(), error.is_none()), (usize::from(accepted), accepted), "{log}: {error:?}");
    }
}

#[tokio::test]
async fn a_corrupt_stream_comes_back() {
    for coding in CODINGS {
        let body = [coding.open().into_bytes(), b"no such coding".to_vec()].concat();
        let (server, sender) = relay().await;
        sender.send(body).unwrap();
        drop(sender);
        let handle = stream(&server.url).build().unwrap();
        let mut states = handle.state_changes();
        handle.connect();
        let cause = setback(&mut states).await;
        assert_eq!(cause.kind(), ErrorKind::Body, "{}: {cause}", coding.name);
        handle.shutdown().await;
    }
}
