//! [`Sift`]: a predicate before a channel. Predicates are users' code and never called under a lock, so what is published
//! waits here, in order, until the turn is over.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use crate::error::panics::{Panicked, catch, drop_catching};
use crate::error::{Error, ErrorKind};
use crate::event::{Delivery, Event, Gap};
use crate::hub::filter::{Filter, Predicate};

use super::ack::AckTracker;
use super::channel::Channel;
use super::wakers::Wakers;
use super::{Channels, Hub};

/// Why a subscription ended by itself, once it has; for whoever holds it.
pub(crate) type PredicateFailure = Arc<OnceLock<Error>>;

/// What a channel is for: those with the same key are one.
#[derive(Debug)]
pub(super) struct ChannelKey {
    pub(super) filter: Filter,
    sift: Option<Sift>,
}

impl ChannelKey {
    /// `account`: the number in the ack of the one subscription that this is for, if there is a predicate.
    pub(super) fn new(filter: Filter, account: Option<u64>) -> Self {
        let sift =
            filter.predicate().map(|_| Sift { waiting: Vec::new(), account, failure: PredicateFailure::default() });
        Self { filter, sift }
    }

    pub(super) fn failure(&self) -> Option<PredicateFailure> {
        self.sift.as_ref().map(|sift| Arc::clone(&sift.failure))
    }

    /// What waits, to be judged without a lock. `index`: the channel's.
    pub(super) fn take_batch(&mut self, index: usize) -> Option<Batch> {
        let predicate = self.filter.predicate()?;
        let sift = self.sift.as_mut().filter(|sift| !sift.waiting.is_empty())?;
        let sent = std::mem::take(&mut sift.waiting);
        Some(Batch { index, predicate: predicate.clone(), failure: Arc::clone(&sift.failure), sent, refused: None })
    }

    /// What an event is asked before a queue of its own.
    pub(super) fn judge(&self) -> Option<(Predicate, PredicateFailure)> {
        Some((self.filter.predicate()?.clone(), self.failure()?))
    }

    /// Whether the predicate has panicked.
    pub(super) fn has_failed(&self) -> bool {
        self.sift.as_ref().is_some_and(|sift| sift.failure.get().is_some())
    }

    fn is_of(&self, batch: &Batch) -> bool {
        self.sift.as_ref().is_some_and(|sift| Arc::ptr_eq(&sift.failure, &batch.failure))
    }
}

/// What has a predicate has a channel of its own: one that panics harms nobody else.
impl PartialEq for ChannelKey {
    fn eq(&self, other: &Self) -> bool {
        self.sift.is_none() && other.sift.is_none() && self.filter == other.filter
    }
}

#[derive(Debug)]
struct Sift {
    /// No more than a turn's events.
    waiting: Vec<Sent>,
    account: Option<u64>,
    failure: PredicateFailure,
}

/// What was published, in order.
#[derive(Debug)]
pub(super) enum Sent {
    Event(Event),
    Gap(Gap),
}

impl Channel<Event, ChannelKey> {
    /// Publishes an event whose type matches.
    #[inline]
    pub(super) fn send(&mut self, ack: Option<&AckTracker>, event: Event) -> Outcome {
        if self.key().sift.is_none() {
            return Outcome { has_room: self.publish_noted(ack, event), waits: false };
        }
        // It may pass.
        let has_room = self.reserve(&event);
        if let Some(sift) = &mut self.key_mut().sift {
            if let (Some(ack), Some(_)) = (ack, sift.account) {
                ack.comes(&event);
            }
            sift.waiting.push(Sent::Event(event));
        }
        Outcome { has_room, waits: true }
    }

    /// The same for a gap.
    pub(super) fn send_gap(&mut self, gap: Gap) -> bool {
        match &mut self.key_mut().sift {
            None => {
                self.publish_gap(gap);
                false
            }
            Some(sift) => {
                sift.waiting.push(Sent::Gap(gap));
                true
            }
        }
    }

    /// Publishes what has passed of a batch from here. False if the predicate has panicked: nothing more comes then.
    pub(super) fn receive(&mut self, ack: Option<&AckTracker>, batch: &mut Batch) -> bool {
        for sent in batch.sent.drain(..) {
            match sent {
                Sent::Event(event) => self.enter_noted(ack, event),
                Sent::Gap(gap) => self.publish_gap(gap),
            }
        }
        let Some(event) = &batch.refused else { return true };
        let account = self.key().sift.as_ref().and_then(|sift| sift.account);
        if let (Some(ack), Some(account)) = (ack, account) {
            ack.refused(account, event);
        }
        false
    }
}

/// What became of an event at a channel.
pub(super) struct Outcome {
    /// There is room for another.
    pub(super) has_room: bool,
    /// It waits to be judged.
    pub(super) waits: bool,
}

