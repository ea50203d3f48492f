//! A source of feature flags, as LaunchDarkly's server SDKs need one: it follows a stream of `put`,
//! `patch` and `delete` events, and any thread reads the flags.
//!
//! # When flags are old
//!
//! While the stream is interrupted, [`FlagSource::flag`] goes on with the flags that it has, and
//! [`FlagSource::status`] says why they may be old. The server sends everything in a `put` after each
//! reconnection, so no change is lost for good.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use flag_source::FlagSource;
//! use sseclient::Client;
//!
//! let stream = Client::new().stream("https://stream.launchdarkly.com/all");
//! let flags = FlagSource::start(stream.header("authorization", "sdk-…"))?;
//! flags.initialized().await.map_err(|reason| reason.to_string())?;
//! println!("{:?}", flags.flag("new-checkout"));
//! # Ok(())
//! # }
//! ```

mod store;

use std::sync::Arc;
use std::time::Duration;

use sseclient::{
    CloseReason, Decision, Error, ErrorKind, Gap, Handle, Overflow, ReconnectPolicy, State, StreamBuilder,
    SubscribeOptions, Transcript, TranscriptItem,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

use self::store::{Change, Store};
pub use self::store::{Item, Status};

/// The first wait before a reconnection, and the longest. The server may have thousands of clients.
const RECONNECTION_TIME: Duration = Duration::from_secs(1);
const CEILING: Duration = Duration::from_secs(30);

/// The server sends a heartbeat every three minutes.
const SILENCE: Duration = Duration::from_secs(300);

/// A `put` has all flags of an environment.
const MAX_PUT: usize = 64 << 20;

/// A stream with data that cannot be used is begun anew, but no more often than this.
const RESTART_EVERY: Duration = Duration::from_secs(5);

/// The flags of an environment, kept up to date by a task.
///
/// # Drop behavior
///
/// The task ends, and the connection closes. A [`FlagWatch`] ends, too.
#[derive(Debug)]
pub struct FlagSource {
    store: watch::Receiver<Store>,
    task: JoinHandle<()>,
}

impl FlagSource {
    /// Connects to this stream, in the background. URL, SDK key and headers are the caller's; the
    /// policy, the timeouts and the limits are set here.
    ///
    /// # Errors
    ///
    /// A stream that cannot be built. All other failures are a [`Status`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(stream: StreamBuilder) -> Result<Self, Error> {
        let stream = stream.reconnect_policy(policy()).idle_timeout(SILENCE).max_event_size(MAX_PUT);
        let handle = stream.build()?;
        // No flag is dropped: the server waits while the store is busy.
        let options = SubscribeOptions::default().overflow(Overflow::Block);
        let transcript = handle.transcript_with(["put", "patch", "delete"], options);
        handle.connect();
        let (sender, store) = watch::channel(Store::default());
        let task = tokio::spawn(follow(handle, transcript, sender));
        Ok(Self { store, task })
    }

    /// Returns the flag with this key. From any thread; it waits for no more than one update.
    pub fn flag(&self, key: &str) -> Option<Arc<Item>> {
        self.store.borrow().flag(key)
    }

    /// Returns the segment with this key.
    pub fn segment(&self, key: &str) -> Option<Arc<Item>> {
        self.store.borrow().segment(key)
    }

    /// Returns whether the flags are up to date, and if not, why.
    pub fn status(&self) -> Status {
        self.store.borrow().status.clone()
    }

    /// Waits until the status is as wanted, and returns it.
    ///
    /// Waits forever for what never comes: after [`Status::Off`] no other status follows.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped.
    pub async fn wait_for(&self, mut is_wanted: impl FnMut(&Status) -> bool) -> Status {
        let mut store = self.store.clone();
        match store.wait_for(|store| is_wanted(&store.status)).await {
            Ok(store) => store.status.clone(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until there are flags.
    ///
    /// # Errors
    ///
    /// Why there are none, and none will come.
    pub async fn initialized(&self) -> Result<(), CloseReason> {
        match self.wait_for(|status| !matches!(status, Status::Initializing(_))).await {
            Status::Off(reason) => Err(reason),
            _ => Ok(()),
        }
    }

    /// Watches one flag, from its present version on.
    pub fn watch(&self, key: impl Into<String>) -> FlagWatch {
        let (store, key) = (self.store.clone(), key.into());
        let seen = store.borrow().flag(&key).map(|flag| flag.version);
        FlagWatch { store, key, seen }
    }
}

impl Drop for FlagSource {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tells when one flag changes.
#[derive(Debug)]
pub struct FlagWatch {
    store: watch::Receiver<Store>,
    key: String,
    seen: Option<u64>,
}

impl FlagWatch {
    /// Waits until the flag has another version, or is deleted or new. Versions in between may be
    /// skipped.
    ///
    /// # Errors
    ///
    /// The source is gone.
    pub async fn changed(&mut self) -> Result<Option<Arc<Item>>, watch::error::RecvError> {
        let version = |store: &Store| store.flag(&self.key).map(|flag| flag.version);
        let flag = self.store.wait_for(|store| version(store) != self.seen).await?.flag(&self.key);
        self.seen = flag.as_ref().map(|flag| flag.version);
        Ok(flag)
    }
}

/// A key that is refused stays refused; a 400 and all that is not a 4xx may pass.
fn policy() -> ReconnectPolicy {
    let policy = ReconnectPolicy::persistent().reconnection_time(RECONNECTION_TIME).ceiling(CEILING);
    policy.decide_with(|failure| match failure.status() {
        Some(status) if status.is_client_error() && !matches!(status.as_u16(), 400 | 408 | 429) => Decision::Stop,
        _ => failure.suggestion(),
    })
}

/// Keeps the store up to date. A transcript has states and events in one order, so a status is
/// never older than the flags.
async fn follow(handle: Handle, mut transcript: Transcript, store: watch::Sender<Store>) {
    let mut pace = interval(RESTART_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while let Some(item) = transcript.recv().await {
        match item {
            TranscriptItem::Event(event) => match event.json::<Change>() {
                Ok(change) => store.send_modify(|store| store.apply(&change)),
                Err(error) => restart(&handle, &store, &mut pace, error).await,
            },
            // A `put` follows.
            TranscriptItem::Gap(Gap::Reconnected { .. }) => {}
            TranscriptItem::Gap(gap) => {
                let error = Error::new(ErrorKind::Decode, gap.to_string());
                restart(&handle, &store, &mut pace, error).await;
            }
            TranscriptItem::State(State::Waiting { cause, .. }) => store.send_modify(|store| store.interrupt(cause)),
            TranscriptItem::State(State::Closed(reason)) => {
                store.send_modify(|store| store.status = Status::Off(reason))
            }
            _ => {}
        }
    }
}

/// Asks for a new response, and so for a `put`, after data that cannot be used.
async fn restart(handle: &Handle, store: &watch::Sender<Store>, pace: &mut Interval, cause: Error) {
    store.send_modify(|store| store.interrupt(cause));
    pace.tick().await;
    handle.reconnect();
}
