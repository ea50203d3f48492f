//! The fan-out: a broadcast channel for each filter in use. Does not know that there is a connection.
//!
//! Channels are keyed by filter, not by the types seen on the wire, so a set of types keeps wire
//! order and a server cannot make us allocate by inventing types. A filter with a predicate has a channel of its own:
//! what is published waits there until the turn is over, and passes or not when no lock is held. Everything that changes which
//! channels there are, or what is in them, happens under one lock; wakers are called after it is let go.

mod channel;
mod gaps;
mod ledger;
mod reader;
mod relief;
mod ring;
mod routes;
mod runs;
mod sift;
mod tally;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use crate::delivery::{Gap, TranscriptItem};
use crate::event::Event;
use crate::filter::Filter;
use crate::state::State;

use self::channel::Channel;
use self::ledger::Ledger;
pub(crate) use self::ledger::{Account, MOST_OPEN};
use self::reader::Cursor;
pub(crate) use self::reader::{Reader, Taken};
use self::relief::Relief;
use self::routes::{Routes, Touched};
pub(crate) use self::sift::Failure;
use self::sift::Key;
pub(crate) use self::tally::Tally;

/// Where events are published and subscriptions begin.
#[derive(Debug)]
pub(crate) struct Hub {
    channels: Mutex<Channels>,
    relief: Arc<Relief>,
    /// Made with the first subscription that acknowledges.
    ledger: OnceLock<Arc<Ledger>>,
    signal: Arc<Notify>,
    /// Something waits for predicates, which are asked when no lock is held.
    sifting: AtomicBool,
}

#[derive(Debug, Default)]
struct Channels {
    events: Vec<Channel<Event, Key>>,
    routes: Routes,
    touched: Touched,
    transcript: Vec<Channel<TranscriptItem, ()>>,
    /// Of the last event that was published, whether anybody listened or not.
    position: u64,
    /// The least capacity of them all.
    smallest: Option<usize>,
    closed: bool,
    /// The readers of events at the close: they may have something to take.
    ended: Vec<Arc<Cursor>>,
}

impl Channels {
    /// After channels came or went. A closed hub keeps none: their readers end at once.
    fn settle(&mut self) {
        self.routes.outdate();
        self.touched.touch_any();
        if self.closed {
            // Made just now: nobody waits there to be woken.
            self.events.drain(..).for_each(Channel::close);
            self.transcript.drain(..).for_each(Channel::close);
        }
        let events = self.events.iter().map(Channel::capacity);
        let transcript = self.transcript.iter().map(Channel::capacity);
        self.smallest = events.chain(transcript).min();
    }

    fn allowance(&self) -> usize {
        self.smallest.map_or(usize::MAX, |smallest| (smallest / 4).max(1))
    }
}

/// What a subscription has at the hub.
pub(crate) struct Subscribed {
    pub(crate) reader: Reader<Event>,
    pub(crate) account: Option<Account>,
    /// Where the reason is, if it ends before the stream does; `None` if it cannot.
    pub(crate) failure: Option<Failure>,
}

/// What the publisher has to know before a turn.
pub(crate) struct Brief {
    /// Somebody wants comments.
    pub(crate) comments: bool,
    /// How much may be published before [`Hub::is_crowded`] has to be asked: a quarter of the
    /// smallest queue.
    pub(crate) allowance: usize,
}

/// The position before a stream's first event. Each stream of the process has a range of its own, so that an
/// event of one is never taken for an event of another, and none has to carry more than its position. There is
/// room for 16 million streams of 10^12 events each.
fn before_all() -> u64 {
    static STREAMS: AtomicU64 = AtomicU64::new(0);
    STREAMS.fetch_add(1, Ordering::Relaxed) << 40
}

impl Hub {
    /// `signal` wakes the task when something has been acknowledged, or a subscription has ended by itself.
    pub(crate) fn new(signal: Arc<Notify>) -> Self {
        let channels = Channels { position: before_all(), ..Channels::default() };
        Self {
            channels: Mutex::new(channels),
            relief: Arc::default(),
            ledger: OnceLock::new(),
            signal,
            sifting: AtomicBool::new(false),
        }
    }

    /// A reader of the events that are published from now on. Ends at once when the hub is closed.
    /// `acknowledging`: what it takes is open until it is acknowledged.
    pub(crate) fn subscribe(&self, filter: Filter, capacity: usize, acknowledging: bool) -> Subscribed {
        // On a closed hub the channel goes at once, under the lock, and what it drops must not be a user's last predicate.
        let kept = filter.clone();
        let subscribed = self.add(filter, capacity, acknowledging);
        drop(kept);
        subscribed
    }

    fn add(&self, filter: Filter, capacity: usize, acknowledging: bool) -> Subscribed {
        let mut channels = self.lock();
        let account = acknowledging.then(|| self.ledger().open(capacity));
        let number = account.as_ref().map(Account::number);
        let channel = Channel::find_or_add(&mut channels.events, Key::new(filter, number), capacity);
        let reader = channel.reader(&self.relief, number);
        let failure = channel.key().failure();
        channels.settle();
        Subscribed { reader, account, failure }
    }

