//! The fan-out: a broadcast channel for each filter in use. Does not know that there is a connection.
//!
//! Channels are keyed by filter, not by the types seen on the wire, so a set of types keeps wire
//! order and a server cannot make us allocate by inventing types. Everything that changes which
//! channels there are, or what is in them, happens under one lock; wakers are called after it is let go.

mod channel;
mod gaps;
mod reader;
mod relief;
mod tally;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::delivery::{Gap, TranscriptItem};
use crate::event::Event;
use crate::filter::Filter;
use crate::state::State;

use self::channel::Channel;
pub(crate) use self::gaps::GapReader;
use self::reader::Cursor;
pub(crate) use self::reader::{Reader, Taken};
use self::relief::Relief;
pub(crate) use self::tally::Tally;

/// Where events are published and subscriptions begin.
#[derive(Debug)]
pub(crate) struct Hub {
    channels: Mutex<Channels>,
    relief: Arc<Relief>,
}

#[derive(Debug, Default)]
struct Channels {
    events: Vec<Channel<Event, Filter>>,
    transcript: Vec<Channel<TranscriptItem, ()>>,
    /// The least capacity of them all.
    smallest: Option<usize>,
    closed: bool,
    /// The readers of events at the close: they may have something to take.
    ended: Vec<Arc<Cursor>>,
}

impl Channels {
    /// After channels came or went. A closed hub keeps none: their readers end at once.
    fn settle(&mut self) {
        if self.closed {
            self.events.clear();
            self.transcript.clear();
        }
        let events = self.events.iter().map(Channel::capacity);
        let transcript = self.transcript.iter().map(Channel::capacity);
        self.smallest = events.chain(transcript).min();
    }

    fn allowance(&self) -> usize {
        self.smallest.map_or(usize::MAX, |smallest| (smallest / 4).max(1))
    }
}

