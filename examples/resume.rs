//! Goes on where the last run stopped, even if it was killed:
//! `cargo run --example resume -- [URL [FILE]]`.

#[path = "tail/server.rs"]
mod server;

use std::env;
use std::error::Error;
use std::time::Duration;

use sseclient::{Client, Commit, Delivery, Drain, FileStore, Filter, SubscribeOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (url, mut wanted) = if let Some(url) = args.next() { (url, u64::MAX) } else { (server::start().await?, 5) };
    let file = args.next().map_or(env::current_exe()?.with_extension("id"), Into::into);
    println!("the last event ID is kept in {}", file.display());
    let stream = Client::new().stream(url).resume_store(FileStore::new(file), Commit::Acknowledgement);
    let handle = stream.build()?;
    let mut orders = handle.subscribe_with(Filter::all(), SubscribeOptions::default().acknowledging());
    handle.connect();
    while wanted > 0 {
        match orders.recv().await {
            Some(Delivery::Event(event)) => {
                // The work, which is done at least once for each event.
                println!("{} {:?}", event.last_event_id(), event.data());
                orders.acknowledge(&event);
                wanted -= 1;
            }
            // Never `Lagged`: while this subscription is slow, the stream waits for it.
            Some(Delivery::Gap(gap)) => println!("{gap}"),
            None => break,
        }
    }
    drop(orders);
    Ok(handle.shutdown_with(Drain { deadline: Duration::from_secs(5) }).await.reason.into_result()?)
}
