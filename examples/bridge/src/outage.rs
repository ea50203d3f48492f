//! [`Outage`]: waits while the engine is away, and logs each change once.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::engine::EngineError;

/// The waits between attempts, which double.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const MAX_WAIT: Duration = Duration::from_secs(2);

/// How many different errors of one outage are logged.
const MAX_ERRORS: usize = 5;

#[derive(Debug, Default)]
pub struct Outage {
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    since: Instant,
    wait: Duration,
    /// What has been logged.
    errors: Vec<String>,
}

impl Outage {
    /// Waits, and logs the error if this outage has not had it before.
    pub async fn wait(&mut self, error: &EngineError) {
        let new = || Current { since: Instant::now(), wait: FIRST_WAIT, errors: Vec::new() };
        let current = self.current.get_or_insert_with(new);
        let error = error.to_string();
        if current.errors.len() < MAX_ERRORS && !current.errors.contains(&error) {
            warn!("the engine takes nothing, and the streams wait: {error}");
            current.errors.push(error);
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
