//! The client for programs without a runtime, whose calls block.
//!
//! ```no_run
//! # fn main() -> Result<(), sseclient::Error> {
//! for event in sseclient::blocking::open("https://example.com/stream")? {
//!     println!("{}", event?.data()); // an error is the last item: why the stream has ended
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] has one background thread that drives all of its streams. The rest is the same as
//! in the asynchronous part: a [`StreamBuilder`](crate::StreamBuilder) makes a stream, and a
//! [`Handle`](crate::Handle) steers it with methods that do not wait. A [`Subscription`] of this
//! module parks the calling thread until an event comes. [`Client::wait`] waits for any other
//! future, such as [`Handle::shutdown_with`](crate::Handle::shutdown_with).
//!
//! # Within a runtime
//!
//! These calls never panic on a thread that drives a tokio runtime, but **they block that thread**,
//! with all tasks that are on it or queued for it. If one of those tasks is the server, or the
//! connection task of a stream that was connected with
//! [`Handle::connect`](crate::Handle::connect) instead of [`Client::connect`], the call blocks
//! forever, however many threads the runtime has. Use the asynchronous types there.
//!
//! # After a fork
//!
//! A forked child process (`fork(2)`, `multiprocessing`) has no thread of its parent's. There,
//! [`Client::open`] and a subscription that has nothing queued return
//! [`ErrorKind::Thread`](crate::ErrorKind::Thread), and a stream that [`Client::connect`] is to
//! connect closes with it, where they would wait forever. Events that were queued at the fork are
//! in both processes. Other calls in the child, such as [`Client::wait`], **can block forever**.
//! Make a new client after the fork.
//!
//! # Examples
//!
//! Settings, two queues of one stream, and gaps:
//!
//! ```no_run
//! use sseclient::{Delivery, blocking};
//!
//! # fn main() -> Result<(), sseclient::Error> {
//! let client = blocking::Client::new()?;
//! let handle = client.stream("https://example.com/stream").bearer_auth("…").build()?;
//! let mut updates = blocking::Subscription::from(handle.subscribe("update"));
//! let orders = blocking::Subscription::from(handle.subscribe("order"));
//! client.connect(&handle);
//! std::thread::spawn(move || orders.for_each(|order| println!("{order:?}")));
//! for delivery in updates.deliveries() {
//!     match delivery {
//!         Delivery::Event(event) => println!("{}", event.data()),
//!         Delivery::Gap(gap) => eprintln!("{gap}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod client;
mod fork;
mod subscription;
mod wait;
mod worker;

use crate::error::Error;
use crate::hub::Filter;
use crate::transport::IntoUrl;

pub use self::client::Client;
pub use self::subscription::{Deliveries, RecvTimeoutError, Subscription};

/// Opens the stream at `url` with the default settings, and subscribes to all of its events.
///
/// Blocks until the stream is open. The short form for scripts: it starts a [`Client`] and its
/// thread for this stream alone, which end with the stream.
///
/// # Errors
///
/// Those of [`open`](crate::open()), and [`ErrorKind::Thread`](crate::ErrorKind::Thread) if the
/// thread cannot start.
pub fn open<Form: ?Sized>(url: impl IntoUrl<Form>) -> Result<Subscription, Error> {
    let client = Client::new()?;
    client.open(client.stream(url), Filter::all())
}
