//! [`Outage`]: waits while the engine is away, and logs each change once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::engine::EngineError;
use crate::status::Status;

/// The waits between attempts, which double.
pub const FIRST_WAIT: Duration = Duration::from_millis(50);
const MAX_WAIT: Duration = Duration::from_secs(2);

/// How many different errors of one outage are logged.
const MAX_ERRORS: usize = 5;

pub struct Outage {
    /// Shows the outage, too.
    status: Arc<Status>,
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
    pub fn new(status: Arc<Status>) -> Self {
        Self { status, current: None }
    }

    /// Waits, and logs the error if this outage has not had it before.
    pub async fn wait(&mut self, error: &EngineError) {
        let new = || Current { since: Instant::now(), wait: FIRST_WAIT, errors: Vec::new() };
        let current = self.current.get_or_insert_with(new);
        // One line: Redis' client shows bytes that it cannot read in lines of their own.
        let error = error.to_string().lines().collect::<Vec<_>>().join(" ");
        self.status.engine_is_away(&error);
        if current.errors.len() < MAX_ERRORS && !current.errors.contains(&error) {
            let engine = self.status.engine();
            warn!("the engine at {engine} takes nothing: {error}; the streams wait, and the bridge tries again");
            current.errors.push(error);
        }
        let wait = current.wait;
        current.wait = (wait * 2).min(MAX_WAIT);
        sleep(wait).await;
    }

    /// Logs the end of the outage, if there was one.
    pub fn end(&mut self) {
        if let Some(Current { since, .. }) = self.current.take() {
            self.status.engine_is_back();
            info!("the engine is back after {:.1?}", since.elapsed());
        }
    }
}
