//! [`SubscribeOptions`]: how one subscription differs from the others.

use crate::connection::config::{MAX_CAPACITY, MIN_CAPACITY};
use crate::hub::Overflow;

/// For [`Handle::subscribe_with`](crate::Handle::subscribe_with); the default is what
/// [`Handle::subscribe`](crate::Handle::subscribe) does.
///
/// # Examples
///
/// ```
/// use sseclient::{Client, Overflow, SubscribeOptions};
///
/// let handle = Client::new().stream("http://127.0.0.1/").build()?;
/// let orders = handle.subscribe_with("order", SubscribeOptions::default().name("billing").acknowledging());
/// // For a display: it may miss some, and must never hold up the billing.
/// let shown = handle.subscribe_with("order", SubscribeOptions::default().overflow(Overflow::DropOldest));
/// # Ok::<(), sseclient::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "options do nothing by themselves"]
pub struct SubscribeOptions {
    pub(crate) name: String,
    pub(crate) capacity: Option<usize>,
    pub(crate) queue_bytes: Option<u64>,
    pub(crate) overflow: Overflow,
    pub(crate) acknowledging: bool,
    pub(crate) replays: bool,
}

impl SubscribeOptions {
    /// A name for logs; empty by default.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// What happens when its queue is full; [`Overflow::Wait`] for 1 s by default.
    pub fn overflow(self, overflow: Overflow) -> Self {
        Self { overflow, ..self }
    }

    /// How many events its queue holds: from 1 to 1,048,576; the stream's
    /// [`capacity`](crate::StreamBuilder::capacity) by default. Up to 64 more may be in the subscription's hands.
    pub fn capacity(self, events: usize) -> Self {
        Self { capacity: Some(events.clamp(MIN_CAPACITY, MAX_CAPACITY)), ..self }
    }

    /// How many bytes of text (types, data and IDs) its queue holds; 16 MiB by default. One event always fits: a queue
    /// is full with the event that takes it there, however large that is.
    pub fn queue_bytes(self, bytes: u64) -> Self {
        Self { queue_bytes: Some(bytes.max(1)), ..self }
    }

    /// Each event that this subscription takes is to be acknowledged
    /// ([`Subscription::acknowledge`](crate::Subscription::acknowledge)) when it has been processed. A resume store
    /// with [`Commit::Acknowledgement`](crate::Commit::Acknowledgement) goes no further than that.
    pub fn acknowledging(self) -> Self {
        Self { acknowledging: true, ..self }
    }

    /// What the stream has retained ([`retain`](crate::StreamBuilder::retain),
    /// [`retain_since`](crate::StreamBuilder::retain_since)) and the filter passes comes first, in the order of the
    /// stream, with the gaps between; then what is published from now on, with nothing missing and nothing twice. It
    /// takes no room in the queue, nothing of it is conflated, and it need not be acknowledged.
    pub fn replay(self) -> Self {
        Self { replays: true, ..self }
    }
}
