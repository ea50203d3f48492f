//! One of many subscribers that get every event, for all contenders.

use std::ops::ControlFlow;

use tokio::task::JoinHandle;

/// A subscriber: it takes each event's data and says whether it has seen enough.
pub trait Subscriber: Send + 'static {
    fn see(&mut self, data: &[u8]) -> ControlFlow<()>;
}

/// Returns the results of the tasks, in their order.
pub(super) async fn join<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut returned = Vec::with_capacity(tasks.len());
    for task in tasks {
        returned.push(task.await.expect("no subscriber panics"));
    }
    returned
}
