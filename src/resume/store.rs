//! [`ResumeStore`]: where the last event ID is kept between two runs of a program.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::error::panics::catch_future;
use crate::error::{Error, ErrorKind};

/// How long a store may take: one that takes longer is down. The stream does not wait for it, except
/// before its first attempt.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps the last event ID of one stream, so that the next run of a program goes on where this one
/// stopped: a file ([`FileStore`](crate::FileStore)), a row of a database, a key somewhere.
///
/// Given to a stream by [`StreamBuilder::resume_store`](crate::StreamBuilder::resume_store). Calls come one
/// at a time, and a call that takes longer than 5 s is given up: its future is dropped, and what it was to
/// save is saved again later. A panic in a call is a failure like any other.
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
/// // In an `Arc` it can be kept, too, to see what is in it.
/// let store = std::sync::Arc::new(InMemory::default());
/// let stream = sseclient::Client::new().stream("http://127.0.0.1/");
/// let handle = stream.resume_store(store.clone(), sseclient::Commit::Delivery).build()?;
/// # Ok::<(), sseclient::Error>(())
/// ```
pub trait ResumeStore: Send + Sync + 'static {
    /// Why the store failed.
    type Error: Into<Box<dyn StdError + Send + Sync>>;

    /// The ID that was saved last; `None` if none ever was.
    ///
    /// # Errors
    ///
    /// When that cannot be said. The stream asks three times in all, a second apart, and then begins without an ID,
    /// with a [`Gap::Reconnected`](crate::Gap::Reconnected) in each queue.
    fn load(&self) -> impl Future<Output = Result<Option<String>, Self::Error>> + Send;

    /// Keeps an ID, in place of the one before. Empty: the server has cleared it.
    ///
    /// # Errors
    ///
    /// When the ID may not have been kept. The stream goes on, and tries again.
    fn save(&self, id: String) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

impl<S: ResumeStore> ResumeStore for Arc<S> {
    type Error = S::Error;

    fn load(&self) -> impl Future<Output = Result<Option<String>, S::Error>> + Send {
        S::load(self)
    }

    fn save(&self, id: String) -> impl Future<Output = Result<(), S::Error>> + Send {
        S::save(self, id)
    }
}

/// When the last event ID may be saved: what a restart repeats, and what it can lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Commit {
    /// When an event has been put into the subscribers' queues. What they had not processed when the program was
    /// killed is lost; what was delivered in the last moments before (100 ms, or as long as the store takes)
    /// comes again.
    Delivery,
    /// When all acknowledging subscriptions have acknowledged everything up to it
    /// ([`SubscribeOptions::acknowledging`](crate::SubscribeOptions::acknowledging)). Nothing is lost that
    /// the server can still give; what was processed in the last moments comes again. Without such a
    /// subscription nothing is saved. An ID that several events in a row set is saved when all of them that
    /// have come are acknowledged: a server that is asked to go on after it sends none of them.
    Acknowledgement,
}

pub(crate) type StoreFuture<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// A store, whatever its type.
trait AnyStore: Send + Sync {
    fn load(self: Arc<Self>) -> StoreFuture<Option<String>>;
    fn save(self: Arc<Self>, id: String) -> StoreFuture<()>;
}

impl<S: ResumeStore> AnyStore for S {
    fn load(self: Arc<Self>) -> StoreFuture<Option<String>> {
        Box::pin(in_time("loaded", async move { ResumeStore::load(&*self).await }))
    }

    fn save(self: Arc<Self>, id: String) -> StoreFuture<()> {
        Box::pin(in_time("saved", async move { ResumeStore::save(&*self, id).await }))
    }
}

async fn in_time<T, E>(what: &str, answer: impl Future<Output = Result<T, E>>) -> Result<T, Error>
where
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    match timeout(TIMEOUT, catch_future(answer)).await {
        Ok(Ok(Ok(answer))) => Ok(answer),
        Ok(Ok(Err(error))) => Err(Error::with_source(ErrorKind::Store, format!("the ID could not be {what}"), error)),
        Ok(Err(panicked)) => {
            let message = panicked.message("the store");
            Err(Error::new(ErrorKind::Store, format!("the ID could not be {what}: {message}")))
        }
        Err(_) => Err(Error::new(ErrorKind::Store, format!("the ID was not {what} within {TIMEOUT:?}"))),
    }
}

/// A store that was given to a stream.
#[derive(Clone)]
pub(crate) struct Store {
    store: Arc<dyn AnyStore>,
    pub(crate) commit: Commit,
}

impl Store {
    pub(crate) fn new(store: impl ResumeStore, commit: Commit) -> Self {
        Self { store: Arc::new(store), commit }
    }

    pub(crate) fn load(&self) -> StoreFuture<Option<String>> {
        Arc::clone(&self.store).load()
    }

    pub(crate) fn save(&self, id: String) -> StoreFuture<()> {
        Arc::clone(&self.store).save(id)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("commit", &self.commit).finish_non_exhaustive()
    }
}
