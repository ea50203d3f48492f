//! Secrets stay where they were put: no log line, `Debug` or error shows one.

mod support;

use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::ready;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sseclient::{Apply, Change, Client, Filter, Handle};
use support::{OPEN, Server, header, within};

/// In every secret of these tests.
const MARKER: &str = "hunter2";

/// The same as user and password, as they are sent.
const BASIC: &str = "aHVudGVyMjpodW50ZXIy";

/// All that is logged, at every level, by this crate and those below it.
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

/// A stream that is full of secrets: in its URL, its headers, its credentials, a change to come, and in its proxy's
/// URL. The server is the proxy.
fn secretive(url: &str, shown: &mut String) -> Handle {
    let url = url.replace("http://", &format!("http://{MARKER}:{MARKER}@")) + "?token=" + MARKER;
    let source = |_| ready(Ok::<_, Infallible>(HeaderMap::from_iter([(AUTHORIZATION, MARKER.parse().unwrap())])));
    let proxy = url.replace("/stream", "").split_once('?').unwrap().0.to_owned();
    let client = Client::builder().proxy(proxy).unwrap();
    write!(shown, "{client:?}").unwrap();
    let builder = client
        .build()
        .stream(url)
        .header("cookie", format!("session={MARKER}"))
        .header("x-api-key", MARKER)
        .query("key", MARKER)
        .credentials(source)
        .reconnection_time(Duration::ZERO);
    write!(shown, "{builder:?}").unwrap();
    let handle = builder.build().unwrap();
    handle.set_header("x-token", MARKER).unwrap();
    // The second change is refused whole.
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

/// What is refused, with secrets in it.
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
    let bad_header = Client::new().stream("http://h/").header("x-key", format!("{MARKER}\n")).build().unwrap_err();
    write!(shown, "{bad_header:?}").unwrap();
}

/// Logs this thread to `log` for as long as the guard lives.
fn logging_to(log: &Log) -> tracing::subscriber::DefaultGuard {
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_default(subscriber)
}

#[tokio::test]
async fn no_log_line_debug_or_error_shows_a_secret() {
    let log = Log::default();
    let _guard = logging_to(&log);
    let opened = OPEN.replacen("\r\n", &format!("\r\nset-cookie: s={MARKER}\r\n"), 1);
    let server = Server::answering(vec![
        format!("{opened}data: a\n\n"),
        format!("HTTP/1.1 503 Busy\r\nset-cookie: s={MARKER}\r\n\r\n"),
        format!("HTTP/1.1 404 Gone\r\nset-cookie: s={MARKER}\r\n\r\nbody {MARKER}"),
    ])
    .await;
    let mut shown = String::new();
    let handle = secretive(&server.url, &mut shown);
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
    assert!(header(request, "proxy-authorization").unwrap().contains(BASIC), "the proxy was told");
    for sent in ["x-api-key", "x-token", "x-change", "authorization", "cookie"] {
        assert!(header(request, sent).unwrap().contains(MARKER), "{sent} was sent");
    }
    assert!(request.contains(&format!("token={MARKER}&key={MARKER}&change={MARKER}")), "the query was sent");
    for (what, text) in [("shown", &shown), ("logged", &logged)] {
        let line = text.lines().find(|line| line.contains(MARKER) || line.contains(BASIC));
        assert!(line.is_none(), "{what}: {line:?}");
    }
}

/// A proxy refuses in each way that it can, repeating what it was told.
#[tokio::test]
async fn what_a_proxy_refuses_shows_no_secret_either() {
    let log = Log::default();
    let _guard = logging_to(&log);
    let refusal = format!("HTTP/1.1 407 {BASIC}\r\nx: {MARKER} {BASIC}\r\ncontent-length: 7\r\n\r\n{MARKER}");
    let server = Server::answering(vec![refusal]).await;
    let address = server.url.replace("http://", "").replace("/stream", "");
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
