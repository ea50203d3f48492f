//! What it costs to know IDs again, when the server makes them long. Alone in its file, since what the process has
//! allocated would be other tests' as well.

use std::sync::atomic::Ordering::Relaxed;

use sseclient::{Client, Delivery, Filter};

use crate::counting::{self, LIVE};
use crate::support::{OPEN, Server, until, within};

const EVENTS: usize = 100;
const ID: usize = 256 * 1024;

/// The last ID here and there, and buffers for one event; all of them would be six times as much.
const BOUND: isize = 4 * 1024 * 1024;

#[test]
fn ids_are_known_again_without_being_kept() {
    counting::alone(async {
        let server = Server::start(|_, mut connection| async move {
            connection.send(OPEN).await;
            for number in 0..EVENTS {
                // Each is said twice.
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
