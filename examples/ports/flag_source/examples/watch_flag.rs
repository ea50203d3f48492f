//! Watches one flag and the status of its source: of a small server inside, whose connections break
//! in several ways, or of a real one: `watch_flag URL SDK_KEY FLAG`.

use std::sync::Arc;
use std::time::Duration;

use flag_source::{FlagSource, Item, Status};
use sseclient::http::StatusCode;
use sseclient::testing::{Script, Server};
use sseclient::{Client, Event, EventBuilder};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {
            let server = Server::start(connections()).await;
            watch(FlagSource::start(server.client().stream(server.url()))?, "checkout").await?;
            server.finish().await;
            Ok(())
        }
        [url, key, flag] => {
            watch(FlagSource::start(Client::new().stream(url).header("authorization", key))?, flag).await
        }
        _ => Err("usage: watch_flag [URL SDK_KEY FLAG]".into()),
    }
}

/// Prints until the source is off.
async fn watch(flags: FlagSource, key: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut watch = flags.watch(key);
    let mut status = flags.status();
    println!("{}", described(&status));
    print(key, flags.flag(key));
    loop {
        tokio::select! {
            // When the source is gone, its status says why.
            Ok(flag) = watch.changed() => print(key, flag),
            next = flags.wait_for(|now| described(now) != described(&status)) => {
                println!("{}", described(&next));
                if let Status::Off(_) = next {
                    return Ok(());
                }
                status = next;
            }
        }
    }
}

fn print(key: &str, flag: Option<Arc<Item>>) {
    match flag {
        Some(flag) => println!("    {key}, version {}: {:?}", flag.version, flag.fields),
        None => println!("    {key} is not there"),
    }
}

fn described(status: &Status) -> String {
    match status {
        Status::Initializing(None) => "initializing".to_owned(),
        Status::Initializing(Some(cause)) => format!("initializing: {cause}"),
        Status::Valid => "valid".to_owned(),
        Status::Interrupted(cause) => format!("interrupted, the flags may be old: {cause}"),
        Status::Off(reason) => format!("off: {reason}"),
    }
}

/// What the server inside does on one connection after the other.
fn connections() -> [Script; 5] {
    let second = Duration::from_secs(1);
    [
        Script::open().event(put(1, false)).stall(second).event(patch(2, true)).stall(second).reset(),
        Script::answer(StatusCode::SERVICE_UNAVAILABLE).header("retry-after", "2"),
        Script::open().event(put(4, false)).stall(second).event(("patch", "nonsense")),
        Script::open().event(put(5, true)).stall(second).end(),
        Script::answer(StatusCode::UNAUTHORIZED),
    ]
}

fn put(version: u64, on: bool) -> EventBuilder {
    let flag = format!(r#"{{"version":{version},"on":{on}}}"#);
    let data = format!(r#"{{"path":"/","data":{{"flags":{{"checkout":{flag}}},"segments":{{}}}}}}"#);
    Event::builder().event_type("put").data(data)
}

fn patch(version: u64, on: bool) -> EventBuilder {
    let data = format!(r#"{{"path":"/flags/checkout","data":{{"version":{version},"on":{on}}}}}"#);
    Event::builder().event_type("patch").data(data)
}
