//! Cookies that the caller sets, and cookies that servers set.

use sseclient::ErrorKind;
use sseclient::testing::{Plan, Script};

use crate::support::{self, headers, serve, stream, within};

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
    // Each stream comes back once.
    let twice = |number, _: &_| if number % 2 == 1 { Script::open().end() } else { Script::open() };
    let server = serve(Plan::each(twice)).await;
    let plain = || stream(server.url());
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
        for cookie in &headers(&server, "cookie")[before..] {
            assert_eq!(cookie.as_deref(), Some(expected));
        }
    }
}

#[tokio::test]
async fn without_a_jar_no_cookie_is_kept() {
    let server = serve([Script::open().header("set-cookie", "a=1").end(), Script::open()]).await;
    let handle = support::client().stream(server.url()).reconnection_time(std::time::Duration::ZERO).build().unwrap();
    handle.connect();
    support::until("it comes back", || server.requests().len() > 1).await;
    handle.shutdown().await;
    assert_eq!(headers(&server, "cookie"), [None, None]);
    let opened = within(handle.closed()).await;
    assert!(opened.error().is_none());
}

#[cfg(feature = "cookies")]
mod jar {
    use std::time::Duration;

    use sseclient::testing::{Plan, Script, Server};
    use sseclient::{Client, Handle, ReconnectPolicy, StreamBuilder};

    use crate::support::transport::client_builder;
    use crate::support::{self, OPEN, headers, serve, status, until, within};

    fn client() -> Client {
        client_builder().cookies(true).build()
    }

    fn stream(client: &Client, url: &str) -> StreamBuilder {
        client.stream(url).reconnection_time(Duration::ZERO)
    }

    /// A response that sets cookies.
    fn setting(answer: &str, cookies: &[&str]) -> Script {
        let lines: String = cookies.iter().map(|cookie| format!("\r\nset-cookie: {cookie}")).collect();
        Script::raw().bytes(answer.replacen("\r\n\r\n", &format!("{lines}\r\n\r\n"), 1)).hang_up()
    }

    fn cookies(server: &Server) -> Vec<String> {
        headers(server, "cookie").into_iter().map(Option::unwrap_or_default).collect()
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
            let server = serve([
                setting(answer, &["route=a; Path=/", "other=1; Path=/elsewhere"]),
                setting(answer, &["route=b; Path=/; HttpOnly"]),
                setting(answer, &["route=gone; Path=/; Max-Age=0"]),
                status(204),
            ])
            .await;
            let handle = stream(&client(), server.url()).build().unwrap();
            handle.connect();
            within(handle.closed()).await;
            assert_eq!(cookies(&server), ["", "route=a", "route=b", ""], "{answer}");
        }
    }

    /// Expiry follows the system clock, so the test waits for a second.
    #[tokio::test]
    async fn a_cookie_goes_along_until_it_expires_and_never_after() {
        let event = format!("{OPEN}data: x\n\n");
        let first = |number| if number == 1 { &["brief=1; Max-Age=2", "c=1"][..] } else { &[] };
        let server = serve(Plan::each(move |number, _| setting(&event, first(number)))).await;
        let stream = client().stream(server.url()).reconnection_time(Duration::from_millis(20));
        let handle = follow_until_asked(stream, &server, 2).await;
        until("it expires", || cookies(&server).ends_with(&["c=1".to_owned(), "c=1".to_owned()])).await;
        handle.shutdown().await;
        let sent = cookies(&server);
        server.finish().await;
        let expired = sent.iter().position(|cookies| cookies == "c=1").unwrap();
        assert!(expired > 1, "{sent:?}");
        assert_eq!(sent[0], "");
        assert!(sent[1..expired].iter().all(|cookies| cookies == "brief=1; c=1"), "{sent:?}");
        assert!(sent[expired..].iter().all(|cookies| cookies == "c=1"), "{sent:?}");
    }

    #[tokio::test]
    async fn a_cookie_of_a_redirect_is_sent_to_its_target_if_its_path_matches() {
        let moved = "HTTP/1.1 302 Found\r\nlocation: /in/there\r\ncontent-length: 0\r\n\r\n";
        let server = serve(Plan::each(move |_, request| match request.uri().path() {
            "/stream" => setting(moved, &["a=1; Path=/in", "b=2; Path=/out", "c=3; Path=/"]),
            _ => Script::open().header("set-cookie", "a=4; Path=/in"),
        }))
        .await;
        // Cookies belong to a host and not to a port. `localhost` is another host.
        let moved = || status(302).header("location", server.url()).header("set-cookie", "start=1; Path=/");
        let start = serve([moved(), moved()]).await;
        let client = client();
        for (url, before) in
            [(start.url().to_owned(), "start=1"), (start.url().replace("127.0.0.1", "localhost"), "c=3; start=1")]
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
        let refused = || status(404).header("set-cookie", "session=1");
        let answer = move |number, _: &_| if number == 1 { refused() } else { Script::open().end() };
        let server = serve(Plan::each(answer)).await;
        let builder = client_builder().cookies(true);
        let (client, other) = (builder.clone().build(), builder.build());
        let again = client.clone();
        let plain = support::client();
        let streams = [(&client, ""), (&again, "session=1"), (&other, ""), (&plain, ""), (&client, "session=1")];
        for (asked, (client, expected)) in streams.into_iter().enumerate() {
            let handle = stream(client, server.url()).reconnect_policy(ReconnectPolicy::never()).build().unwrap();
            handle.connect();
            within(handle.closed()).await;
            assert_eq!(cookies(&server)[asked..], [expected]);
        }
    }

    #[tokio::test]
    async fn the_callers_own_cookies_come_first_and_replace_those_of_the_jar() {
        let server = serve([setting(OPEN, &["a=jar", "b=jar", "c=jar"]), Script::open()]).await;
        let own = stream(&client(), server.url()).header("cookie", "z=own;b=own").cookie("y", "own");
        let handle = follow_until_asked(own, &server, 2).await;
        handle.shutdown().await;
        assert_eq!(cookies(&server), ["z=own;b=own; y=own", "z=own;b=own; y=own; a=jar; c=jar"]);
        assert_eq!(server.requests()[1].headers().get_all("cookie").iter().count(), 1);
    }

    #[tokio::test]
    async fn a_server_can_make_no_request_too_large() {
        let many: Vec<_> = (10..50).map(|number| format!("c{number}={}", "x".repeat(1000))).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let server = serve([setting(OPEN, &many), Script::open()]).await;
        let handle = follow_until_asked(stream(&client(), server.url()), &server, 2).await;
        handle.shutdown().await;
        let sent = &cookies(&server)[1];
        assert!(sent.len() <= 8_000 && sent.split("; ").count() == 7, "{} bytes", sent.len());
    }

    #[tokio::test]
    async fn no_cookie_of_the_jar_is_shown() {
        let server = serve([setting(OPEN, &["session=s3cret"]), Script::open()]).await;
        let client = client();
        let handle = follow_until_asked(stream(&client, server.url()), &server, 2).await;
        let shown = format!("{client:?} {handle:?} {:?} {:?}", handle.state(), stream(&client, server.url()));
        assert!(!shown.contains("s3cret"), "{shown}");
        handle.shutdown().await;
    }
}
