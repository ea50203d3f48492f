//! For programs without a runtime: streams that are read by waiting.
//!
//! A [`Client`] has one thread in the background, which drives all of its streams. What is built is the same as
//! elsewhere in this crate: [`StreamBuilder`](crate::StreamBuilder), [`Handle`](crate::Handle), whose methods do not
//! wait unless they say so, and subscriptions; a [`Subscription`] of this module waits for what comes by putting its
//! thread to sleep. What else is to be awaited ([`Handle::shutdown_with`](crate::Handle::shutdown_with), say) is
//! given to [`Client::wait`].
//!
//! # Within a runtime
//!
//! All of this works on a thread that drives a tokio runtime, too, and never panics there. But it blocks that thread,
//! and with it whatever else it drives, or has been handed to drive: if that is the server in question, or the
//! connection task of a stream that was given to that runtime ([`Handle::connect`](crate::Handle::connect)) rather than
//! to a client of this module ([`Client::connect`]), for ever, however many threads the runtime has. There the rest of
//! this crate is better.
//!
//! # Examples
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
//! With settings, two queues of one stream, and losses told:
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
mod subscription;
mod wait;
mod worker;

use http::Uri;

use crate::error::Error;
use crate::hub::Filter;

pub use self::client::Client;
pub use self::subscription::{Deliveries, RecvTimeoutError, Subscription};

/// Follows the stream at `url`: all events, with the defaults, once it is open. For scripts: a [`Client`] of its own,
/// with its thread, is begun for it, and is gone with it.
///
/// # Errors
///
/// Those of [`open`](crate::open()), and [`ErrorKind::Thread`](crate::ErrorKind::Thread) when no thread could be begun.
pub fn open<U>(url: U) -> Result<Subscription, Error>
where
    U: TryInto<Uri, Error: Into<http::Error>>,
{
    let client = Client::new()?;
    client.open(client.stream(url), Filter::all())
}
