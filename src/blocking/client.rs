//! [`Client`]: streams that a background thread drives.

use crate::client;
use crate::client::StreamBuilder;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::handle::Handle;
use crate::hub::Filter;
use crate::subscription::SubscribeOptions;
use crate::transport::IntoUrl;

use super::fork::forked;
use super::subscription::Subscription;
use super::wait::wait;
use super::worker::Worker;

/// A [`Client`](client::Client) for programs without a runtime: one thread drives its streams.
///
/// Cheap to clone; clones share the thread.
///
/// **Can deadlock:** code of yours that runs on that thread (predicates of filters, a hook, a
/// source of credentials, a resume store) must not wait for one of the client's streams.
///
/// # Drop behavior
///
/// Streams go on without the client. The thread ends by itself after the last clone is dropped and
/// the last stream has ended: by a shutdown, for good, or because its handles, subscriptions and
/// transcripts are dropped. The drop does not wait for the thread, so a client may be dropped
/// anywhere, also on the threads of a runtime.
#[derive(Debug, Clone)]
pub struct Client {
    client: client::Client,
    pub(super) worker: Worker,
}

impl Client {
    /// Returns a client with the default settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Thread`] if the system has no thread or no descriptors left.
    pub fn new() -> Result<Self, Error> {
        Self::with(client::Client::new())
    }

    /// Returns a client with the settings of this [`Client`](client::Client).
    ///
    /// Streams made by that client itself stay on their own runtime.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Thread`] if the system has no thread or no descriptors left.
    ///
    /// # Examples
    ///
    /// ```
    /// let settings = sseclient::Client::builder().no_proxy();
    /// let client = sseclient::blocking::Client::with(settings.build())?;
    /// # Ok::<(), sseclient::Error>(())
    /// ```
    pub fn with(client: client::Client) -> Result<Self, Error> {
        Ok(Self { client, worker: Worker::start()? })
    }

    /// Begins to build a stream of the events at `url`.
    ///
    /// Give the result to [`open`](Self::open), or build it and [`connect`](Self::connect) the
    /// handle. Both report an invalid URL; this method cannot fail.
    pub fn stream<Form: ?Sized>(&self, url: impl IntoUrl<Form>) -> StreamBuilder {
        self.client.stream(url)
    }

    /// Builds the stream, subscribes, connects, and blocks until it is open.
    ///
    /// # Errors
    ///
    /// Those of [`StreamBuilder::open`], and [`ErrorKind::Thread`] in a forked child process.
    pub fn open(&self, stream: StreamBuilder, filter: impl Into<Filter>) -> Result<Subscription, Error> {
        self.open_with(stream, filter, SubscribeOptions::default())
    }

    /// Like [`open`](Self::open), with options for the subscription.
    ///
    /// # Errors
    ///
    /// Those of [`StreamBuilder::open`].
    pub fn open_with(
        &self,
        stream: StreamBuilder,
        filter: impl Into<Filter>,
        options: SubscribeOptions,
    ) -> Result<Subscription, Error> {
        let (handle, subscription) = stream.build_and_subscribe(filter.into(), options)?;
        self.connect(&handle);
        wait(handle.first_attempt())?;
        Ok(subscription.into())
    }

    /// Spawns the connection task of a stream on this client's thread.
    ///
    /// In a forked child process, which does not have that thread, the stream closes with
    /// [`ErrorKind::Thread`].
    ///
    /// [`Handle::connect`] for programs without a runtime. A stream that was connected before stays
    /// where it is.
    pub fn connect(&self, handle: &Handle) {
        if self.worker.is_elsewhere() {
            handle.fail_unless_spawned(forked());
            return;
        }
        let _entered = self.worker.enter();
        // A stream that runs elsewhere needs no lease on this thread.
        if handle.spawn_task() {
            self.worker.keep_alive_for(handle.monitor());
        }
    }

    /// Blocks until a future completes: one of a [`Handle`], for example.
    ///
    /// This client's thread drives its timers. A stream that the future itself connects ends with
    /// the client; use [`open`](Self::open) or [`connect`](Self::connect) for streams.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn main() -> Result<(), sseclient::Error> {
    /// # let client = sseclient::blocking::Client::new()?;
    /// # let handle = client.stream("http://127.0.0.1/").build()?;
    /// let drain = sseclient::Drain::new(std::time::Duration::from_secs(5));
    /// let drained = client.wait(handle.shutdown_with(drain));
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        // For tokio's timers, which panic outside a runtime.
        let _entered = self.worker.enter();
        wait(future)
    }
}
