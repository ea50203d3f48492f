//! Follows the toggles of a small server inside, whose connections break in several ways, or of a
//! real one: `follow_toggles URL TOKEN`, where the URL ends in `/api/client/streaming`.

use std::time::Duration;

use delta_loop::{DeltaLoop, Numbering, Status, View};
use sseclient::http::StatusCode;
use sseclient::testing::{Script, Server};
use sseclient::{Client, Event, EventBuilder};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {
            let server = Server::start(connections()).await;
            let stream = server.client().stream(server.url());
            follow(&DeltaLoop::start(stream, Numbering::Consecutive, None)?).await;
            server.finish().await;
        }
        [url, token] => {
            let stream = Client::new().stream(url).header("authorization", token);
            follow(&DeltaLoop::start(stream, Numbering::Increasing, None)?).await;
        }
        _ => return Err("usage: follow_toggles [URL TOKEN]".into()),
    }
    Ok(())
}

/// Prints until the stream has ended.
async fn follow(toggles: &DeltaLoop) {
    let mut view = toggles.view();
    loop {
        println!("{}", described(&view));
        if let Status::Stopped(_) = view.status {
            return;
        }
        view = toggles.wait_for(|now| described(now) != described(&view)).await;
    }
}

fn described(view: &View) -> String {
    let revision = view.features.revision().map_or("none".to_owned(), |revision| revision.to_string());
    let names: Vec<&str> = view.features.iter().map(|feature| feature.name.as_str()).collect();
    let status = match &view.status {
        Status::Connecting(None) => "connecting".to_owned(),
        Status::Connecting(Some(cause)) => format!("connecting: {cause}"),
        Status::Current => "current".to_owned(),
        Status::Stale(cause) => format!("stale: {cause}"),
        Status::Stopped(reason) => format!("stopped: {reason}"),
    };
    format!("revision {revision}, {status}\n    {}", names.join(", "))
}

/// What the server inside does on one connection after the other.
fn connections() -> [Script; 6] {
    let second = Duration::from_secs(1);
    [
        // The server sets short waits, for the sake of the demo.
        Script::open()
            .bytes("retry: 1000\n")
            .event(hydration(1, "checkout"))
            .stall(second)
            .event(updated(2, "search"))
            .stall(second)
            .reset(),
        Script::open().expect_resumed_from("2").event(updated(3, "maps")).stall(second).event(updated(5, "a hole")),
        Script::open()
            .expect_resumed_from("")
            .stall(second)
            .event(hydration(5, "everything as of 5"))
            .stall(second)
            .end(),
        Script::answer(StatusCode::GONE).expect_resumed_from("5").bytes("no such revision"),
        Script::open().expect_resumed_from("").event(hydration(1, "a new server")).stall(second).end(),
        Script::answer(StatusCode::UNAUTHORIZED),
    ]
}

fn hydration(revision: u64, feature: &str) -> EventBuilder {
    let data =
        format!(r#"{{"type":"hydration","eventId":{revision},"features":[{{"name":"{feature}"}}],"segments":[]}}"#);
    event("unleash-connected", revision, &data)
}

fn updated(revision: u64, feature: &str) -> EventBuilder {
    let data = format!(r#"{{"type":"feature-updated","eventId":{revision},"feature":{{"name":"{feature}"}}}}"#);
    event("unleash-updated", revision, &data)
}

fn event(event_type: &str, revision: u64, change: &str) -> EventBuilder {
    Event::builder().event_type(event_type).id(revision.to_string()).data(format!(r#"{{"events":[{change}]}}"#))
}
