//! What is logged: names, levels and fields are promised in the crate's guide. One test: what a thread's subscriber
//! sees can depend on other threads.

mod support;

use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sseclient::{Client, Commit, Filter, ResumeStore, SubscribeOptions};
use support::{OPEN, Server, within};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// Each line in short: level, name, fields, and the span that it is in.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Names(Vec<&'static str>);

impl Visit for Names {
    fn record_debug(&mut self, field: &Field, _: &dyn Debug) {
        self.0.push(field.name());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() != "sseclient" {
            return;
        }
        let mut fields = Names(Vec::new());
        event.record(&mut fields);
        let span = context.event_span(event).map_or("-", |span| span.name());
        let fields: Vec<_> = fields.0.into_iter().filter(|name| *name != "message").collect();
        let line = format!("{} {} {} in {span}", metadata.level(), metadata.name(), fields.join(" "));
        self.0.lock().unwrap().push(line);
    }
}

/// A store that is down.
struct Broken;

impl ResumeStore for Broken {
    type Error = io::Error;

    async fn load(&self) -> io::Result<Option<String>> {
        Ok(None)
    }

    async fn save(&self, _: String) -> io::Result<()> {
        Err(io::Error::other("no"))
    }
}

#[tokio::test]
async fn the_life_of_a_stream_is_logged_under_stable_names() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines.clone()));
    let many: String = (0..1_000).map(|_| "data: x\n\n").collect();
    let server = Server::answering(vec![
        "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_owned(),
        format!("{OPEN}id: a\u{7f}\ndata: x\n\n{many}"),
        "HTTP/1.1 404 Gone\r\ncontent-length: 0\r\n\r\n".to_owned(),
    ])
    .await;
    let stream = Client::new().stream(&server.url).name("prices").reconnection_time(Duration::ZERO);
    let handle = stream.resume_store(Broken, Commit::Delivery).build().unwrap();
    let slow = handle.subscribe_with(Filter::all(), SubscribeOptions::default().name("slow").capacity(4));
    let mut slow = slow.into_events();
    handle.connect();
    within(handle.closed()).await;
    while within(slow.recv()).await.is_some() {}
    within(handle.shutdown()).await;
    let mut lines = lines.0.lock().unwrap().clone();
    let failed = "WARN store_failed error in sseclient";
    assert!(lines.iter().any(|line| line == failed));
    // How often, and when, is the store's business.
    lines.retain(|line| line != failed);
    assert_eq!(
        lines,
        [
            "DEBUG connecting attempt in sseclient",
            "INFO waiting attempt delay_ms kind error in sseclient",
            "DEBUG connecting attempt in sseclient",
            "INFO open attempt status version in sseclient",
            "INFO waiting attempt delay_ms kind error in sseclient",
            "WARN left_out what error in sseclient",
            "DEBUG connecting attempt in sseclient",
            "WARN closed reason kind error in sseclient",
            "WARN lagged stream subscription missed in -",
        ]
    );
}
