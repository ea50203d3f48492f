//! [`SubscribeOptions`]: how one subscription differs from the others.

use crate::config::{MAX_CAPACITY, MIN_CAPACITY};

/// For [`Handle::subscribe_with`](crate::Handle::subscribe_with); the default is what
/// [`Handle::subscribe`](crate::Handle::subscribe) does.
///
/// # Examples
///
/// ```
/// use sseclient::{Client, SubscribeOptions};
///
/// let handle = Client::new().stream("http://127.0.0.1/").build()?;
/// let orders = handle.subscribe_with("order", SubscribeOptions::default().name("billing").acknowledging());
/// # Ok::<(), sseclient::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "options do nothing by themselves"]
pub struct SubscribeOptions {
    pub(crate) name: String,
    pub(crate) capacity: Option<usize>,
    pub(crate) acknowledging: bool,
}

impl SubscribeOptions {
    /// A name for logs; empty by default.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// How many events its queue holds: from 4 to 1,048,576; the stream's
    /// [`capacity`](crate::StreamBuilder::capacity) by default.
    pub fn capacity(self, events: usize) -> Self {
        Self { capacity: Some(events.clamp(MIN_CAPACITY, MAX_CAPACITY)), ..self }
    }

    /// Each event that this subscription takes is to be acknowledged
    /// ([`Subscription::acknowledge`](crate::Subscription::acknowledge)) when it has been processed. A resume store
    /// with [`Commit::Acknowledgement`](crate::Commit::Acknowledgement) goes no further than that.
    pub fn acknowledging(self) -> Self {
        Self { acknowledging: true, ..self }
    }
}
