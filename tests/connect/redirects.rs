//! Redirects: where they lead, and which headers reach another origin.

use bytes::Bytes;
use http::Request;
use sseclient::testing::{Plan, Script};
use sseclient::{Apply, ErrorKind, Filter, Handle, Redirects, State, StreamBuilder, TranscriptItem};

use crate::support::transport::client_builder;
use crate::support::{always, client, follow, headers, serve, setback, short, status, staying, stream, within};

fn moved(code: u16, location: &str) -> Script {
    status(code).header("location", location).bytes("there")
}

/// The URL of the response that is open.
fn open_at(handle: &Handle) -> String {
    let State::Open { response, .. } = handle.state() else { panic!("not open: {}", handle.state()) };
    response.url().to_string()
}

#[tokio::test]
async fn redirects_are_followed_and_reconnections_start_at_the_original_url() {
    for status in [301, 302, 303, 307, 308] {
        let end = serve([Script::open().bytes("id: 7\ndata: x\n\n").end(), Script::open()]).await;
        let start = serve([moved(status, end.url()), moved(status, end.url())]).await;
        let handle = stream(start.url()).build().unwrap();
        let mut transcript = handle.transcript();
        handle.connect();
        let mut opened = Vec::new();
        while opened.len() < 2 {
            if let Some(TranscriptItem::State(State::Open { response, .. })) = within(transcript.recv()).await {
                opened.push(response.url().to_string());
            }
        }
        assert_eq!(opened, [end.url(); 2], "{status}");
        handle.shutdown().await;
        assert_eq!(start.requests().len(), 2, "{status}: the original URL is asked again");
        assert_eq!(headers(&end, "last-event-id"), [None, Some("7".to_owned())], "{status}");
    }
}

#[tokio::test]
async fn a_relative_location_stays_with_the_server_and_its_headers_go_along() {
    let server = serve(Plan::each(|_, request| match &*request.uri().to_string() {
        "/stream" => moved(302, "a/b?c"),
        "/a/b?c" => moved(307, "../d#fragment"),
        "/d" => moved(308, "?e"),
        "/d?e" => Script::open(),
        _ => status(404),
    }))
    .await;
    let handle = stream(server.url()).header("x-api-key", "k").bearer_auth("t").build().unwrap();
    handle.connect();
    within(handle.opened()).await.unwrap();
    assert_eq!(open_at(&handle), server.url().replace("/stream", "/d?e"));
    assert_eq!(headers(&server, "x-api-key"), vec![Some("k".to_owned()); 4]);
    assert_eq!(headers(&server, "authorization"), vec![Some("Bearer t".to_owned()); 4]);
}

/// Every way in which a caller can set a secret.
#[tokio::test]
async fn no_secret_reaches_another_origin_in_any_number_of_hops() {
    const SECRET: &str = "tr0ub4dor";
    let with_header = |name: &'static str| move |url: &str| stream(url).header(name, SECRET);
    type Secret = Box<dyn Fn(&str) -> StreamBuilder>;
    let kinds: Vec<(&str, Secret)> = vec![
        ("bearer", Box::new(|url| stream(url).bearer_auth(SECRET))),
        ("basic", Box::new(|url| stream(url).basic_auth("user", SECRET))),
        ("userinfo", Box::new(|url| stream(&url.replace("http://", &format!("http://user:{SECRET}@"))))),
        ("cookie", Box::new(with_header("cookie"))),
        ("a cookie", Box::new(|url| stream(url).cookie("session", SECRET))),
        ("custom", Box::new(with_header("x-api-key"))),
        ("proxy authorization", Box::new(with_header("proxy-authorization"))),
        ("referer", Box::new(with_header("referer"))),
        ("host", Box::new(with_header("host"))),
        ("query", Box::new(|url| stream(url).query("token", SECRET))),
        (
            "default headers",
            Box::new(|url| {
                let headers = [("x-token".parse().unwrap(), SECRET.parse().unwrap())];
                client_builder().default_headers(headers.into_iter().collect()).build().stream(url)
            }),
        ),
        (
            "credentials",
            Box::new(|url| {
                stream(url).credentials(|_| async {
                    let headers = [("x-token".parse().unwrap(), SECRET.parse().unwrap())];
                    Ok::<_, sseclient::Error>(headers.into_iter().collect())
                })
            }),
        ),
        (
            "a hook",
            Box::new(|url| {
                stream(url).before_attempt(|attempt| async {
                    let attempt = attempt.header("x-token", SECRET).query("token", SECRET);
                    Ok::<_, sseclient::Error>(attempt)
                })
            }),
        ),
    ];
    for hops in 1..=3 {
        for (kind, secret) in &kinds {
            let end = staying("").await;
            // Through several origins.
            let mut servers = vec![serve(moved(302, end.url())).await];
            for _ in 1..hops {
                let next = moved(307, servers.last().unwrap().url());
                servers.push(serve(next).await);
            }
            let start = servers.pop().unwrap();
            let handle = secret(start.url()).build().unwrap();
            handle.connect();
            within(handle.opened()).await.unwrap();
            handle.shutdown().await;
            let basic = "dXNlcjp0cjB1YjRkb3I"; // user:tr0ub4dor
            let leaks = |request: &Request<Bytes>| {
                let shown = format!("{request:?}");
                shown.contains(SECRET) || shown.contains(basic)
            };
            assert!(start.requests().iter().any(leaks), "{kind}: sent to its own server");
            for server in servers.iter().chain([&end]) {
                assert!(!server.requests().iter().any(leaks), "{kind}, {hops} hops: {:?}", server.requests());
                assert!(!server.requests().is_empty(), "{kind}, {hops} hops");
            }
        }
    }
}

