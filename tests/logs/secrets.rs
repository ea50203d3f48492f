//! Secrets appear in no log line, `Debug` output or error.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::future::ready;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{io, iter};

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, Request, Response, Uri};
use http_body::{Body, Frame};
use http_body_util::StreamBody;
use sseclient::testing::Script;
use sseclient::{
    Apply, Change, Client, ClientBuilder, Error, EventStream, Filter, Handle, NextAttempt, ReconnectPolicy, State,
    TranscriptItem, Transport,
};

use crate::support::transport::{TestTransport, client_builder};
use crate::support::{always, headers, serve, status, within};

/// The text in every secret of these tests.
const MARKER: &str = "hunter2";

/// The same text as user and password, in the encoding of basic authentication.
const BASIC: &str = "aHVudGVyMjpodW50ZXIy";

/// Everything that this crate and its dependencies log, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream with secrets in its URL, its headers, its credentials and a pending change.
fn secretive(client: ClientBuilder, url: &str, shown: &mut String) -> Handle {
    let url = secret_url(url) + "?token=" + MARKER;
    let source = |_| ready(Ok::<_, Infallible>(HeaderMap::from_iter([(AUTHORIZATION, MARKER.parse().unwrap())])));
    // The author of the map may not have marked it as sensitive.
    let headers = HeaderMap::from_iter([(HeaderName::from_static("x-default"), MARKER.parse().unwrap())]);
    let client = client.default_headers(headers);
    #[cfg(feature = "cookies")]
    let client = client.cookies(true);
    write!(shown, "{client:?}").unwrap();
    let client = client.build();
    write!(shown, "{client:?}").unwrap();
    let builder = client
        .stream(url)
        .header("cookie", format!("session={MARKER}"))
        .cookie("own", MARKER)
        .header("x-api-key", MARKER)
        .form([(MARKER, MARKER)])
        .body(MARKER)
        .query("key", MARKER)
        .credentials(source)
        .before_attempt(secretive_hook)
        .reconnect_policy(ReconnectPolicy::daemon())
        .reconnection_time(Duration::ZERO);
    write!(shown, "{builder:?}").unwrap();
    let handle = builder.build().unwrap();
    handle.set_header("x-token", MARKER).unwrap();
    // The second change is refused as a whole.
    for value in [MARKER.to_owned(), format!("{MARKER}\n")] {
        let update = handle.update(
            |request: Change| {
                let change = request.query("change", MARKER).header("x-change", value).bearer_auth(MARKER);
                write!(shown, "{change:?}").unwrap();
                change
            },
            Apply::NextAttempt,
        );
        write!(shown, "{update:?}").unwrap();
    }
    handle
}

/// A hook with secrets, which wants what cannot be sent in every other attempt.
async fn secretive_hook(attempt: NextAttempt) -> Result<NextAttempt, Error> {
    let attempt = attempt.header("x-hook", MARKER).query("hook", MARKER).with_body(MARKER);
    let shown = format!("{attempt:?}");
    assert!(!shown.contains(MARKER) && !shown.contains(BASIC), "{shown}");
    Ok(if attempt.number() % 2 == 0 { attempt.header("x-bad", format!("{MARKER}\n")) } else { attempt })
}

fn secret_url(url: &str) -> String {
    url.replace("http://", &format!("http://{MARKER}:{MARKER}@"))
}

/// Invalid input with secrets in it.
fn mistakes(shown: &mut String) {
    for bad in [
        format!("http://{MARKER}:{MARKER}@/?{MARKER}"),
        format!("http://{MARKER} {MARKER}"),
        format!("ftp://{MARKER}@host/{MARKER}?{MARKER}"),
    ] {
        write!(shown, "{:?}", Client::new().stream(bad).build().unwrap_err()).unwrap();
    }
    for bad in
        [format!("http://{MARKER}:{MARKER}@h:99999"), format!("{MARKER}://h"), format!("http://{MARKER} {MARKER}")]
    {
        write!(shown, "{:?}", Client::builder().proxy(bad).unwrap_err()).unwrap();
    }
    let stream = || Client::new().stream("http://h/");
    for bad in [
        stream().header("x-key", format!("{MARKER}\n")),
        stream().bearer_auth(format!("{MARKER}\n")),
        stream().cookie("name", format!("{MARKER}\n")),
        stream().cookie(format!("{MARKER}\n"), "value"),
        Client::builder().default_headers(last_event_id()).build().stream("http://h/"),
    ] {
        write!(shown, "{bad:?}").unwrap();
        let error = bad.build().unwrap_err();
        write!(shown, "{error:?} {error}").unwrap();
    }
    #[cfg(feature = "tls")]
    for bad in [
        Client::builder().identity_pem(MARKER.as_bytes(), MARKER.as_bytes()),
        Client::builder().root_certificates_pem(pem(MARKER).as_bytes()),
    ] {
        write!(shown, "{:?}", bad.unwrap_err()).unwrap();
    }
}

fn last_event_id() -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("last-event-id"), MARKER.parse().unwrap())])
}

