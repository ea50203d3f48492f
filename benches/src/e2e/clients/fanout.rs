//! Many subscribers of one stream, each to all events, each in a task of its own.

use sseclient::{Client, Filter, Subscription};

use super::super::{BY_HAND_NOTIFY, BY_HAND_YIELD, OURS};
use super::by_hand::{self, Gate};
use super::ours;
use super::subscriber::{Subscriber, join};

/// Gives every event at `url` to every subscriber, and returns the subscribers once all have seen
/// enough.
///
/// # Panics
///
/// Panics if the contender reports that a subscriber missed an event.
pub async fn fan_out<S: Subscriber>(contender: &str, url: &str, subscribers: Vec<S>) -> Vec<S> {
    match contender {
        OURS => by_our_client(url, subscribers).await,
        BY_HAND_YIELD => by_hand::fan_out(url, Gate::Yield, subscribers).await,
        BY_HAND_NOTIFY => by_hand::fan_out(url, Gate::Notify, subscribers).await,
        other => panic!("{other} has no fan-out"),
    }
}

async fn by_our_client<S: Subscriber>(url: &str, subscribers: Vec<S>) -> Vec<S> {
    let handle = Client::new().stream(url).build().expect("the URL from e2e");
    let follow = |subscriber| tokio::spawn(follow(handle.subscribe(Filter::all()), subscriber));
    let tasks = subscribers.into_iter().map(follow).collect();
    handle.connect();
    let subscribers = join(tasks).await;
    handle.shutdown().await;
    subscribers
}

async fn follow<S: Subscriber>(mut subscription: Subscription, mut subscriber: S) -> S {
    while let Some(event) = ours::next(&mut subscription).await {
        if subscriber.see(event.data().as_bytes()).is_break() {
            break;
        }
    }
    subscriber
}
