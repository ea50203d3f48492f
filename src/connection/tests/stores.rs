//! Resume stores that are slow or fail, under paused time: what is saved, and when.

use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{EMPTY, Script, Scripted, WITH_ID};
use crate::{Client, Commit, Delivery, ErrorKind, Filter, Gap, ResumeStore, SubscribeOptions};

const SECOND: Duration = Duration::from_secs(1);

/// A store that takes a second to load an ID, and records what it is given.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<Vec<String>>>);

impl ResumeStore for Slow {
    type Error = Infallible;

    async fn load(&self) -> Result<Option<String>, Infallible> {
        tokio::time::sleep(SECOND).await;
        Ok(Some("7".to_owned()))
    }

    async fn save(&self, id: String) -> Result<(), Infallible> {
        self.0.lock().unwrap().push(id);
        Ok(())
    }
}

/// A subscription that goes makes the task look for what is acknowledged: nothing is open, so all
/// up to the last event ID is, which is empty as long as the store has not answered.
#[tokio::test(start_paused = true)]
async fn nothing_is_saved_before_the_store_has_been_loaded() {
    let scripts = vec![Script::Talk(vec![(Duration::ZERO, EMPTY), (3600 * SECOND, "")])];
    let client = Client::with_connector(Arc::new(Scripted { scripts, asked: watch::Sender::default() }));
    let store = Slow::default();
    let stream = client.stream("http://host/").resume_store(store.clone(), Commit::Acknowledgement);
    let handle = stream.build().unwrap();
    let subscribe = || handle.subscribe_with(Filter::all(), SubscribeOptions::default().acknowledging());
    let (stays, goes) = (subscribe(), subscribe());
    drop(goes);
    handle.connect();
    handle.opened().await.unwrap();
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(*store.0.lock().unwrap(), [""; 0]);
    drop(stays);
}

/// A store that never answers.
struct Hanging;

impl ResumeStore for Hanging {
    type Error = Infallible;

    async fn load(&self) -> Result<Option<String>, Infallible> {
        pending().await
    }

    async fn save(&self, _: String) -> Result<(), Infallible> {
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_has_five_seconds_for_each_call() {
    let scripts = vec![Script::Talk(vec![(Duration::ZERO, WITH_ID), (3600 * SECOND, "")])];
    let client = Client::with_connector(Arc::new(Scripted { scripts, asked: watch::Sender::default() }));
    let handle = client.stream("http://host/").resume_store(Hanging, Commit::Delivery).build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    let begun = Instant::now();
    handle.connect();
    handle.opened().await.unwrap();
    assert_eq!(begun.elapsed(), 17 * SECOND, "three loads, a second apart");
    assert_eq!(events.recv().await, Some(Delivery::Gap(Gap::reconnected(None))));
    assert!(events.recv().await.is_some());
    let failures = || handle.stats().failures[&ErrorKind::Store];
    assert_eq!(failures(), 1);
    // A save every six seconds, and the stream stays open.
    tokio::time::sleep(SECOND * 12 - SECOND / 2).await;
    assert_eq!(failures(), 3);
    assert!(handle.state().is_open());
}