#[cfg(feature = "tls")]
fn pem(text: &str) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// Sends the log of this thread to `log` until the guard is dropped.
fn logging_to(log: &Log) -> tracing::subscriber::DefaultGuard {
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_default(subscriber)
}

fn reveal_nothing(texts: &[(&str, &str)]) {
    for (what, text) in texts {
        let line = text.lines().find(|line| line.contains(MARKER) || line.contains(BASIC));
        assert!(line.is_none(), "{what}: {line:?}");
    }
}

#[tokio::test]
async fn no_log_line_debug_or_error_shows_a_secret() {
    let log = Log::default();
    let _guard = logging_to(&log);
    let setting = |answer: Script| answer.header("set-cookie", format!("s={MARKER}"));
    let opened = setting(Script::open()).bytes("data: a\n\n").end();
    let gone = setting(status(404)).bytes(format!("body {MARKER}"));
    let server = serve([opened, setting(status(503)), gone]).await;
    let mut shown = String::new();
    let client = match TestTransport::current() {
        // The server acts as the proxy, and its URL holds another secret.
        TestTransport::BuiltIn => Client::builder().proxy(secret_url(server.url()).replace("/stream", "")).unwrap(),
        _ => client_builder(),
    };
    let handle = secretive(client, server.url(), &mut shown);
    let mut events = handle.subscribe(Filter::all());
    let mut transcript = handle.transcript();
    handle.connect();
    while let Some(item) = within(transcript.recv()).await {
        write!(shown, "{item:?}").unwrap();
    }
    while let Some(delivery) = events.recv().await {
        write!(shown, "{delivery:?}").unwrap();
    }
    let reason = handle.closed().await;
    let error = reason.error().unwrap();
    write!(shown, "{handle:?} {events:?} {:?} {reason:?} {reason} {error:?} {error}", handle.monitor()).unwrap();
    mistakes(&mut shown);

    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("sseclient"), "the log was captured");
    assert!(shown.contains("x-change") && shown.contains("ResponseHead"), "the change and the head were shown");
    let request = &server.requests()[0];
    let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
    if TestTransport::current() == TestTransport::BuiltIn {
        assert!(header("proxy-authorization").contains(BASIC), "the proxy was told");
    }
    for sent in ["x-default", "x-api-key", "x-hook", "x-token", "x-change", "authorization", "cookie"] {
        assert!(header(sent).contains(MARKER), "{sent} was sent");
    }
    let cookies = headers(&server, "cookie").into_iter().map(Option::unwrap).collect::<Vec<_>>();
    assert!(cookies.iter().all(|cookies| cookies.starts_with(&format!("session={MARKER}; own={MARKER}"))));
    assert_eq!(cookies[1].contains(&format!("; s={MARKER}")), cfg!(feature = "cookies"), "the jar's");
    assert_eq!(request.body(), MARKER, "the body was sent");
    assert!(
        request.uri().to_string().contains(&format!("token={MARKER}&key={MARKER}&change={MARKER}&hook={MARKER}")),
        "the query was sent"
    );
    reveal_nothing(&[("shown", &shown), ("logged", &logged)]);
}

/// The key of a client certificate, in each form in which it could be printed.
#[cfg(feature = "tls")]
#[test]
fn no_debug_shows_the_key_of_a_client_certificate() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new([]).unwrap().self_signed(&key).unwrap();
    let (pem, der) = (key.serialize_pem(), key.serialize_der());
    let builder = Client::builder().identity_pem(certificate.pem().as_bytes(), pem.as_bytes()).unwrap();
    let client = builder.clone().build();
    let shown = format!("{builder:?} {builder:#?} {client:?} {:?}", client.stream("http://h/"));
    // The private number itself (RFC 5958, RFC 5915). The bytes around it are public or constant.
    let secret = &der[36..68];
    let line = pem.lines().nth(1).unwrap();
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let list: String = secret.iter().map(|byte| format!("{byte},")).collect();
    let shown = shown.replace([' ', '\n'], "");
    for form in [line, &hex, &list] {
        assert!(!shown.contains(form), "{shown}");
    }
}

/// The error of an HTTP client, which prints the URL of its request.
#[derive(Debug)]
struct Failed(Uri);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error sending request for url ({})", self.0)
    }
}

impl StdError for Failed {}

/// A response that fails in the middle of an event.
fn broken(failed: Failed) -> Response<impl Body<Data = Bytes, Error = Failed> + Unpin> {
    let frames = [Ok(Frame::data(Bytes::from("data: x"))), Err(failed)];
    let body = StreamBody::new(tokio_stream::iter(frames));
    Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
}

/// A transport that sends nothing the first time. Then each of its responses fails.
fn failing() -> impl Transport {
    let attempts = AtomicU32::new(0);
    move |request: Request<Bytes>| {
        let failed = Failed(request.into_parts().0.uri);
        let is_first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
        ready(if is_first { Err(failed) } else { Ok(broken(failed)) })
    }
}