/// What the publisher has to know before a turn.
pub(crate) struct Brief {
    /// Somebody wants comments.
    pub(crate) comments: bool,
    /// How much may be published before [`Hub::is_crowded`] has to be asked: a quarter of the
    /// smallest queue.
    pub(crate) allowance: usize,
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self { channels: Mutex::default(), relief: Arc::default() }
    }

    /// A reader of the events that are published from now on. Ends at once when the hub is closed.
    pub(crate) fn subscribe(&self, filter: Filter, capacity: usize) -> (Reader<Event>, GapReader) {
        let mut channels = self.lock();
        let channel = Channel::find_or_add(&mut channels.events, filter, capacity);
        let subscribed = (channel.reader(&self.relief), channel.gap_reader());
        channels.settle();
        subscribed
    }

    /// A reader of everything, in order, from now on.
    pub(crate) fn transcript(&self, capacity: usize) -> Reader<TranscriptItem> {
        let mut channels = self.lock();
        let reader = Channel::find_or_add(&mut channels.transcript, (), capacity).reader(&self.relief);
        channels.settle();
        reader
    }

    /// Publishes under one lock; whoever reads is woken by [`wake`](Self::wake).
    pub(crate) fn publisher(&self) -> Publisher<'_> {
        Publisher { channels: self.lock() }
    }

    /// Wakes the readers of what was published since the last call, once for all of it.
    pub(crate) fn wake(&self) {
        // Collected first: a waker may drop a task that holds a subscription, whose drop takes the lock.
        let mut wakers: Vec<Arc<Notify>> = Vec::new();
        {
            let mut channels = self.lock();
            let Channels { events, transcript, .. } = &mut *channels;
            wakers.extend(events.iter_mut().filter_map(Channel::take_waker));
            wakers.extend(transcript.iter_mut().filter_map(Channel::take_waker));
        }
        for waker in wakers {
            waker.notify_waiters();
        }
    }

    /// Tells transcripts of a change of state.
    pub(crate) fn state(&self, state: &State) {
        self.publisher().transcribe(|| TranscriptItem::State(state.clone()));
        self.wake();
    }

    /// Nothing comes any more: readers end after what is queued.
    pub(crate) fn close(&self) {
        let (events, transcript) = {
            let mut channels = self.lock();
            channels.closed = true;
            let cursors: Vec<_> = channels.events.iter().flat_map(Channel::cursors).collect();
            channels.ended.extend(cursors);
            (std::mem::take(&mut channels.events), std::mem::take(&mut channels.transcript))
        };
        events.into_iter().for_each(Channel::close);
        transcript.into_iter().for_each(Channel::close);
        self.relief.signal();
        // Whoever had taken everything before has finished now.
        self.relief.finished();
    }

    /// Counts, from now on, what the subscriptions there are take and leave.
    pub(crate) fn tally(&self) -> Tally {
        let channels = self.lock();
        let open = channels.events.iter().flat_map(Channel::cursors);
        Tally::new(open.chain(channels.ended.iter().cloned()), Arc::clone(&self.relief))
    }

    /// Forgets channels that nobody listens to any more.
    pub(crate) fn prune(&self) {
        let mut channels = self.lock();
        channels.events.retain_mut(Channel::is_used);
        channels.transcript.retain_mut(Channel::is_used);
        channels.settle();
        drop(channels);
        // Whoever was too slow may be gone.
        self.relief.signal();
    }

    /// What the publisher has to know before a turn.
    pub(crate) fn brief(&self) -> Brief {
        let channels = self.lock();
        Brief { comments: !channels.transcript.is_empty(), allowance: channels.allowance() }
    }

    /// Whether a reader that still moves is more than half a queue behind, so that publishing on could
    /// overrun it.
    pub(crate) fn is_crowded(&self) -> bool {
        let mut channels = self.lock();
        let mut crowded = false;
        // Each is asked, so that a stuck reader that has caught up is noticed.
        for channel in &mut channels.events {
            crowded |= channel.is_crowded();
        }
        for channel in &mut channels.transcript {
            crowded |= channel.is_crowded();
        }
        crowded
    }

    /// Whoever is more than half a queue behind now has had the time to move: publishing goes on
    /// over them, until they have caught up.
    pub(crate) fn give_up_on_stuck(&self) {
        let mut channels = self.lock();
        channels.events.iter_mut().for_each(Channel::give_up_on_stuck);
        channels.transcript.iter_mut().for_each(Channel::give_up_on_stuck);
    }

    /// How many items the slowest reader is behind.
    pub(crate) fn lag(&self) -> u64 {
        let channels = self.lock();
        let events = channels.events.iter().map(Channel::lag);
        events.chain(channels.transcript.iter().map(Channel::lag)).max().unwrap_or(0)
    }

    /// Where the task waits for readers to catch up.
    pub(crate) fn relief(&self) -> &Relief {
        &self.relief
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        // No code of users runs under this lock, and ours does not panic in it; if something did,
        // the channels would still be whole.
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hub, locked for publishing. Events are only built when somebody listens.
pub(crate) struct Publisher<'a> {
    channels: MutexGuard<'a, Channels>,
}

impl Publisher<'_> {
    /// As in [`Brief`]: a smaller queue may have come since.
    pub(crate) fn allowance(&self) -> usize {
        self.channels.allowance()
    }

    /// Publishes an event of this type. It is only built if somebody listens.
    pub(crate) fn event(&mut self, event_type: &str, build: impl FnOnce() -> Event) {
        let Channels { events, transcript, .. } = &mut *self.channels;
        let mut matching = events.iter_mut().filter(|channel| channel.key().matches(event_type));
        let first = matching.next();
        if first.is_none() && transcript.is_empty() {
            return;
        }
        let event = build();
        matching.for_each(|channel| channel.publish(event.clone()));
        transcript.iter_mut().for_each(|channel| channel.publish(TranscriptItem::Event(event.clone())));
        // Most often the only one: it takes the event itself.
        if let Some(channel) = first {
            channel.publish(event);
        }
    }

    pub(crate) fn comment(&mut self, comment: &str) {
        self.transcribe(|| TranscriptItem::Comment(comment.into()));
    }

    /// Publishes a gap where an event of this type would have been; to everybody, if the type is unknown.
    pub(crate) fn gap(&mut self, event_type: Option<&str>, gap: &Gap) {
        for channel in &mut self.channels.events {
            if event_type.is_none_or(|event_type| channel.key().matches(event_type)) {
                channel.publish_gap(gap.clone());
            }
        }
        self.transcribe(|| TranscriptItem::Gap(gap.clone()));
    }

    fn transcribe(&mut self, item: impl FnOnce() -> TranscriptItem) {
        if let Some((last, others)) = self.channels.transcript.split_last_mut() {
            let item = item();
            for channel in others {
                channel.publish(item.clone());
            }
            last.publish(item);
        }
    }
}
