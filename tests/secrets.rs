//! Secrets stay where they were put: no log line, `Debug` or error shows one.

mod support;

use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};

use sseclient::{Client, Filter};
use support::{OPEN, Server, within};

/// In every secret of these tests.
const MARKER: &str = "hunter2";

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

#[tokio::test]
async fn no_log_line_debug_or_error_shows_a_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let server = Server::answering(vec![
        format!("{OPEN}data: a\n\n"),
        format!("HTTP/1.1 503 Busy\r\nset-cookie: s={MARKER}\r\n\r\n"),
        format!("HTTP/1.1 404 Gone\r\nset-cookie: s={MARKER}\r\n\r\nbody {MARKER}"),
    ])
    .await;
    let url = server.url.replace("http://", &format!("http://{MARKER}:{MARKER}@")) + "?token=" + MARKER;
    let builder = Client::new()
        .stream(url)
        .header("cookie", format!("session={MARKER}"))
        .header("x-api-key", MARKER)
        .query("key", MARKER)
        .reconnection_time(std::time::Duration::ZERO);
    let mut shown = format!("{builder:?}");
    let handle = builder.build().unwrap();
    handle.set_header("x-token", MARKER).unwrap();
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
    for bad in [
        format!("http://{MARKER}:{MARKER}@/?{MARKER}"),
        format!("http://{MARKER} {MARKER}"),
        format!("ftp://{MARKER}@host/{MARKER}?{MARKER}"),
    ] {
        write!(shown, "{:?}", Client::new().stream(bad).build().unwrap_err()).unwrap();
    }
    let bad_header = Client::new().stream("http://h/").header("x-key", format!("{MARKER}\n")).build().unwrap_err();
    write!(shown, "{bad_header:?}").unwrap();

    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("sseclient"), "the log was captured");
    assert!(server.requests()[0].contains(MARKER), "the secrets were sent");
    for (what, text) in [("shown", &shown), ("logged", &logged)] {
        let line = text.lines().find(|line| line.contains(MARKER));
        assert!(line.is_none(), "{what}: {line:?}");
    }
}
