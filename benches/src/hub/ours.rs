//! Our hub, with subscribers that the publisher waits for.

use std::sync::Arc;

use sseclient::bench::HubPublisher;
use sseclient::{Event, Overflow};

use super::CAPACITY;

/// Returns how many events all subscribers have seen together.
pub(super) async fn run(subscribers: usize, batch: usize, events: Arc<[Event]>) -> usize {
    let mut publisher = HubPublisher::new();
    let readers: Vec<_> = (0..subscribers)
        .map(|_| {
            let mut reader = publisher.subscribe(CAPACITY, Overflow::default());
            tokio::spawn(async move {
                let mut seen = 0;
                while let Some(event) = reader.recv().await {
                    seen += usize::from(!event.data().is_empty());
                }
                seen
            })
        })
        .collect();
    let publishing = tokio::spawn(async move {
        for batch in events.chunks(batch) {
            publisher.publish(batch).await;
        }
        publisher.close();
    });
    publishing.await.expect("no panic");
    let mut seen = 0;
    for reader in readers {
        seen += reader.await.expect("no panic");
    }
    seen
}