/// Reads a response of the same HTTP client, which the caller has opened.
async fn failure_of_an_event_stream(uri: Uri) -> Error {
    EventStream::from_response(broken(Failed(uri))).await.unwrap().recv().await.unwrap().unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn errors_of_a_callers_transport_and_body_are_in_the_source_alone() {
    let log = Log::default();
    let _guard = logging_to(&log);
    let url = format!("https://h/?token={MARKER}");
    let client = Client::builder().transport(failing()).build();
    let policy = ReconnectPolicy::daemon().stop_on_poison();
    let handle = client.stream(&url).reconnect_policy(policy).build().unwrap();
    let mut transcript = handle.transcript();
    handle.connect();
    let (mut shown, mut errors) = (String::new(), vec![failure_of_an_event_stream(url.parse().unwrap()).await]);
    while let Some(item) = transcript.recv().await {
        write!(shown, "{item:?}").unwrap();
        if let TranscriptItem::State(State::Waiting { cause, .. }) = item {
            errors.push(cause);
        }
    }
    errors.extend(handle.closed().await.error().cloned());
    for error in &errors {
        write!(shown, "{error} {error:?} {error:#?}").unwrap();
        #[cfg(feature = "serde")]
        write!(shown, "{}", serde_json::to_string(error).unwrap()).unwrap();
        let mut sources = iter::successors(error.source(), |&source| source.source());
        assert!(sources.any(|source| source.is::<Failed>()), "{error:?}");
    }
    let kinds = errors.iter().map(|error| error.kind().as_str()).collect::<Vec<_>>().join(" ");
    assert_eq!(kinds, "body transport body body body body poisoned");
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("waiting: ") && logged.contains("poisoned: ") && logged.contains("closed: "), "{logged}");
    reveal_nothing(&[("shown", &shown), ("logged", &logged)]);
}

/// A proxy refuses in every way, and repeats the request in its answer.
#[tokio::test]
async fn the_refusal_of_a_proxy_shows_no_secret_either() {
    let log = Log::default();
    let _guard = logging_to(&log);
    let refusal = format!("HTTP/1.1 407 {BASIC}\r\nx: {MARKER} {BASIC}\r\ncontent-length: 7\r\n\r\n{MARKER}");
    let server = always(move || Script::raw().bytes(refusal.clone())).await;
    let address = server.url().replace("http://", "").replace("/stream", "");
    let mut shown = String::new();
    for (scheme, target) in [("http", "http://h/"), ("http", "https://h/"), ("socks5", "http://h/"), ("ftp", "")] {
        let client = Client::builder().proxy(format!("{scheme}://{MARKER}:{MARKER}@{address}"));
        write!(shown, "{client:?}").unwrap();
        let Ok(client) = client else { continue };
        let stream = client.build().stream(target).connect_timeout(Duration::from_millis(200));
        match within(stream.open(Filter::all())).await {
            Ok(_) => panic!("{scheme} {target} is open"),
            Err(error) => write!(shown, "{error} {error:?}").unwrap(),
        }
    }
    assert!(shown.contains("407"), "{shown}");
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for text in [&shown, &logged] {
        assert!(!text.contains(MARKER) && !text.contains(BASIC), "{text}");
    }
}

/// HTTP/2 logs each frame that it sends.
#[cfg(feature = "http2")]
#[tokio::test]
async fn no_log_line_of_http_2_shows_a_secret() {
    let log = Log::default();
    let _guard = logging_to(&log);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/stream", listener.local_addr().unwrap());
    let (heard, requests) = std::sync::mpsc::channel();
    // The server runs in a thread of its own, so that its log is not recorded.
    std::thread::spawn(move || answer_over_http_2(listener, heard));
    let mut shown = String::new();
    let handle = secretive(Client::builder().no_proxy().http2_prior_knowledge(true), &url, &mut shown);
    handle.connect();
    write!(shown, "{:?}", within(handle.closed()).await).unwrap();
    let request: http::request::Parts = requests.recv().unwrap();
    assert!(request.uri.query().unwrap().contains(MARKER), "the query was sent");
    for sent in ["x-default", "x-api-key", "x-token", "x-change", "authorization", "cookie"] {
        assert!(request.headers[sent].to_str().unwrap().contains(MARKER), "{sent} was sent");
    }
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("h2"), "the log was captured");
    reveal_nothing(&[("shown", &shown), ("logged", &logged)]);
}

/// Opens a stream and ends it. The next request is refused.
#[cfg(feature = "http2")]
fn answer_over_http_2(listener: std::net::TcpListener, heard: std::sync::mpsc::Sender<http::request::Parts>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let mut answers = [200, 404].into_iter();
        while let Ok((tcp, _)) = listener.accept().await {
            let mut server = h2::server::handshake(tcp).await.unwrap();
            while let Some(Ok((request, mut response))) = server.accept().await {
                let _ = heard.send(request.into_parts().0);
                let answer = Response::builder()
                    .status(answers.next().unwrap_or(404))
                    .header("content-type", "text/event-stream")
                    .header("set-cookie", format!("s={MARKER}"));
                let mut body = response.send_response(answer.body(()).unwrap(), false).unwrap();
                body.send_data(Bytes::from_static(b"data: a\n\n"), true).unwrap();
            }
        }
    });
}
