//! [`Publisher`]: a stream without HTTP, and [`Refusal`], what an attempt gets instead of one.

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;

use crate::client::Client;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::event::{Event, Gap};
use crate::handle::{Handle, closed_error};
use crate::state::CloseReason;

use super::feed::{Feed, Sent, gone};
use super::requests::check_resumed_from;

/// Where the streams of a publisher seem to come from. No request leaves the program.
const URL: &str = "http://publisher.invalid/stream";

/// Returns a publisher, and the handle of a stream with the default settings that it feeds.
///
/// The stream is built, not connected: subscribe, then [`connect`](Handle::connect). For other
/// settings, or for code that takes a [`Client`], see [`Publisher::client`].
///
/// # Examples
///
/// ```
/// use sseclient::{Delivery, testing};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), sseclient::Error> {
/// let (publisher, handle) = testing::channel();
/// let mut prices = handle.subscribe("price");
/// handle.connect();
///
/// publisher.send(("price", "100")).await?;
/// let Ok(Delivery::Event(event)) = prices.try_recv() else { panic!("no event") };
/// assert_eq!(event.data(), "100");
/// # Ok(())
/// # }
/// ```
pub fn channel() -> (Publisher, Handle) {
    let publisher = Publisher::new();
    let handle = publisher.client().stream(URL).build();
    (publisher, handle.unwrap_or_else(|error| panic!("a stream with the default settings: {error}")))
}

/// The server's side of a stream without HTTP.
///
/// What it sends goes through the connection task, the decoder and the hub of a real stream. So
/// subscriptions, filters, overflow, acknowledgements, states, statistics, the resume store and the
/// reconnection policy do what they do in the program. Only the network is missing.
///
/// # What waits, and for how long
///
/// Sending completes when what was sent is in the queues of all subscribers, or was dropped there
/// by an [`Overflow`](crate::Overflow) policy: the next
/// [`try_recv`](crate::Subscription::try_recv) finds it. Until then it waits, without a limit:
///
/// - for a stream that is not built, not [connected](Handle::connect), or connecting;
/// - while the stream waits to reconnect, by default 3 s and more;
/// - while a queue is full whose subscriber the stream waits for.
///
/// Pause the clock (`#[tokio::test(start_paused = true)]`): then no wait takes time, and around a
/// call that would hang a `tokio::time::timeout` fires at once.
///
/// # One stream at a time
///
/// A publisher feeds the stream that was built last, so a test can end a stream and build the next
/// one, as a restart of the program does: what waits when the next one is built fails then. Of two
/// streams at once, only the newest open response gets what is sent.
///
/// # Cancel safety
///
/// What a call sends stays sent if its future is dropped: it arrives later.
///
/// # Drop behavior
///
/// After what was sent all open responses break, and the streams close, under any policy, with an
/// [`ErrorKind::Closed`]: subscriptions end.
///
/// # Examples
///
/// A consumer that loses its connection. The client resumes, since the event had an ID:
///
/// ```
/// use sseclient::{Event, Filter, Gap, testing};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), sseclient::Error> {
/// let (publisher, handle) = testing::channel();
/// let mut events = handle.subscribe(Filter::all());
/// handle.connect();
///
/// publisher.send(Event::builder().id("7").data("before")).await?;
/// publisher.end().await?;
/// publisher.send(Event::builder().id("8").data("after")).await?;
///
/// publisher.assert_resumed_from("7");
/// assert_eq!(events.recv().await.unwrap().event().unwrap().data(), "before");
/// assert_eq!(events.recv().await.unwrap().gap(), Some(Gap::reconnected(Some("7".to_owned()))));
/// assert_eq!(events.recv().await.unwrap().event().unwrap().data(), "after");
/// # Ok(())
/// # }
/// ```
pub struct Publisher {
    feed: Arc<Feed>,
}

impl Publisher {
    /// Makes a publisher without a stream: see [`client`](Self::client).
    pub fn new() -> Self {
        Self { feed: Arc::default() }
    }

    /// Returns a client whose requests this publisher answers, for any URL.
    ///
    /// For code that takes a [`Client`], and for streams with settings of their own: a policy, a
    /// resume store, retained events. It sends no request to the network. Cookies and redirects are
    /// for the [`Server`](super::Server).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sseclient::testing::Publisher;
    ///
    /// let publisher = Publisher::new();
    /// let stream = publisher.client().stream("https://example.com/prices");
    /// let handle = stream.reconnection_time(Duration::from_secs(60)).build()?;
    /// # Ok::<(), sseclient::Error>(())
    /// ```
    pub fn client(&self) -> Client {
        let feed = Arc::clone(&self.feed);
        // Never asked: the feed gives each stream a transport of its own.
        let transport = |_: Request<Bytes>| ready(Err::<Response<Full<Bytes>>, _>(gone()));
        Client::builder().transport(transport).build().observed(move |stream| feed.attach(stream))
    }
}

/// # Send
///
/// Each call waits as the [type](Self) says.
impl Publisher {
    /// Sends an event: an [`Event`], an [`EventBuilder`](crate::EventBuilder), or a type and data.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidEvent`] if the wire format cannot carry the event.
    /// - [`ErrorKind::Closed`], or the stream's failure, if the stream is closed.
    pub async fn send(&self, event: impl TryInto<Event, Error: Into<Error>>) -> Result<(), Error> {
        let event = event.try_into().map_err(Into::into)?;
        self.send_text(event.encode()).await
    }