/// Of what was kept, what passes. Where a predicate panics it ends, and so does the subscription.
pub(super) fn replay(
    kept: VecDeque<Delivery>,
    filter: &Filter,
    failure: Option<&PredicateFailure>,
) -> VecDeque<Option<Delivery>> {
    let Some((predicate, failure)) = filter.predicate().zip(failure) else {
        return kept.into_iter().map(Some).collect();
    };
    let mut passed = VecDeque::new();
    for delivery in kept {
        let passes = match &delivery {
            Delivery::Gap(_) => true,
            Delivery::Event(event) => match judge(predicate, event, failure) {
                Some(passes) => passes,
                None => {
                    passed.push_back(None);
                    break;
                }
            },
        };
        if passes {
            passed.push_back(Some(delivery));
        }
    }
    passed
}

/// Whether an event passes. `None` if the predicate has panicked, which is recorded. No lock may be held.
pub(super) fn judge(predicate: &Predicate, event: &Event, failure: &PredicateFailure) -> Option<bool> {
    if failure.get().is_some() {
        return None;
    }
    // Recorded before the queue ends: whoever sees that can ask why.
    catch(|| predicate.holds(event)).map_err(|panicked| failure.set(reason(&panicked))).ok()
}

impl Channels {
    /// A channel whose readers end before the stream does. To be closed when no lock is held.
    fn remove(&mut self, index: usize) -> Channel<Event, ChannelKey> {
        let channel = self.events.remove(index);
        self.ended.retain(|cursor| !cursor.is_gone());
        self.ended.extend(channel.cursors());
        self.settle();
        channel
    }
}

impl Hub {
    /// Publishes what waits for predicates, if they let it pass.
    pub(super) fn sift(&self) {
        // A look is cheaper, and all that most hubs need.
        if !self.sifting.load(Ordering::Relaxed) || !self.sifting.swap(false, Ordering::Relaxed) {
            return;
        }
        let mut batches = Vec::new();
        {
            let Channels { events, touched, .. } = &mut *self.lock();
            touched.visit(events, |index, channel| batches.extend(channel.key_mut().take_batch(index)));
        }
        batches.iter_mut().for_each(Batch::judge);
        let mut panicked = self.receive(&mut batches);
        let mut wakers = Wakers::default();
        panicked.iter_mut().for_each(|channel| channel.close(&mut wakers));
        wakers.wake();
        batches.into_iter().for_each(drop_catching);
        panicked.into_iter().for_each(drop_catching);
    }

    /// Ends the subscription whose predicate has panicked when it was asked about what was retained.
    pub(super) fn end_failed(&self, failure: Option<&PredicateFailure>) {
        let mut channel = {
            let mut channels = self.lock();
            let is_its = |channel: &Channel<Event, ChannelKey>| {
                channel.key().failure().zip(failure).is_some_and(|(its, failed)| Arc::ptr_eq(&its, failed))
            };
            let index = channels.events.iter().position(is_its);
            index.map(|index| channels.remove(index))
        };
        let mut wakers = Wakers::default();
        channel.iter_mut().for_each(|channel| channel.close(&mut wakers));
        wakers.wake();
        self.signal.notify_one();
    }

    /// Publishes what has passed. The channels whose predicates have panicked, to be closed when no lock is held.
    fn receive(&self, batches: &mut [Batch]) -> Vec<Channel<Event, ChannelKey>> {
        let ack = self.ack.get().map(|ack| &**ack);
        let mut panicked = Vec::new();
        let mut channels = self.lock();
        for batch in batches {
            let Some(index) = batch.find(channels.events.iter().map(Channel::key)) else { continue };
            if !channels.events[index].receive(ack, batch) {
                panicked.push(channels.remove(index));
                // The task looks who is left.
                self.signal.notify_one();
            }
        }
        panicked
    }
}

/// What waited at one channel.
pub(super) struct Batch {
    /// Where the channel was when the batch was taken.
    index: usize,
    predicate: Predicate,
    failure: PredicateFailure,
    sent: Vec<Sent>,
    /// The event over which the predicate has panicked.
    refused: Option<Event>,
}

impl Batch {
    /// Where the channel is among those with these keys. Others may have come or gone meanwhile, and so may this one.
    pub(super) fn find<'a>(&self, mut keys: impl ExactSizeIterator<Item = &'a ChannelKey> + Clone) -> Option<usize> {
        let has_stayed = keys.clone().nth(self.index).is_some_and(|key| key.is_of(self));
        if has_stayed { Some(self.index) } else { keys.position(|key| key.is_of(self)) }
    }

    /// Asks the predicate, in order. No lock may be held.
    pub(super) fn judge(&mut self) {
        for sent in std::mem::take(&mut self.sent) {
            let Sent::Event(event) = sent else {
                self.sent.push(sent);
                continue;
            };
            match judge(&self.predicate, &event, &self.failure) {
                Some(true) => self.sent.push(Sent::Event(event)),
                Some(false) => {}
                None => {
                    self.refused = Some(event);
                    return;
                }
            }
        }
    }
}

fn reason(panicked: &Panicked) -> Error {
    Error::new(ErrorKind::FilterPanicked, panicked.message("the subscription's predicate"))
}

#[cfg(test)]
mod tests;
