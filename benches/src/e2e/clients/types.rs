//! Many subscriptions of one stream, each to an event type of its own and in a task of its own.

use sseclient::{Client, ReconnectPolicy, Subscription};

use super::ours;
use super::subscriber::join;

/// Subscribes to `count` types from `first` on, and returns how many events all subscriptions have
/// received when the response has ended.
pub async fn count_events(url: &str, first: usize, count: usize) -> usize {
    let handle =
        Client::new().stream(url).reconnect_policy(ReconnectPolicy::never()).build().expect("the URL from e2e");
    let subscriptions = (first..first + count).map(|number| handle.subscribe(format!("type.{number}")));
    let tasks = subscriptions.map(|subscription| tokio::spawn(follow(subscription))).collect();
    handle.connect();
    join(tasks).await.into_iter().sum()
}

async fn follow(mut subscription: Subscription) -> usize {
    let mut events = 0;
    while ours::next(&mut subscription).await.is_some() {
        events += 1;
    }
    events
}
