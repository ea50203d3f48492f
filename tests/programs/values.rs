//! The API takes the values that programs have, and errors answer what programs ask.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use sseclient::http::header::RETRY_AFTER;
use sseclient::http::{HeaderMap, Method, Response, StatusCode, Uri};
#[cfg(feature = "idn")]
use sseclient::testing;
use sseclient::testing::Script;
use sseclient::{Apply, Client, Delivery, Error, ErrorKind, EventStream, Filter};

use crate::support::{client, serve, short, status, staying, stream, within};
#[cfg(feature = "idn")]
use crate::support::{headers, open};

#[test]
fn a_url_is_any_text_or_a_uri() {
    let client = Client::new();
    let uri = Uri::from_static("http://127.0.0.1/");
    let text = uri.to_string();
    for stream in [
        client.stream("http://127.0.0.1/"),
        client.stream(&text),
        client.stream(Cow::from(&text)),
        client.stream(Arc::<str>::from(&*text)),
        client.stream(&uri),
        client.stream(uri.clone()),
        #[cfg(feature = "idn")]
        client.stream(url::Url::parse(&text).unwrap()),
        client.stream(format!(" {text}\n")),
    ] {
        let handle = stream.build().unwrap();
        drop(handle.update(|change| change.url(&uri), Apply::NextAttempt));
        drop(handle.update(|change| change.url(&text), Apply::NextAttempt));
    }
}

#[cfg(feature = "idn")]
#[tokio::test]
async fn a_host_in_another_script_is_looked_up_in_ascii() {
    let server = testing::Server::start(Script::open().bytes("data: x\n\n")).await;
    let names = Arc::<std::sync::Mutex<Vec<String>>>::default();
    let asked = Arc::clone(&names);
    let client = Client::builder().no_proxy().resolver(move |name| {
        asked.lock().unwrap().push(name);
        std::future::ready(Ok::<_, std::convert::Infallible>(vec![std::net::Ipv4Addr::LOCALHOST.into()]))
    });
    let url = server.url().replace("127.0.0.1", "Bücher.example");
    assert_eq!(short(&mut open(client, &url).await.unwrap()).await, "x");
    assert_eq!(*names.lock().unwrap(), ["xn--bcher-kva.example"]);
    assert!(headers(&server, "host")[0].as_ref().unwrap().starts_with("xn--bcher-kva.example:"));
}

/// Configuration files have methods in lower case, and servers know none of those.
#[tokio::test]
async fn a_method_is_any_text_in_lower_case_too() {
    let server = staying("").await;
    let asked = async |method: &str| {
        let events = within(stream(server.url()).method(method).open(Filter::all())).await.unwrap();
        drop(events);
        server.requests().pop().unwrap().method().clone()
    };
    for (method, sent) in
        [("post", "POST"), ("Get", "GET"), ("patch", "PATCH"), ("REPORT", "REPORT"), ("x-own", "x-own")]
    {
        assert_eq!(asked(method).await, sent);
    }
    let url = "http://127.0.0.1:9/";
    stream(url).method(Method::PUT).build().unwrap();
    stream(url).method(String::from("PUT")).build().unwrap();
    for (method, kind) in [
        ("head", ErrorKind::Unsupported),
        ("CONNECT", ErrorKind::Unsupported),
        ("no method", ErrorKind::InvalidConfig),
        ("", ErrorKind::InvalidConfig),
    ] {
        assert_eq!(stream(url).method(method).build().unwrap_err().kind(), kind, "{method}");
    }
}

#[tokio::test]
async fn an_error_has_the_name_of_its_kind_and_the_wait_that_the_server_asked_for() {
    let busy = || status(503);
    let after = |wait| busy().header("retry-after", wait);
    let (date, later) = ("Fri, 07 Nov 2014 23:59:00 GMT", "Fri, 07 Nov 2014 23:59:59 GMT");
    for (answer, wait) in [
        (after("7"), Some(7_000)),
        (after("6.5"), Some(7_000)),
        (busy().header("retry-after-ms", 2500), Some(2_500)),
        (after("7").header("retry-after-ms", "2500.5"), Some(2_501)),
        (after(later).header("date", date), Some(59_000)),
        // Without a `Date` it would take this machine's clock, and an error has none.
        (after(later), None),
        (after("soon"), None),
        (busy(), None),
    ] {
        let server = serve(answer).await;
        let error = within(stream(server.url()).open(Filter::all())).await.unwrap_err();
        assert_eq!((error.kind().as_str(), error.retry_after()), ("status", wait.map(Duration::from_millis)));
    }
    let headers: HeaderMap = [(RETRY_AFTER, "3".parse().unwrap())].into_iter().collect();
    let error = Error::refused(StatusCode::TOO_MANY_REQUESTS, headers, "");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    assert_eq!(Error::new(ErrorKind::ConnectTimeout, "").retry_after(), None);
}

