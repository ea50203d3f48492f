//! Cookies that the caller sets, and cookies that servers set.

use sseclient::ErrorKind;

use crate::support::{self, OPEN, Server, stream, within};

/// Cookies that are not valid.
#[test]
fn an_ambiguous_cookie_is_a_typed_error_that_hides_its_value() {
    for (name, value) in [
        ("", "s3cret"),
        ("a b", "s3cret"),
        ("a=b", "s3cret"),
        ("a;b", "s3cret"),
        ("ä", "s3cret"),
        ("a\r\nb", "s3cret"),
        ("name", "s3cret; other=1"),
        ("name", "s3cret,1"),
        ("name", "s3cret 1"),
        ("name", "s3cret\t"),
        ("name", "s3cret\r\nx: y"),
        ("name", "s3cret\0"),
        ("name", "s3cretä"),
    ] {
        let error = stream("http://127.0.0.1/").cookie(name, value).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidHeader, "{name:?} {value:?}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
}

#[tokio::test]
async fn the_callers_cookies_go_in_one_header_with_every_request() {
    let server = Server::answering(vec![OPEN.to_owned()]).await;
    let plain = || stream(&server.url);
    let several = [("cookie", "x=1"), ("cookie", "y=2")];
    let several = several.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).into_iter().collect();
    for (stream, expected) in [
        (plain().cookie("a", "1"), "a=1"),
        (plain().cookie("a", "1").cookie("b", "\"x\"=/{}").cookie("c", ""), "a=1; b=\"x\"=/{}; c="),
        (plain().header("cookie", "x=1; y=2").cookie("a", "1"), "x=1; y=2; a=1"),
        (plain().headers(several).cookie("a", "1"), "x=1; y=2; a=1"),
        (plain().cookie("a", "1").header("cookie", "x=1"), "x=1"),
    ] {
        let before = server.requests().len();
        assert!(!format!("{stream:?}").contains("a=1"), "{stream:?}");
        let handle = stream.build().unwrap();
        handle.connect();
        support::until("it comes back", || server.requests().len() > before + 1).await;
        handle.shutdown().await;
        for cookie in &server.headers("cookie")[before..before + 2] {
            assert_eq!(cookie.as_deref(), Some(expected));
        }
    }
}

#[tokio::test]
async fn without_a_jar_no_cookie_is_kept() {
    let server = Server::answering(vec![OPEN.replace("\r\n\r\n", "\r\nset-cookie: a=1\r\n\r\n")]).await;
    let handle = support::client().stream(&*server.url).reconnection_time(std::time::Duration::ZERO).build().unwrap();
    handle.connect();
    support::until("it comes back", || server.requests().len() > 1).await;
    handle.shutdown().await;
    assert_eq!(server.headers("cookie")[..2], [None, None]);
    let opened = within(handle.closed()).await;
    assert!(opened.error().is_none());
}

#[cfg(feature = "cookies")]
mod jar {
    use std::time::Duration;

    use sseclient::{Client, Handle, ReconnectPolicy, StreamBuilder};

    use crate::support::transport::client_builder;
    use crate::support::{self, OPEN, Server, until, within};

    fn client() -> Client {
        client_builder().cookies(true).build()
    }

    fn stream(client: &Client, url: &str) -> StreamBuilder {
        client.stream(url).reconnection_time(Duration::ZERO)
    }

    /// A response that sets cookies.
    fn setting(answer: &str, cookies: &[&str]) -> String {
        let lines: String = cookies.iter().map(|cookie| format!("\r\nset-cookie: {cookie}")).collect();
        answer.replacen("\r\n\r\n", &format!("{lines}\r\n\r\n"), 1)
    }

    fn cookies(server: &Server) -> Vec<String> {
        server.headers("cookie").into_iter().map(Option::unwrap_or_default).collect()
    }

    async fn follow_until_asked(stream: StreamBuilder, server: &Server, times: usize) -> Handle {
        let handle = stream.build().unwrap();
        handle.connect();
        until("it is asked", || server.requests().len() >= times).await;
        handle
    }

    #[tokio::test]
    async fn a_cookie_of_any_response_is_in_the_next_request() {
        for answer in [OPEN, "HTTP/1.1 503 Later\r\ncontent-length: 0\r\n\r\n"] {
            let server = Server::answering(vec![
                setting(answer, &["route=a; Path=/", "other=1; Path=/elsewhere"]),
                setting(answer, &["route=b; Path=/; HttpOnly"]),
                setting(answer, &["route=gone; Path=/; Max-Age=0"]),
                answer.to_owned(),
            ])
            .await;
            let handle = follow_until_asked(stream(&client(), &server.url), &server, 4).await;
            assert_eq!(cookies(&server)[..4], ["", "route=a", "route=b", ""], "{answer}");
            handle.shutdown().await;
        }
    }