/// Another origin may have sent the client back, so the headers that were removed stay removed.
#[tokio::test]
async fn removed_headers_stay_removed_when_a_redirect_leads_back() {
    let elsewhere = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
    let there = std::sync::Arc::clone(&elsewhere);
    let start = serve(Plan::each(move |_, request| match request.uri().path() {
        "/again" => Script::open(),
        _ => moved(302, there.get().unwrap()),
    }))
    .await;
    let between = serve(moved(302, &start.url().replace("/stream", "/again"))).await;
    elsewhere.set(between.url().to_owned()).unwrap();
    let handle = stream(start.url()).bearer_auth("t").header("x-api-key", "k").build().unwrap();
    handle.connect();
    within(handle.opened()).await.unwrap();
    for name in ["authorization", "x-api-key"] {
        let sent: Vec<_> = headers(&start, name).iter().map(Option::is_some).collect();
        assert_eq!(sent, [true, false], "{name}");
        assert_eq!(headers(&between, name), [None], "{name}");
    }
}

#[tokio::test]
async fn a_post_becomes_a_get_or_is_sent_again_as_browsers_do() {
    for (status, method, body) in
        [(301, "GET", ""), (302, "GET", ""), (303, "GET", ""), (307, "POST", "question"), (308, "POST", "question")]
    {
        let end = staying("").await;
        let start = serve(moved(status, end.url())).await;
        let asking = stream(start.url()).body("question").header("content-type", "text/plain");
        let handle = asking.redirects(Redirects::default().body_across_origins()).build().unwrap();
        handle.connect();
        within(handle.opened()).await.unwrap();
        handle.shutdown().await;
        let request = &end.requests()[0];
        assert_eq!((request.method().as_str(), request.body()), (method, &Bytes::from(body)), "{status}");
        let content_type = request.headers().get("content-type");
        assert_eq!(content_type.is_some(), !body.is_empty(), "{status}: {content_type:?}");
    }
}

#[tokio::test]
async fn a_loop_ends_after_twenty_redirects_or_at_once_and_is_tried_again() {
    let other = |request: &Request<Bytes>| if request.uri() == "/stream" { "/other" } else { "/stream" };
    let between_two = serve(Plan::each(move |_, request| moved(302, other(request)))).await;
    let mut loops = vec![(between_two, 21)];
    for location in ["/stream", "#fragment", "../stream?"] {
        // The last one is another URL, which leads to itself.
        let requests = if location.ends_with('?') { 2 } else { 1 };
        loops.push((always(move || moved(302, location)).await, requests));
    }
    for (server, requests) in loops {
        let handle = client().stream(server.url()).build().unwrap();
        let mut states = handle.state_changes();
        handle.connect();
        let cause = setback(&mut states).await;
        assert_eq!((cause.kind(), cause.is_final()), (ErrorKind::TooManyRedirects, false));
        assert_eq!(server.requests().len(), requests);
    }
}

/// The body may hold a secret, such as `client_secret` in a form.
#[tokio::test]
async fn a_body_reaches_another_origin_only_if_redirects_allow_it() {
    for (status, method) in [(307, "POST"), (308, "POST"), (307, "PUT"), (302, "PATCH"), (301, "PUT")] {
        let end = staying("").await;
        let start = serve([(); 3].map(|()| moved(status, end.url()))).await;
        let asking = || stream(start.url()).method(method).form([("client_secret", "tr0ub4dor")]);
        let error = within(asking().open(Filter::all())).await.unwrap_err();
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::Redirect, true), "{status} {method}");
        assert!(error.to_string().contains("Redirects::body_across_origins"), "{error}");
        assert!(end.requests().is_empty(), "{status} {method}");
        let allowed = asking().redirects(Redirects::default().body_across_origins());
        drop(within(allowed.open(Filter::all())).await.unwrap());
        assert_eq!(end.requests()[0].body(), "client_secret=tr0ub4dor", "{status} {method}");
        // Without a body there is nothing to keep back.
        let empty = stream(start.url()).method(method);
        drop(within(empty.open(Filter::all())).await.unwrap());
    }
}

#[tokio::test]
async fn a_body_stays_with_its_origin_in_a_handover_too() {
    let end = staying("").await;
    let start = serve([Script::open().bytes("data: a\n\n"), moved(307, end.url())]).await;
    let (handle, mut events) = follow(stream(start.url()).body("client_secret=tr0ub4dor"));
    assert_eq!(short(&mut events).await, "a");
    let update = handle.update(|change| change.header("x-new", "1"), Apply::MakeBeforeBreak);
    let error = within(update).await.unwrap_err();
    assert_eq!((error.kind(), error.is_final()), (ErrorKind::Redirect, true), "{error}");
    assert!(end.requests().is_empty());
    assert!(handle.state().is_open(), "the first response stays");
}

#[tokio::test]
async fn a_redirect_that_is_not_followed_is_a_final_error_with_its_body() {
    let end = staying("").await;
    for (redirects, location, requests) in [
        (Redirects::none(), "/there", 1),
        (Redirects::same_origin(), end.url(), 1),
        (Redirects::default(), "ftp://127.0.0.1/", 1),
        (Redirects::default(), "http://[broken/", 1),
        (Redirects::default(), "", 1),
    ] {
        let server = serve(moved(302, location)).await;
        let handle = stream(server.url()).redirects(redirects).build().unwrap();
        handle.connect();
        let reason = within(handle.closed()).await;
        let error = reason.error().unwrap();
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::Redirect, true), "{location}");
        assert_eq!(error.status().unwrap(), 302);
        assert_eq!(error.headers().unwrap()["location"], location);
        assert_eq!(&error.body().unwrap()[..], b"there");
        assert_eq!(server.requests().len(), requests);
    }
    assert_eq!(end.requests().len(), 0);
}
