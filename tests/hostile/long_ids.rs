//! The memory that deduplication takes when the server sends long IDs.

use std::sync::atomic::Ordering::Relaxed;

use sseclient::{Client, Delivery, Filter};

use crate::counting::{self, LIVE};
use crate::support::{OPEN, Server, until, within};

const EVENTS: usize = 100;
const ID: usize = 256 * 1024;

/// Room for copies of the last ID and for the buffers of one event. All IDs would take six times as
/// much.
const BOUND: isize = 4 * 1024 * 1024;

#[test]
fn ids_are_known_again_without_being_kept() {
    counting::alone(async {
        let server = Server::start(|_, mut connection| async move {
            connection.send(OPEN).await;
            for number in 0..EVENTS {
                // The server sends each event twice.
                let event = format!("id: {number}{}\ndata: x\n\n", "x".repeat(ID));
                connection.send(&event).await;
                connection.send(&event).await;
            }
            connection.closed().await;
        })
        .await;
        let before = LIVE.load(Relaxed);
        let handle = Client::new().stream(&server.url).capacity(4).drop_repeats(EVENTS).build().unwrap();
        let mut events = handle.subscribe(Filter::all());
        handle.connect();
        for _event in 0..EVENTS {
            assert!(matches!(within(events.recv()).await, Some(Delivery::Event(_))));
        }
        until("the last is said twice", || handle.stats().repeats == EVENTS as u64).await;
        let kept = LIVE.load(Relaxed) - before;
        assert!(kept < BOUND, "{kept} bytes");
    });
}
