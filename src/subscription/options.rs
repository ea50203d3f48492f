//! [`SubscribeOptions`]: how one subscription differs from the others.

use crate::connection::config::{MAX_CAPACITY, MIN_CAPACITY};
use crate::hub::{Overflow, Replay};

/// The options of [`Handle::subscribe_with`](crate::Handle::subscribe_with),
/// [`StreamBuilder::open_with`](crate::StreamBuilder::open_with) and
/// [`Handle::transcript_with`](crate::Handle::transcript_with).
///
/// The default is what [`Handle::subscribe`](crate::Handle::subscribe) uses.
///
/// # Examples
///
/// ```
/// use sseclient::{Client, Overflow, SubscribeOptions};
///
/// let handle = Client::new().stream("http://127.0.0.1/").build()?;
/// let billing = SubscribeOptions::default().name("billing").acknowledging();
/// let orders = handle.subscribe_with("order", billing);
/// // A display may miss some orders, and must never hold up the billing.
/// let display = SubscribeOptions::default().overflow(Overflow::DropOldest);
/// let shown = handle.subscribe_with("order", display);
/// # Ok::<(), sseclient::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "options do nothing by themselves"]
pub struct SubscribeOptions {
    pub(crate) name: String,
    pub(crate) capacity: Option<usize>,
    pub(crate) queue_bytes: Option<u64>,
    pub(crate) overflow: Option<Overflow>,
    pub(crate) acknowledging: bool,
    pub(crate) replay: Replay,
}

impl SubscribeOptions {
    /// Names the subscription in logs and [statistics](crate::Handle::subscriptions); empty by
    /// default.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Sets what happens when the queue is full; by default [`Overflow::Wait`] with a patience of
    /// 1 s, and [`Overflow::Block`] if the subscription is [acknowledging](Self::acknowledging) or
    /// the stream is for [one answer](crate::StreamBuilder::once).
    ///
    /// In either order of the calls: what is set here stays.
    #[doc(alias = "lag")]
    pub fn overflow(self, overflow: Overflow) -> Self {
        Self { overflow: Some(overflow), ..self }
    }

    /// Sets how many events the queue holds, from 1 to 1,048,576.
    ///
    /// By default the stream's [`capacity`](crate::StreamBuilder::capacity), which is 256. The
    /// subscription may hold up to 64 more that it has already taken out of the queue.
    pub fn capacity(self, events: usize) -> Self {
        Self { capacity: Some(events.clamp(MIN_CAPACITY, MAX_CAPACITY)), ..self }
    }

    /// Sets how many bytes of text the queue holds (types, data and IDs); 16 MiB by default.
    ///
    /// The [last event ID](crate::Event::last_event_id) counts for each event, inherited or not.
    /// One event always fits: the event that reaches the limit is still queued, however large.
    pub fn queue_bytes(self, bytes: u64) -> Self {
        // With 0 the queue would be full while it is empty.
        Self { queue_bytes: Some(bytes.max(1)), ..self }
    }

    /// Requires that each event is [acknowledged](crate::Subscription::acknowledge) when it has
    /// been processed; off by default.
    ///
    /// A resume store with [`Commit::Acknowledgement`](crate::Commit::Acknowledgement) saves no
    /// event ID past an event that is not acknowledged. An event that the queue drops never is, so
    /// the default overflow is then [`Overflow::Block`]: **one such subscription that hangs stops
    /// the stream for all**, with the warning `stalled`.
    pub fn acknowledging(self) -> Self {
        Self { acknowledging: true, ..self }
    }

    /// Begins with the events that the stream has retained and the filter passes; off by default.
    ///
    /// They come first, in the order of the stream, with the gaps between them. The events that are
    /// published from now on follow: none is missing and none comes twice. Replayed events take no
    /// room in the queue, are not conflated, and need no acknowledgement. See
    /// [`StreamBuilder::retain`](crate::StreamBuilder::retain),
    /// [`retain_latest`](crate::StreamBuilder::retain_latest) and
    /// [`retain_since`](crate::StreamBuilder::retain_since).
    pub fn replay(self) -> Self {
        Self { replay: Replay::All, ..self }
    }

    /// Begins with the retained events after the one that set the ID `id`; off by default.
    ///
    /// For servers whose own clients come back with a `Last-Event-ID`. If several retained events
    /// set that ID, the newest counts. If none does, events may be missing: the subscription begins
    /// with a [`Gap::NotRetained`](crate::Gap::NotRetained), and then gets what
    /// [`replay`](Self::replay) gives. It begins with that gap, too, if a rule that keeps less has
    /// dropped events since. **Events of types that no rule retains are missing without a gap**, so
    /// retain all that you replay. The empty ID is that of a client that has none, and means
    /// [`replay`](Self::replay).
    pub fn replay_after(self, id: impl Into<String>) -> Self {
        let id = id.into();
        Self { replay: if id.is_empty() { Replay::All } else { Replay::After(id) }, ..self }
    }
}

impl SubscribeOptions {
    /// Returns the overflow policy that was chosen, or the default, which is `of_stream` unless the
    /// subscription acknowledges.
    pub(crate) fn overflow_or(&self, of_stream: &Overflow) -> Overflow {
        let default = if self.acknowledging { &Overflow::Block } else { of_stream };
        self.overflow.as_ref().unwrap_or(default).clone()
    }
}
