//! The clients. Each opens a URL and gives the data of every event to a sink until the sink has
//! seen enough.

mod by_hand;
mod drain;
pub mod fanout;
mod ours;
mod peers;
pub mod soak;
pub mod subscriber;
pub mod types;

use std::sync::Arc;

use sseclient::Client;
use tokio::sync::Semaphore;

pub use ours::hand_over;

use super::{
    EVENTSOURCE_CLIENT, EVENTSRC, HYPER, HYPER_SAME_TASK, OURS, OURS_OVER_REQWEST, REQWEST_DRAINED,
    REQWEST_EVENTSOURCE, SAME_TASK_SSE_CORE, Sink,
};

/// Reads `url` with the contender of this name. `capacity` is that of our subscriber's queue.
pub async fn consume(contender: &str, url: &str, capacity: usize, sink: Sink<'_>) {
    match contender {
        HYPER => drain::spawned(url, sink).await,
        HYPER_SAME_TASK => drain::same_task(url, sink).await,
        SAME_TASK_SSE_CORE => peers::same_task_sse_core(url, sink).await,
        EVENTSOURCE_CLIENT => peers::eventsource_client(url, sink).await,
        EVENTSRC => peers::eventsrc(url, sink).await,
        REQWEST_EVENTSOURCE => peers::reqwest_eventsource(url, sink).await,
        REQWEST_DRAINED => peers::reqwest_drained(url, sink).await,
        OURS => ours::consume(Client::new(), url, capacity, sink).await,
        OURS_OVER_REQWEST => ours::consume(ours::over_reqwest(), url, capacity, sink).await,
        other => panic!("there is no client {other}"),
    }
}

/// Opens `count` streams that fall silent after some events, and returns when every reader has
/// taken them. The streams stay open until the runtime ends.
pub async fn open_idle(contender: &str, url: &str, count: u32, events: usize) {
    let ready = Arc::new(Semaphore::new(0));
    let readers = (0..count).map(|_| Reader { left: events, ready: Some(Arc::clone(&ready)) });
    match contender {
        HYPER => drain::open_idle(url, readers).await,
        OURS => ours::open_idle(url, readers).await,
        other => panic!("{other} has no idle mode"),
    }
    let _all = ready.acquire_many(count).await.expect("no reader fails");
}

/// How many events one reader still waits for.
struct Reader {
    left: usize,
    /// Gets a permit when no event is left.
    ready: Option<Arc<Semaphore>>,
}

impl Reader {
    /// Notes `events` more; zero before the first.
    fn took(&mut self, events: usize) {
        self.left = self.left.checked_sub(events).expect("no more than the server sends");
        if self.left == 0
            && let Some(ready) = self.ready.take()
        {
            ready.add_permits(1);
        }
    }
}

/// Fails the measurement if a reader ends too early, which would otherwise wait forever.
impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(ready) = &self.ready {
            ready.close();
        }
    }
}
