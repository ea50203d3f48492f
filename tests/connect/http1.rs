//! Responses of HTTP/1.1 as servers send them, valid or not.

use sseclient::testing::Script;
use sseclient::{Client, ErrorKind, Filter};

use crate::support::{OPEN, follow, serve, short, stream, within};

/// Returns the head of an event stream with these lines.
fn head(lines: &str) -> String {
    OPEN.replace("\r\n\r\n", &format!("\r\n{lines}\r\n\r\n"))
}

#[tokio::test]
async fn heads_that_break_the_rules_open_as_in_browsers() {
    let fields: Vec<_> = (0..500).map(|number| format!("x-{number}: y")).collect();
    for lines in [
        &fields[..99].join("\r\n"),
        &fields.join("\r\n"),
        "PHP Warning:  Undefined variable $x in /var/www/stream.php on line 3",
        "X-Powered-By : PHP",
        "no field",
        "x-folded: a\r\n\tb\r\n c",
    ] {
        let server = serve(Script::raw().bytes(format!("{}data: x\n\n", head(lines)))).await;
        let (handle, mut subscription) = follow(stream(server.url()));
        assert_eq!(short(&mut subscription).await, "x", "{lines}");
        handle.shutdown().await;
    }
}

/// hyper alone refuses some of these lists, and takes chunks of others for data.
#[cfg(not(sseclient_plain_hyper))]
#[tokio::test]
async fn chunks_are_decoded_wherever_chunked_is_the_only_coding() {
    let body = "9\r\ndata: 100\r\n5\r\n0000\n\r\n1\r\n\n\r\n0\r\n\r\n";
    for codings in ["chunked", "chunked,", ",Chunked , ", "chunked\r\nTransfer-Encoding:", "chunked, identity"] {
        for version in ["1.0", "1.1"] {
            let head = head(&format!("Transfer-Encoding: {codings}")).replace("HTTP/1.1", &format!("HTTP/{version}"));
            // A connection that stays open shows that the end of the body was seen.
            let server = crate::support::always(move || Script::raw().bytes(format!("{head}{body}"))).await;
            let (handle, mut subscription) = follow(stream(server.url()));
            let mut states = handle.state_changes();
            assert_eq!(short(&mut subscription).await, "1000000", "{codings} in HTTP/{version}");
            assert_eq!(
                crate::support::setback(&mut states).await.kind(),
                ErrorKind::EndOfStream,
                "{codings} in HTTP/{version}"
            );
            handle.shutdown().await;
        }
    }
}

#[tokio::test]
async fn another_transfer_coding_is_final_and_never_parsed() {
    for codings in ["gzip, chunked", "chunked, gzip", "gzip", "x", "chunked;q=1", "chunked\r\nTransfer-Encoding: gzip"]
    {
        let head = head(&format!("Transfer-Encoding: {codings}"));
        let answer = format!("{head}7\r\ndata: x\r\n2\r\n\n\n\r\n");
        let server = serve(Script::raw().bytes(answer).hang_up()).await;
        let error = within(Client::new().stream(server.url()).open(Filter::all())).await.unwrap_err();
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::ContentEncoding, true), "{codings}: {error}");
        assert!(error.to_string().contains("transfer-encoding"), "{error}");
    }
}

#[tokio::test]
async fn the_last_content_type_of_a_list_counts() {
    for (content_type, opens) in
        [("application/json, text/event-stream; charset=utf-8", true), ("text/event-stream;a=b,text/html", false)]
    {
        let answer = format!("{}data: x\n\n", OPEN.replace("text/event-stream", content_type));
        let server = serve(Script::raw().bytes(answer).hang_up()).await;
        match within(Client::new().stream(server.url()).open(Filter::all())).await {
            Ok(mut subscription) => assert_eq!((&*short(&mut subscription).await, opens), ("x", true)),
            Err(error) => assert_eq!((error.kind(), opens), (ErrorKind::ContentType, false), "{content_type}"),
        }
    }
}

/// The server keeps the connection open: the error does not wait for a timeout.
#[cfg(not(sseclient_plain_hyper))]
#[tokio::test]
async fn a_head_that_is_not_http_fails_at_once_and_the_line_is_named() {
    for (answer, says) in [
        (head("x: y\r\n\r"), "line 4"),
        (head("x: y\r\nX-Odd: SECRET\0"), "line 4, the field x-odd"),
        ("SSH-2.0-OpenSSH SECRET\r\n".to_owned(), "line 1, its status line"),
    ] {
        let server = crate::support::RawServer::start(move |_, mut connection| {
            let answer = answer.clone();
            async move {
                for byte in answer.chars() {
                    connection.send(&byte.to_string()).await;
                    // The client reads what has come.
                    tokio::task::yield_now().await;
                }
                connection.closed().await;
            }
        })
        .await;
        let error = within(stream(&server.url).open(Filter::all())).await.unwrap_err();
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::Protocol, false), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(!format!("{error:?}").contains("SECRET"), "{error:?}");
    }
}