    /// Whether anything has been acknowledged since this was last asked.
    pub(crate) fn has_acknowledged(&self) -> bool {
        self.ledger.get().is_some_and(|ledger| ledger.has_news())
    }

    /// The ID up to which everything has been acknowledged, if that is news. `last`: the stream's last
    /// event ID.
    pub(crate) fn acknowledged(&self, last: impl FnOnce() -> Arc<str>) -> Option<Arc<str>> {
        let _published = self.lock();
        self.ledger.get()?.safe(last)
    }

    /// Whether everything that acknowledging subscriptions got has been acknowledged. From the first call on
    /// the task is woken by each acknowledgement.
    pub(crate) fn is_settled(&self) -> bool {
        self.ledger.get().is_none_or(|ledger| ledger.is_settled())
    }

    fn ledger(&self) -> &Arc<Ledger> {
        self.ledger.get_or_init(|| Arc::new(Ledger::new(Arc::clone(&self.signal))))
    }

    /// The stream begins anew after `id`: what was published before need not be acknowledged any more.
    pub(crate) fn restart(&self, id: &str) {
        let channels = self.lock();
        if let Some(ledger) = self.ledger.get() {
            ledger.restart(channels.position, id);
        }
    }

    /// A reader of everything, in order, from now on.
    pub(crate) fn transcript(&self, capacity: usize) -> Reader<TranscriptItem> {
        let mut channels = self.lock();
        let reader = Channel::find_or_add(&mut channels.transcript, (), capacity).reader(&self.relief, None);
        channels.settle();
        reader
    }

    /// Publishes under one lock; whoever reads is woken by [`wake`](Self::wake).
    pub(crate) fn publisher(&self) -> Publisher<'_> {
        Publisher { channels: self.lock(), ledger: self.ledger.get().map(|ledger| &**ledger), sifting: &self.sifting }
    }

    /// Wakes the readers of what was published since the last call, once for all of it.
    pub(crate) fn wake(&self) {
        self.sift();
        // Collected first: a waker may drop a task that holds a subscription, and a state an error of the user's;
        // either may come back here.
        let mut wakers: Vec<Arc<Notify>> = Vec::new();
        let mut dropped: Vec<Vec<TranscriptItem>> = Vec::new();
        {
            let mut channels = self.lock();
            let Channels { events, transcript, touched, .. } = &mut *channels;
            touched.visit(events, true, |_, channel| {
                wakers.extend(channel.take_waker());
                drop(channel.take_dropped());
            });
            wakers.extend(transcript.iter_mut().filter_map(Channel::take_waker));
            dropped.extend(transcript.iter_mut().map(Channel::take_dropped));
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
        if !std::thread::panicking() {
            self.sift();
        }
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

    /// Whether there are subscriptions; transcripts are none.
    pub(crate) fn has_subscribers(&self) -> bool {
        !self.lock().events.is_empty()
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
        let events = Channel::take_unused(&mut channels.events);
        let transcripts = Channel::take_unused(&mut channels.transcript);
        channels.settle();
        drop(channels);
        // Now that no lock is held: see `wake`.
        drop((events, transcripts));
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
    ledger: Option<&'a Ledger>,
    sifting: &'a AtomicBool,
}

impl Publisher<'_> {
    /// As in [`Brief`]: a smaller queue may have come since.
    pub(crate) fn allowance(&self) -> usize {
        self.channels.allowance()
    }

    /// Publishes an event of this type. It is only built if somebody listens; `build` is told its position.
    pub(crate) fn event(&mut self, event_type: &str, build: impl FnOnce(u64) -> Event) {
        let Channels { events, routes, touched, transcript, position, .. } = &mut *self.channels;
        *position += 1;
        if let ([only], []) = (&mut events[..], &transcript[..]) {
            // The usual case: the event goes where it stays, without a stop on the way.
            if only.key().filter.matches(event_type) && only.send(self.ledger, build(*position)) {
                self.sifting.store(true, Ordering::Relaxed);
            }
            return;
        }
        routes.refresh(events.iter().map(|channel| &channel.key().filter));
        let mut matching = routes.to(event_type);
        let first = matching.next();
        if first.is_none() && transcript.is_empty() {
            return;
        }
        let event = build(*position);
        let mut sifted = false;
        let mut send = |index: usize, event| {
            touched.touch(index);
            sifted |= events[index].send(self.ledger, event);
        };
        matching.for_each(|index| send(index, event.clone()));
        transcript.iter_mut().for_each(|channel| channel.publish(TranscriptItem::Event(event.clone())));
        if let Some(index) = first {
            send(index, event);
        }
        if sifted {
            self.sifting.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn comment(&mut self, comment: &str) {
        self.transcribe(|| TranscriptItem::Comment(comment.into()));
    }

    /// Publishes a gap where an event of this type would have been; to everybody, if the type is unknown.
    pub(crate) fn gap(&mut self, event_type: Option<&str>, gap: &Gap) {
        let Channels { events, touched, .. } = &mut *self.channels;
        touched.touch_any();
        for channel in events {
            let matches = event_type.is_none_or(|event_type| channel.key().filter.matches(event_type));
            if matches && channel.send_gap(gap.clone()) {
                self.sifting.store(true, Ordering::Relaxed);
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
