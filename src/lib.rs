//! sseclient
mod builder;
mod client;
mod config;
mod connection;
mod delivery;
mod error;
mod event;
mod event_stream;
mod filter;
mod handle;
mod hub;
mod monitor;
mod retry;
mod state;
mod subscription;
mod target;
mod transcript;
mod transport;
pub mod wire;

pub use crate::builder::StreamBuilder;
pub use crate::client::{Client, ClientBuilder};
pub use crate::delivery::{Delivery, Gap, TranscriptItem};
pub use crate::error::{Error, ErrorKind};
pub use crate::event::{Event, EventBuilder};
pub use crate::event_stream::{EventStream, StreamBody};
pub use crate::filter::Filter;
pub use crate::handle::{Handle, Shutdown};
pub use crate::monitor::{Monitor, StateChanges};
pub use crate::state::{CloseReason, State};
pub use crate::subscription::{Events, Subscription};
pub use crate::transcript::Transcript;

/// Follows the stream at `url`: everything, with the defaults.
pub async fn open<U>(url: U) -> Result<Subscription, Error>
where
    U: TryInto<http::Uri, Error: Into<http::Error>>,
{
    Client::new().stream(url).open(Filter::all()).await
}
