//! [`Client`]: streams that a thread in the background drives.

use http::Uri;

use crate::client;
use crate::client::StreamBuilder;
use crate::error::Error;
use crate::handle::Handle;
use crate::hub::Filter;

use super::subscription::Subscription;
use super::wait::wait;
use super::worker::Worker;

/// What many streams share, for programs without a runtime: a [`Client`](client::Client), and the one thread that drives
/// all of its streams. Cheap to clone; clones share the thread.
///
/// Whatever runs on that thread (predicates of filters, a source of credentials, a resume store) must not wait for one
/// of its streams: it would wait for itself.
///
/// # Drop behavior
///
/// Streams go on without the client. The thread ends by itself after the last clone and the last stream: those that are
/// shut down, closed for good, or whose handles and subscriptions are all gone. Nothing waits for it, so the client
/// may be dropped anywhere, on threads of a runtime, too.
#[derive(Debug, Clone)]
pub struct Client {
    client: client::Client,
    worker: Worker,
}

impl Client {
    /// A client with the defaults.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Thread`](crate::ErrorKind::Thread) when the system has no thread, or no descriptors, to give.
    pub fn new() -> Result<Self, Error> {
        Self::with(client::Client::new())
    }

    /// A client with settings, those of a [`ClientBuilder`](crate::ClientBuilder). Other streams of that client are
    /// driven where they are.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Examples
    ///
    /// ```
    /// let settings = sseclient::Client::builder().no_proxy();
    /// let client = sseclient::blocking::Client::with(settings.build())?;
    /// # Ok::<(), sseclient::Error>(())
    /// ```
    pub fn with(client: client::Client) -> Result<Self, Error> {
        Ok(Self { client, worker: Worker::begin()? })
    }

    /// Begins a stream of the events at `url`, to be given to [`open`](Self::open), or built and
    /// [`connect`](Self::connect)ed. What is wrong with the URL is reported then.
    pub fn stream<U>(&self, url: U) -> StreamBuilder
    where
        U: TryInto<Uri, Error: Into<http::Error>>,
    {
        self.client.stream(url)
    }

    /// Builds the stream, subscribes, connects, and waits until it is open.
    ///
    /// # Errors
    ///
    /// Those of [`StreamBuilder::open`].
    pub fn open(&self, stream: StreamBuilder, filter: impl Into<Filter>) -> Result<Subscription, Error> {
        let (handle, subscription) = stream.build_and_subscribe(filter.into())?;
        self.connect(&handle);
        wait(handle.monitor().opened_since(0))?;
        Ok(subscription.into())
    }

    /// Spawns the connection task of a stream on this client's thread: what [`Handle::connect`] does where there is a
    /// runtime. A stream that was connected before stays where it is.
    pub fn connect(&self, handle: &Handle) {
        let _entered = self.worker.enter();
        if handle.spawn_task() {
            self.worker.keep(handle.monitor());
        }
    }

    /// Waits for a future, such as those of a [`Handle`]: `client.wait(handle.shutdown())`. Its timers are driven by
    /// this client's thread. A stream that the future itself connects ends with the client; give streams to
    /// [`open`](Self::open) or [`connect`](Self::connect).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn main() -> Result<(), sseclient::Error> {
    /// # let client = sseclient::blocking::Client::new()?;
    /// # let handle = client.stream("http://127.0.0.1/").build()?;
    /// let deadline = std::time::Duration::from_secs(5);
    /// let drained = client.wait(handle.shutdown_with(sseclient::Drain { deadline }));
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        let _entered = self.worker.enter();
        wait(future)
    }
}
