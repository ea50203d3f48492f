//! [`Outage`]: waits while the engine is away, and logs each change once.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

/// The waits between attempts, which double.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const MAX_WAIT: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub struct Outage {
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    since: Instant,
    wait: Duration,
    error: String,
}

impl Outage {
    /// Logs the error, unless it is the last one again, and waits.
    pub async fn wait(&mut self, error: String) {
        let current = self.current.get_or_insert_with(|| Current {
            since: Instant::now(),
            wait: FIRST_WAIT,
            error: String::new(),
        });
        if current.error != error {
            warn!("the engine takes nothing, and the streams wait: {error}");
            current.error = error;
        }
        let wait = current.wait;
        current.wait = (wait * 2).min(MAX_WAIT);
        sleep(wait).await;
    }

    /// Logs the end of the outage, if there was one.
    pub fn end(&mut self) {
        if let Some(Current { since, .. }) = self.current.take() {
            info!("the engine is back after {:.1?}", since.elapsed());
        }
    }
}
