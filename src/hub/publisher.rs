//! [`Publisher`]: what the connection task publishes with.

use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use crate::event::{Event, Gap};
use crate::hub::TranscriptItem;

use super::ack::AckTracker;
use super::dirty_set::DirtySet;
use super::predicate::Outcome;
use super::{Channels, Hub};

/// The hub, locked for publishing. Events are only built when somebody listens.
pub(crate) struct Publisher<'a> {
    channels: MutexGuard<'a, Channels>,
    ack: Option<&'a AckTracker>,
    hub: &'a Hub,
}

impl Hub {
    /// Publishes under one lock; whoever reads is woken by [`wake`](Self::wake), or by the publisher's own.
    pub(crate) fn publisher(&self) -> Publisher<'_> {
        Publisher { channels: self.lock(), ack: self.ack.get().map(|ack| &**ack), hub: self }
    }

    /// Notes what became of an event at the channel of this `index`.
    #[inline]
    fn note(&self, outcome: &Outcome, index: usize, spent: &mut DirtySet, has_room: &mut bool) {
        if !outcome.has_room {
            spent.touch(index);
            *has_room = false;
        }
        if outcome.waits {
            self.sifting.store(true, Ordering::Relaxed);
        }
    }
}

impl Publisher<'_> {
    /// Whether an item may be published: what comes on top may push out what somebody has not taken. Asked before
    /// each: an event may be large, and a smaller queue may have come since the turn began.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.channels.has_room
    }

    /// Wakes the readers, as [`Hub::wake`] does: at the end of a turn, which costs no second lock then.
    pub(crate) fn wake(self) {
        let Self { channels, hub, .. } = self;
        if hub.sifting.load(Ordering::Relaxed) {
            // Predicates are asked when no lock is held.
            drop(channels);
            hub.wake();
        } else {
            hub.settle(channels);
        }
    }

    /// Publishes an event of this type. It is only built if somebody listens; `build` is told its position.
    pub(crate) fn event(&mut self, event_type: &str, build: impl FnOnce(u64) -> Event) {
        let Channels { events, routes, touched, transcript, latest, retention, position, has_room, spent, .. } =
            &mut *self.channels;
        *position += 1;
        if let ([only], [], [], true) = (&mut events[..], &transcript[..], &latest[..], retention.is_empty()) {
            // The usual case: the event goes where it stays, without a stop on the way.
            if only.key().filter.matches(event_type) {
                let outcome = only.send(self.ack, build(*position));
                self.hub.note(&outcome, 0, spent, has_room);
            }
            return;
        }
        routes.refresh(events.iter().map(|channel| &channel.key().filter));
        let mut matching = routes.to(event_type);
        let first = matching.next();
        let mut conflations = latest.iter_mut().filter(|conflation| conflation.matches(event_type)).peekable();
        let retains = retention.wants(event_type);
        if first.is_none() && transcript.is_empty() && conflations.peek().is_none() && !retains {
            return;
        }
        let event = build(*position);
        if retains {
            retention.event(&event);
        }
        conflations.for_each(|conflation| conflation.publish_noted(self.ack, event.clone()));
        let mut send = |index: usize, event| {
            let Some(channel) = events.get_mut(index) else { return };
            touched.touch(index);
            let outcome = channel.send(self.ack, event);
            self.hub.note(&outcome, index, spent, has_room);
        };
        matching.for_each(|index| send(index, event.clone()));
        let transcribed = transcript
            .iter_mut()
            .fold(true, |has_room, channel| has_room & channel.publish(TranscriptItem::Event(event.clone())));
        if let Some(index) = first {
            send(index, event);
        }
        *has_room &= transcribed;
    }

    pub(crate) fn comment(&mut self, comment: &str) {
        self.transcribe(|| TranscriptItem::Comment(comment.into()));
    }

    /// Publishes a gap where an event of this type would have been; to everybody, if the type is unknown.
    pub(crate) fn gap(&mut self, event_type: Option<&str>, gap: &Gap) {
        let Channels { events, touched, latest, retention, .. } = &mut *self.channels;
        retention.gap(gap);
        touched.touch_any();
        for channel in events {
            let matches = event_type.is_none_or(|event_type| channel.key().filter.matches(event_type));
            if matches && channel.send_gap(gap.clone()) {
                self.hub.sifting.store(true, Ordering::Relaxed);
            }
        }
        for conflation in latest {
            if event_type.is_none_or(|event_type| conflation.matches(event_type)) {
                conflation.publish_gap(gap.clone());
            }
        }
        self.transcribe(|| TranscriptItem::Gap(gap.clone()));
    }

    pub(super) fn transcribe(&mut self, item: impl FnOnce() -> TranscriptItem) {
        let Channels { transcript, has_room, .. } = &mut *self.channels;
        if let Some((last, others)) = transcript.split_last_mut() {
            let item = item();
            for channel in others {
                *has_room &= channel.publish(item.clone());
            }
            *has_room &= last.publish(item);
        }
    }
}
