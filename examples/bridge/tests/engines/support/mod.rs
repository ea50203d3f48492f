//! The processes and the server that the tests need. All of them end with the test.

pub(crate) mod engine;
pub(crate) mod programs;
pub(crate) mod proxy;
pub(crate) mod upstream;

use std::time::{Duration, Instant};

use tokio::time::sleep;

/// How long anything may take that the tests wait for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until the condition holds. It is looked at every 20 ms.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < DEADLINE, "waited in vain until {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