/// Status 404 says nothing if the program does not know who sent it.
#[tokio::test]
async fn a_refusal_after_a_redirect_says_where_it_came_from() {
    let answers: [fn() -> Script; 3] = [
        || status(404),
        || status(200).header("content-type", "text/html"),
        || status(302).header("location", "ftp://host/"),
    ];
    for answer in answers {
        let end = serve([answer(), answer()]).await;
        let there = end.url().replace("http://", "http://user:hunter2@");
        let start = serve(status(302).header("location", format!("{there}?token=hunter2"))).await;
        let error = within(stream(start.url()).open(Filter::all())).await.unwrap_err();
        assert_eq!(error.url().unwrap(), end.url());
        assert!(error.to_string().starts_with(&format!("after a redirect to {}, ", end.url())), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        // Without a redirect it is the URL that the program knows.
        let error = within(stream(&format!("{}?token=hunter2", end.url())).open(Filter::all())).await.unwrap_err();
        assert_eq!(error.url().unwrap(), end.url());
        assert!(!format!("{error} {error:?}").contains("redirect to"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let error = within(stream("http://127.0.0.1:1/").open(Filter::all())).await.unwrap_err();
    assert_eq!(error.url(), None, "no response was refused");
}

/// A large LLM server sends no content type; others create a job with 201 or 202.
#[tokio::test]
async fn a_program_can_accept_what_the_standard_refuses() {
    for (code, content_type, kind) in [
        (200, "", ErrorKind::ContentType),
        (200, "text/plain", ErrorKind::ContentType),
        (201, "text/event-stream", ErrorKind::Status),
        (202, "", ErrorKind::Status),
    ] {
        let answer = move || {
            let answer = status(code).bytes("data: x\n\n");
            if content_type.is_empty() { answer } else { answer.header("content-type", content_type) }
        };
        let server = serve([answer(), answer()]).await;
        let error = within(stream(server.url()).open(Filter::all())).await.unwrap_err();
        assert_eq!((error.kind(), error.is_final()), (kind, true), "{code} {content_type}");
        let url = server.url().to_owned();
        let lenient = client().stream(&url).accept_response(move |head| {
            assert_eq!((head.status().as_u16(), head.url().to_string()), (code, url.clone()));
            head.headers().get("content-type").is_none_or(|name| name == "text/plain" || head.status() == 201)
        });
        let mut events = within(lenient.open(Filter::all())).await.unwrap();
        assert_eq!(short(&mut events).await, "x", "{code} {content_type}");
    }
    // A failure is no stream, also if the program accepts all responses.
    let server = serve(status(500)).await;
    let error = within(stream(server.url()).accept_response(|_| true).open(Filter::all())).await.unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::INTERNAL_SERVER_ERROR));
}

#[tokio::test]
async fn a_program_can_accept_a_response_in_hand_too() {
    let response = |status: u16, content_type: &str| {
        let response = Response::builder().status(status).header("content-type", content_type);
        response.body(Full::new(&b"data: x\n\n"[..])).unwrap()
    };
    for (status, content_type, kind) in
        [(200, "text/plain", ErrorKind::ContentType), (202, "text/event-stream", ErrorKind::Status)]
    {
        let refused = EventStream::from_response(response(status, content_type)).await.unwrap_err();
        assert_eq!(refused.kind(), kind);
        let accepts =
            |head: &sseclient::ResponseHead| head.status() == status && head.headers()["content-type"] == content_type;
        let mut events = EventStream::from_response_if(response(status, content_type), accepts).await.unwrap();
        let Some(Ok(Delivery::Event(event))) = events.recv().await else { panic!("an event") };
        assert_eq!(event.data(), "x");
        let refused = EventStream::from_response_if(response(status, content_type), |_| false).await.unwrap_err();
        assert_eq!(refused.kind(), kind);
    }
    let refused = EventStream::from_response_if(response(404, "text/plain"), |_| true).await.unwrap_err();
    assert_eq!(refused.status(), Some(StatusCode::NOT_FOUND));
}

#[tokio::test]
async fn a_program_can_refuse_what_the_standard_accepts() {
    let server = serve(Script::open().bytes("data: x\n\n").end()).await;
    let error = within(stream(server.url()).accept_response(|_| false).open(Filter::all())).await.unwrap_err();
    assert_eq!((error.kind(), error.is_final()), (ErrorKind::ContentType, true));
    assert!(error.to_string().contains("accept_response does not accept"), "{error}");
}

/// As one in a policy's closure does.
#[tokio::test]
async fn a_panic_while_a_response_is_judged_ends_the_stream() {
    let server = serve(Script::open()).await;
    let strict = stream(server.url()).accept_response(|head| panic!("what is {}?", head.status()));
    let error = within(strict.open(Filter::all())).await.unwrap_err();
    assert_eq!((error.kind(), error.is_final()), (ErrorKind::TaskFailed, true));
    assert!(error.to_string().contains("what is 200 OK?"), "{error}");
}
