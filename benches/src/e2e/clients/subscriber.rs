//! One of many who get every event, whoever hands it to them.

use std::ops::ControlFlow;

use tokio::task::JoinHandle;

/// What one of them does with an event's data; it may have seen enough.
pub trait Subscriber: Send + 'static {
    fn see(&mut self, data: &[u8]) -> ControlFlow<()>;
}

/// What the tasks return, in their order.
pub(super) async fn join<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut returned = Vec::with_capacity(tasks.len());
    for task in tasks {
        returned.push(task.await.expect("no subscriber panics"));
    }
    returned
}
