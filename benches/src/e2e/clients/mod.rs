//! The clients. Each opens a URL and gives the data of every event to a sink, until that has seen enough.

mod by_hand;
mod drain;
pub mod fanout;
mod ours;
mod peers;

use super::{EVENTSOURCE_CLIENT, HYPER, HYPER_SAME_TASK, OURS, REQWEST_EVENTSOURCE, Sink};

/// Reads `url` with the contender of this name.
pub async fn consume(contender: &str, url: &str, sink: Sink<'_>) {
    match contender {
        HYPER => drain::spawned(url, sink).await,
        HYPER_SAME_TASK => drain::same_task(url, sink).await,
        EVENTSOURCE_CLIENT => peers::eventsource_client(url, sink).await,
        REQWEST_EVENTSOURCE => peers::reqwest_eventsource(url, sink).await,
        OURS => ours::consume(url, sink).await,
        other => panic!("there is no client {other}"),
    }
}

/// Opens `count` streams that stay silent, returns when the server has answered all of them.
/// They stay open until the runtime ends.
pub async fn open_idle(contender: &str, url: &str, count: usize) {
    match contender {
        HYPER => drain::open_idle(url, count).await,
        OURS => ours::open_idle(url, count).await,
        other => panic!("{other} has no idle mode"),
    }
}