    /// Sends a comment, which only [transcripts](Handle::transcript) get. Each line of the text is
    /// a comment of its own. If a transcript is full between two lines, the call returns before the
    /// later ones are in it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`], or the stream's failure, if the stream is closed.
    pub async fn comment(&self, text: &str) -> Result<(), Error> {
        self.send_text(text.split(['\r', '\n']).flat_map(|line| [":", line, "\n"]).collect()).await
    }

    /// Sets the reconnection time, as a server's `retry` does: rounded down to milliseconds, and
    /// kept within the client's bounds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`], or the stream's failure, if the stream is closed.
    pub async fn retry(&self, time: Duration) -> Result<(), Error> {
        self.send_text(format!("retry: {}\n", time.as_millis())).await
    }

    /// Puts a gap into the queues of all subscribers, behind what was sent before it.
    ///
    /// For gaps that are hard to cause. The others happen by themselves: [`end`](Self::end) leads
    /// to a [`Gap::Reconnected`], an event over the size limit to a [`Gap::Oversized`], and a full
    /// queue that drops to a [`Gap::Lagged`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`], or the stream's failure, if the stream is closed.
    pub async fn gap(&self, gap: Gap) -> Result<(), Error> {
        self.deliver(Sent::Gap(gap)).await
    }

    async fn send_text(&self, text: String) -> Result<(), Error> {
        self.deliver(Sent::Bytes(text.into())).await
    }

    async fn deliver(&self, sent: Sent) -> Result<(), Error> {
        self.feed.deliver(sent).await.map(drop).map_err(closed_error)
    }
}

/// # Lose the connection
///
/// The stream's own policy decides what follows, and waits as it does in the program.
impl Publisher {
    /// Ends the response, as servers do all the time. Completes when the stream has noticed: its
    /// state is another one.
    ///
    /// The stream reconnects, and the next thing that is sent waits for that. Its request carries
    /// the ID of the last event that had one, and the gap in the queues says so.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`], or the stream's failure, if the stream was closed before.
    pub async fn end(&self) -> Result<(), Error> {
        self.feed.end(None).await.map_err(closed_error)
    }

    /// Breaks the response off with this error, like [`end`](Self::end).
    ///
    /// A connection that is lost is an [`ErrorKind::Body`]. A kind that is
    /// [final](Error::is_final) closes the stream.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`], or the stream's failure, if the stream was closed before.
    pub async fn fail(&self, error: Error) -> Result<(), Error> {
        self.feed.end(Some(error)).await.map_err(closed_error)
    }

    /// Refuses the next attempt. Several calls refuse as many attempts, in order.
    ///
    /// With a status, a [`Response`] (for headers and a body), or an [`Error`] (no response at
    /// all). The open response stays: [`end`](Self::end) it.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{Response, StatusCode};
    /// use sseclient::{Error, ErrorKind, testing::Publisher};
    ///
    /// let publisher = Publisher::new();
    /// publisher.refuse(Error::new(ErrorKind::Connect, "connection refused"));
    /// publisher.refuse(StatusCode::BAD_GATEWAY);
    /// let busy = Response::builder().status(503).header("retry-after", "120");
    /// publisher.refuse(busy.body("later".into()).unwrap());
    /// ```
    pub fn refuse(&self, refusal: impl Into<Refusal>) {
        self.feed.refuse(refusal.into().0);
    }

    /// Tells the client to stop, as servers do: after what was sent it ends the response, and
    /// answers the stream's next attempt with 204. Waits until the stream has closed, and returns
    /// its reason.
    ///
    /// Attempts that are to be [refused](Self::refuse) come first. A stream without a next attempt
    /// closes for its own reason, and its successor gets no 204.
    pub async fn close(&self) -> CloseReason {
        self.feed.close().await
    }
}

/// # Requests
impl Publisher {
    /// Returns the requests so far, of all streams of this publisher: at most the first 10,000.
    ///
    /// Each is as a [`Transport`](crate::Transport) gets it: with its whole URL, and without
    /// `Host`.
    pub fn requests(&self) -> Vec<Request<Bytes>> {
        self.feed.requests()
    }

    /// Asserts that the last request asked to resume after this ID; with `""`, after none.
    ///
    /// # Panics
    ///
    /// If it did not, or if there was no request.
    #[track_caller]
    pub fn assert_resumed_from(&self, id: &str) {
        check_resumed_from(&self.requests(), id);
    }
}

impl Default for Publisher {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.feed.finish();
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

/// What an attempt gets instead of a stream: see [`Publisher::refuse`].
#[derive(Debug)]
pub struct Refusal(Result<Response<Bytes>, Error>);

/// A response with this status, no headers and no body.
impl From<StatusCode> for Refusal {
    fn from(status: StatusCode) -> Self {
        let mut response = Response::default();
        *response.status_mut() = status;
        Self(Ok(response))
    }
}

/// This response. One that the client accepts is a stream that ends with this body.
impl From<Response<Bytes>> for Refusal {
    fn from(response: Response<Bytes>) -> Self {
        Self(Ok(response))
    }
}

/// No response: the attempt fails with this error.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(Err(error))
    }
}
