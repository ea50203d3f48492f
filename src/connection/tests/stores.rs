//! Resume stores that are slow or fail, under paused time: what is saved, and when.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::{EMPTY, Script, Scripted};
use crate::{Client, Commit, Filter, ResumeStore, SubscribeOptions};

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
