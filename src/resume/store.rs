//! [`ResumeStore`]: keeps the last event ID between two runs of a program; [`Commit`]: when it is
//! saved.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::error::panics::{catch, catch_future};
use crate::error::{Error, ErrorKind};

/// How long a call of a store may take; a store that takes longer is down. The stream waits for it
/// only before its first attempt.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps the last event ID of one stream, so that the next run of a program resumes where this one
/// stopped: a file ([`FileStore`](crate::FileStore)), a row of a database, a key in a cache.
///
/// Set with [`StreamBuilder::resume_store`](crate::StreamBuilder::resume_store). Calls come one at
/// a time. The future of a call that takes longer than 5 s is dropped, and its ID is saved again
/// later. A panic in a call counts as a failure.
///
/// # Examples
///
/// ```
/// use std::convert::Infallible;
/// use std::sync::Mutex;
///
/// #[derive(Default)]
/// struct InMemory(Mutex<Option<String>>);
///
/// impl sseclient::ResumeStore for InMemory {
///     type Error = Infallible;
///
///     async fn load(&self) -> Result<Option<String>, Infallible> {
///         Ok(self.0.lock().unwrap().clone())
///     }
///
///     async fn save(&self, id: String) -> Result<(), Infallible> {
///         *self.0.lock().unwrap() = Some(id);
///         Ok(())
///     }
/// }
///
/// // An `Arc` lets the program look into the store as well.
/// let store = std::sync::Arc::new(InMemory::default());
/// let stream = sseclient::Client::new().stream("http://127.0.0.1/");
/// let handle = stream.resume_store(store.clone(), sseclient::Commit::Delivery).build()?;
/// # Ok::<(), sseclient::Error>(())
/// ```
pub trait ResumeStore: Send + Sync + 'static {
    /// Why the store failed.
    type Error: Into<Box<dyn StdError + Send + Sync>>;

    /// Checks that the store can be used at all. [`build`](crate::StreamBuilder::build) calls it,
    /// and waits for it; by default it checks nothing.
    ///
    /// # Errors
    ///
    /// If no ID could ever be saved, say because a directory is missing. The text says what to do:
    /// it becomes that of an [`ErrorKind::InvalidConfig`].
    fn check(&self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Returns the ID that was saved last; `None` if none ever was.
    ///
    /// # Errors
    ///
    /// If the ID cannot be read. The stream calls `load` three times in all, a second apart. Then
    /// it begins after the ID of [`last_event_id`](crate::StreamBuilder::last_event_id), or without
    /// one if that was not set, with a [`Gap::Reconnected`](crate::Gap::Reconnected) in each queue.
    fn load(&self) -> impl Future<Output = Result<Option<String>, Self::Error>> + Send;

    /// Saves an ID in place of the previous one. An empty ID means that the server has cleared it.
    /// An ID over 8,000 bytes, which no request can carry, is not given to the store.
    ///
    /// # Errors
    ///
    /// If the ID may not have been saved. The stream goes on, and saves it again later.
    fn save(&self, id: String) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Names the store in logs; by default its type. Called once, when a stream gets the store.
    fn name(&self) -> String {
        std::any::type_name::<Self>().to_owned()
    }
}

impl<S: ResumeStore> ResumeStore for Arc<S> {
    type Error = S::Error;

    fn check(&self) -> Result<(), S::Error> {
        S::check(self)
    }

    fn load(&self) -> impl Future<Output = Result<Option<String>, S::Error>> + Send {
        S::load(self)
    }

    fn save(&self, id: String) -> impl Future<Output = Result<(), S::Error>> + Send {
        S::save(self, id)
    }

    fn name(&self) -> String {
        S::name(self)
    }
}

/// When the last event ID is saved, which decides what a restart repeats and what it can lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Commit {
    /// When the events up to it are in the subscribers' queues. Events that the subscribers had not
    /// processed when the program was killed are lost. Events of the last moments (100 ms, or as
    /// long as the store takes) come again.
    Delivery,
    /// When all acknowledging subscriptions
    /// ([`SubscribeOptions::acknowledging`](crate::SubscribeOptions::acknowledging)) have
    /// acknowledged every event up to it. No event is lost that the server can still send. Events
    /// processed in the last moments come again. Without such a subscription no ID is saved, and
    /// the warning `unsaved` says so.
    ///
    /// An ID that several events in a row share is saved when all of them that have come are
    /// acknowledged, because a server that resumes after it sends none of them.
    Acknowledgement,
}

/// A call of a store, bounded in time.
pub(crate) type StoreFuture<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// A [`ResumeStore`] with its type erased, whose calls are bounded in time.
trait ErasedStore: Send + Sync {
    fn check(&self) -> Result<(), Error>;
    fn load(self: Arc<Self>) -> StoreFuture<Option<String>>;
    fn save(self: Arc<Self>, id: String) -> StoreFuture<()>;
}

impl<S: ResumeStore> ErasedStore for S {
    fn check(&self) -> Result<(), Error> {
        let why = match catch(|| ResumeStore::check(self)) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.into().to_string(),
            Err(panicked) => panicked.message("its check"),
        };
        // The text of the cause is part of the message, since it says what to do.
        Err(Error::new(ErrorKind::InvalidConfig, format!("the resume store cannot be used: {why}")))
    }

    fn load(self: Arc<Self>) -> StoreFuture<Option<String>> {
        Box::pin(in_time("loaded from", async move { ResumeStore::load(&*self).await }))
    }

    fn save(self: Arc<Self>, id: String) -> StoreFuture<()> {
        Box::pin(in_time("saved in", async move { ResumeStore::save(&*self, id).await }))
    }
}

/// Runs a call of the store: bounds it in time and turns a panic into an error.
async fn in_time<T, E>(what: &str, answer: impl Future<Output = Result<T, E>>) -> Result<T, Error>
where
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    let could_not = || format!("the last event ID could not be {what} the resume store");
    // The store is the caller's code: it may hang or panic, and the stream must go on.
    match timeout(TIMEOUT, catch_future(answer)).await {
        Ok(Ok(answer)) => answer.map_err(|error| Error::with_source(ErrorKind::Store, could_not(), error)),
        Ok(Err(panicked)) => {
            Err(Error::new(ErrorKind::Store, format!("{}: {}", could_not(), panicked.message("the store"))))
        }
        Err(_) => {
            let message = format!("the last event ID was not {what} the resume store within {TIMEOUT:?}");
            Err(Error::new(ErrorKind::Store, message))
        }
    }
}

/// The store of a stream.
#[derive(Clone)]
pub(crate) struct Store {
    store: Arc<dyn ErasedStore>,
    /// For logs.
    pub(crate) name: String,
    pub(crate) commit: Commit,
}

impl Store {
    pub(crate) fn new(store: impl ResumeStore, commit: Commit) -> Self {
        Self { name: store.name(), store: Arc::new(store), commit }
    }

    /// Checks that the store can be used.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` if the store says no, or panics.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.store.check()
    }

    /// Starts to load the ID.
    ///
    /// # Errors
    ///
    /// `Store` if the store fails, panics, or takes longer than 5 s.
    pub(crate) fn load(&self) -> StoreFuture<Option<String>> {
        Arc::clone(&self.store).load()
    }

    /// Starts to save an ID. Fails like [`load`](Self::load).
    pub(crate) fn save(&self, id: String) -> StoreFuture<()> {
        Arc::clone(&self.store).save(id)
    }
}