    /// Expiry follows the system clock, so the test waits for a second.
    #[tokio::test]
    async fn a_cookie_goes_along_until_it_expires_and_never_after() {
        let event = format!("{OPEN}data: x\n\n");
        let server = Server::answering(vec![setting(&event, &["brief=1; Max-Age=2", "c=1"]), event]).await;
        let stream = client().stream(&*server.url).reconnection_time(Duration::from_millis(20));
        let handle = follow_until_asked(stream, &server, 2).await;
        until("it expires", || cookies(&server).ends_with(&["c=1".to_owned(), "c=1".to_owned()])).await;
        handle.shutdown().await;
        let sent = cookies(&server);
        let expired = sent.iter().position(|cookies| cookies == "c=1").unwrap();
        assert!(expired > 1, "{sent:?}");
        assert_eq!(sent[0], "");
        assert!(sent[1..expired].iter().all(|cookies| cookies == "brief=1; c=1"), "{sent:?}");
        assert!(sent[expired..].iter().all(|cookies| cookies == "c=1"), "{sent:?}");
    }

    #[tokio::test]
    async fn a_cookie_of_a_redirect_is_sent_to_its_target_if_its_path_matches() {
        let server = Server::start(|_, mut connection| async move {
            let path = connection.request.split(' ').nth(1).unwrap().to_owned();
            let moved = "HTTP/1.1 302 Found\r\nlocation: /in/there\r\ncontent-length: 0\r\n\r\n";
            match &*path {
                "/stream" => {
                    connection.send(&setting(moved, &["a=1; Path=/in", "b=2; Path=/out", "c=3; Path=/"])).await
                }
                _ => connection.send(&setting(OPEN, &["a=4; Path=/in"])).await,
            };
            connection.closed().await;
        })
        .await;
        // Cookies belong to a host and not to a port. `localhost` is another host.
        let moved = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", server.url);
        let start = Server::answering(vec![setting(&moved, &["start=1; Path=/"])]).await;
        let client = client();
        for (url, before) in
            [(start.url.clone(), "start=1"), (start.url.replace("127.0.0.1", "localhost"), "c=3; start=1")]
        {
            let handle = stream(&client, &url).cookie("own", "1").build().unwrap();
            let asked = server.requests().len();
            handle.connect();
            within(handle.opened()).await.unwrap();
            handle.shutdown().await;
            assert_eq!(
                cookies(&server)[asked..],
                [before, "a=1; c=3; start=1"],
                "{url}: the caller's own stays behind"
            );
        }
        assert_eq!(cookies(&start), ["own=1", "own=1"], "another host has none of them yet");
    }

    #[tokio::test]
    async fn streams_of_a_client_share_a_jar_and_clients_do_not() {
        let refused = "HTTP/1.1 404 Never\r\ncontent-length: 0\r\n\r\n";
        let server = Server::answering(vec![setting(refused, &["session=1"]), OPEN.to_owned()]).await;
        let builder = client_builder().cookies(true);
        let (client, other) = (builder.clone().build(), builder.build());
        let again = client.clone();
        let plain = support::client();
        let streams = [(&client, ""), (&again, "session=1"), (&other, ""), (&plain, ""), (&client, "session=1")];
        for (asked, (client, expected)) in streams.into_iter().enumerate() {
            let handle = stream(client, &server.url).reconnect_policy(ReconnectPolicy::never()).build().unwrap();
            handle.connect();
            within(handle.closed()).await;
            assert_eq!(cookies(&server)[asked..], [expected]);
        }
    }

    #[tokio::test]
    async fn the_callers_own_cookies_come_first_and_replace_those_of_the_jar() {
        let server = Server::answering(vec![setting(OPEN, &["a=jar", "b=jar", "c=jar"]), OPEN.to_owned()]).await;
        let own = stream(&client(), &server.url).header("cookie", "z=own;b=own").cookie("y", "own");
        let handle = follow_until_asked(own, &server, 2).await;
        handle.shutdown().await;
        assert_eq!(cookies(&server)[..2], ["z=own;b=own; y=own", "z=own;b=own; y=own; a=jar; c=jar"]);
        assert_eq!(server.requests()[1].to_ascii_lowercase().matches("\r\ncookie:").count(), 1);
    }

    #[tokio::test]
    async fn a_server_can_make_no_request_too_large() {
        let many: Vec<_> = (10..50).map(|number| format!("c{number}={}", "x".repeat(1000))).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let server = Server::answering(vec![setting(OPEN, &many), OPEN.to_owned()]).await;
        let handle = follow_until_asked(stream(&client(), &server.url), &server, 2).await;
        handle.shutdown().await;
        let sent = &cookies(&server)[1];
        assert!(sent.len() <= 8_000 && sent.split("; ").count() == 7, "{} bytes", sent.len());
    }

    #[tokio::test]
    async fn no_cookie_of_the_jar_is_shown() {
        let server = Server::answering(vec![setting(OPEN, &["session=s3cret"])]).await;
        let client = client();
        let handle = follow_until_asked(stream(&client, &server.url), &server, 2).await;
        let shown = format!("{client:?} {handle:?} {:?} {:?}", handle.state(), stream(&client, &server.url));
        assert!(!shown.contains("s3cret"), "{shown}");
        handle.shutdown().await;
    }
}
