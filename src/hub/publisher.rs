//! [`LockedHub`]: what the connection task publishes with.

use std::sync::MutexGuard;

use crate::event::{Event, Gap};

use super::Hub;
use super::ack::AckTracker;
use super::registry::Registry;
use super::transcript_item::TranscriptItem;

/// The hub, locked for publishing. The connection task makes one for each chunk, so that the events
/// of a chunk, at most 64, cost one lock.
///
/// # Drop behavior
///
/// Wakes no reader. [`wake`](Self::wake) does, or [`Hub::wake`] after several publishers.
pub(crate) struct LockedHub<'a> {
    hub: &'a Hub,
    tracker: Option<&'a AckTracker>,
    registry: MutexGuard<'a, Registry>,
}

impl<'a> LockedHub<'a> {
    pub(super) fn new(hub: &'a Hub, registry: MutexGuard<'a, Registry>) -> Self {
        Self { hub, tracker: hub.tracker(), registry }
    }

    /// Returns true if another item may be published without overrunning a reader.
    ///
    /// Ask before each: an event may be large, and a subscription with a smaller queue may have
    /// come since the turn began.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.hub.wait.is_ready()
    }

    /// Returns true if comments are wanted: only transcripts have them.
    pub(crate) fn wants_comments(&self) -> bool {
        !self.registry.transcripts.is_empty()
    }

    /// Ends the turn: moves what was published into the queues, releases the lock, and wakes
    /// readers.
    pub(crate) fn wake(self) {
        self.hub.settle(self.registry);
    }

    /// Publishes an event of this type. Calls `build` with its position, and only if there is a
    /// subscription for it.
    pub(crate) fn event(&mut self, event_type: &str, build: impl FnOnce(u64) -> Event) {
        // Counted whether or not a subscription wants it: a restart tells old events from new ones
        // by their position.
        self.registry.position += 1;
        let position = self.registry.position;
        let Registry { channels, full, has_unevaluated, transcripts, conflations, retention, .. } = &mut *self.registry;
        // In the usual case there is one channel, and the event is moved to where it stays.
        let ([only], [], [], true) = (&mut channels[..], &transcripts[..], &conflations[..], retention.is_empty())
        else {
            return self.event_to_all(event_type, || build(position));
        };
        if only.filter.matches(event_type) {
            *has_unevaluated |= only.has_predicate();
            if !only.send(self.tracker, build(position)) {
                // The queue takes this event as well. The publisher asks before it sends the next.
                full.mark(0);
                self.hub.wait.set_ready(false);
            }
        }
    }

    /// Publishes an event to all whom it concerns. The last of them gets the event, others a clone.
    fn event_to_all(&mut self, event_type: &str, build: impl FnOnce() -> Event) {
        let tracker = self.tracker;
        let Registry {
            channels, routes, unsettled, full, has_unevaluated, transcripts, conflations, retention, ..
        } = &mut *self.registry;
        // Only now: many channels may have come and gone since the last event.
        routes.refresh(channels.iter().map(|channel| &channel.filter));
        let mut matching = routes.to(event_type);
        let first = matching.next();
        let mut conflations = conflations.iter_mut().filter(|conflation| conflation.matches(event_type)).peekable();
        let mut transcripts = transcripts.iter_mut().filter(|channel| channel.filter.matches(event_type)).peekable();
        let retains = retention.wants(event_type);
        // `build` allocates the event: one that has no taker is never built.
        if first.is_none() && transcripts.peek().is_none() && conflations.peek().is_none() && !retains {
            return;
        }
        let (event, mut is_ready) = (build(), true);
        if retains {
            retention.event(&event);
        }
        conflations.for_each(|conflation| conflation.publish(tracker, event.clone()));
        for channel in transcripts {
            is_ready &= channel.queue.publish(TranscriptItem::Event(event.clone()));
        }
        let mut send = |index: usize, event| {
            let Some(channel) = channels.get_mut(index) else { return };
            unsettled.mark(index);
            *has_unevaluated |= channel.has_predicate();
            if !channel.send(tracker, event) {
                full.mark(index);
                is_ready = false;
            }
        };
        matching.for_each(|index| send(index, event.clone()));
        if let Some(index) = first {
            send(index, event);
        }
        if !is_ready {
            self.hub.wait.set_ready(false);
        }
    }

    /// Publishes a comment, which only transcripts get.
    pub(crate) fn comment(&mut self, comment: &str) {
        self.transcribe(None, || TranscriptItem::Comment(comment.into()));
    }

    /// Publishes a gap where an event of this type would have been; to all subscriptions if the
    /// type is not known.
    pub(crate) fn gap(&mut self, event_type: Option<&str>, gap: &Gap) {
        let Registry { channels, unsettled, has_unevaluated, conflations, retention, .. } = &mut *self.registry;
        retention.gap(gap);
        // Gaps are rare and concern many channels: to remember which costs more than to visit all.
        unsettled.mark_all();
        for channel in channels {
            if event_type.is_none_or(|event_type| channel.filter.matches(event_type)) {
                *has_unevaluated |= channel.has_predicate();
                channel.send_gap(gap);
            }
        }
        for conflation in conflations {
            if event_type.is_none_or(|event_type| conflation.matches(event_type)) {
                conflation.publish_gap(gap.clone());
            }
        }
        self.transcribe(event_type, || TranscriptItem::Gap(gap.clone()));
    }

    /// Publishes an item to transcripts, if there are any: of events of this type, if it has one.
    pub(super) fn transcribe(&mut self, event_type: Option<&str>, item: impl Fn() -> TranscriptItem) {
        for channel in &mut self.registry.transcripts {
            let is_wanted = event_type.is_none_or(|event_type| channel.filter.matches(event_type));
            if is_wanted && !channel.queue.publish(item()) {
                self.hub.wait.set_ready(false);
            }
        }
    }
}
