//! [`TurnPublisher`]: publishes the frames of one chunk, under one lock of the hub. A turn has one
//! for each of its chunks.

use crate::connection::Connection;
use crate::connection::published::Published;
use crate::connection::session::{TurnReport, fingerprint};
use crate::event::Gap;
use crate::hub::LockedHub;
use crate::transport::MAX_ECHOED_VALUE;
use crate::wire::{Decoder, EventFrame, Frame, OversizedFrame};

use super::dedup::Dedup;
use super::handover::Admission;

/// The longest event type or ID that a gap carries. Gaps take no room in queues, so they must be
/// small.
const MAX_GAP_TEXT: usize = MAX_ECHOED_VALUE;

/// The way of frames from the decoder to the hub.
///
/// An event and its last event ID become visible together, because both are published under the
/// lock that this holds. Without deduplication the decoder knows the last event ID at the end of
/// the turn; with it the ID is published after each event, because an event that is dropped must
/// leave no ID behind.
pub(super) struct TurnPublisher<'a> {
    publisher: LockedHub<'a>,
    published: &'a Published,
    dedup: &'a mut Dedup,
    report: &'a mut TurnReport,
    /// The response has brought an event that was no repeat.
    has_begun: &'a mut bool,
    /// Each event has to be looked at: for its fingerprint, or by the deduplication.
    inspects: bool,
    /// Each event is published with its ID, so that there is nothing left for `finish` to do.
    always_inspects: bool,
    /// Events have set an ID that is to be taken from the decoder at the end.
    id_is_due: bool,
}

impl<'a> TurnPublisher<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        dedup: &'a mut Dedup,
        report: &'a mut TurnReport,
        has_begun: &'a mut bool,
        always_inspects: bool,
    ) -> Self {
        Self {
            publisher: connection.hub.publisher(),
            published: &connection.published,
            inspects: always_inspects || !*has_begun || !dedup.admits_all(),
            always_inspects,
            dedup,
            report,
            has_begun,
            id_is_due: false,
        }
    }

    /// Returns true if one more event may be published without overrunning a queue.
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        self.publisher.is_ready()
    }

    /// Returns true if comments are to be published.
    pub(super) fn wants_comments(&self) -> bool {
        self.publisher.wants_comments()
    }

    /// Publishes one frame. The usual ones come first, and cost no more than a look at their ID.
    #[inline]
    pub(super) fn publish(&mut self, frame: Frame<'_>) {
        match frame {
            Frame::Event(event) if !self.inspects => {
                self.report.counts.events += 1;
                self.dedup.set_id_names_newest(event.sets_new_id());
                // Set once at the end of the turn: only the newest ID is needed, and each costs a
                // lock.
                self.id_is_due |= event.id().is_some();
                self.publisher.event(event.event_type(), |position| event.event_at(position));
            }
            Frame::Event(event) => self.inspect(event),
            Frame::Comment(comment) => {
                self.report.counts.comments += 1;
                self.publisher.comment(comment);
            }
            other => self.publish_rare(other),
        }
    }

    /// Publishes the last event ID. Then lets go of the hub, and wakes the readers if `wake` is
    /// set.
    pub(super) fn finish(mut self, decoder: &Decoder, wake: bool) {
        if self.id_is_due {
            // While the hub is still locked, so that no reader holds an event whose ID is not
            // published.
            self.set_last_event_id(decoder.current_last_event_id());
        }
        if wake {
            self.publisher.wake();
        }
    }

    /// Publishes an event unless it has been delivered before.
    #[cold]
    fn inspect(&mut self, event: EventFrame<'_>) {
        self.report.counts.events += 1;
        if self.admit(event.id()) {
            self.publisher.event(event.event_type(), |position| event.event_at(position));
            self.set_id_of_event(event.id(), event.sets_new_id());
            if !*self.has_begun {
                *self.has_begun = true;
                self.report.first = Some(fingerprint(event));
            }
        }
        // An overlap may have ended with this event. The rest of the turn then takes the short way.
        self.inspects = self.always_inspects || !*self.has_begun || !self.dedup.admits_all();
    }

    /// Takes the end mark, which is no event. Its ID counts, as that of any block does.
    #[cold]
    pub(super) fn end_at_mark(&mut self, id: Option<&str>) {
        self.report.end_mark = true;
        if let Some(id) = id.filter(|id| self.dedup.admits_id(id)) {
            self.set_id_alone(id);
        }
    }

    /// Publishes what is neither an event nor a comment.
    #[cold]
    fn publish_rare(&mut self, frame: Frame<'_>) {
        match frame {
            Frame::Retry(milliseconds) => self.report.retry = Some(milliseconds),
            Frame::Oversized(event) => self.publish_oversized(&event),
            Frame::Id(id) if self.dedup.admits_id(id) => self.set_id_alone(id),
            Frame::Id(_) | Frame::EmptyBlock(_) | Frame::Event(_) | Frame::Comment(_) => {}
        }
    }

    /// Publishes the gap in place of an event over the size limit. Its ID counts all the same, or
    /// the server would send it again and again.
    fn publish_oversized(&mut self, event: &OversizedFrame<'_>) {
        if self.admit(event.id()) {
            self.report.counts.oversized += 1;
            // A gap repeats these texts to each subscriber, and their length is the server's
            // choice.
            let short = |text: &str| (text.len() <= MAX_GAP_TEXT).then(|| text.to_owned());
            let gap = Gap::oversized(event.event_type().and_then(short), event.id().and_then(short), event.size());
            self.publisher.gap(event.event_type(), &gap);
            self.set_id_of_event(event.id(), event.sets_new_id());
        }
    }

    /// Returns true if the event that sets `id` is to be published. Publishes the gap before it, if
    /// there is one.
    fn admit(&mut self, id: Option<&str>) -> bool {
        match self.dedup.admit(id) {
            Admission::Drop => {
                self.report.counts.repeats += 1;
                return false;
            }
            Admission::DeliverAfter(gap) => {
                self.report.counts.gaps += 1;
                self.publisher.gap(None, &gap);
            }
            Admission::Deliver => {}
        }
        true
    }

    /// Takes the ID that a published event set.
    fn set_id_of_event(&mut self, id: Option<&str>, is_new: bool) {
        self.dedup.set_id_names_newest(is_new);
        if let Some(id) = id {
            self.set_last_event_id(id);
        }
    }

    /// Takes the ID that a block without data set.
    fn set_id_alone(&mut self, id: &str) {
        let changes = self.set_last_event_id(id);
        if self.id_is_due || changes {
            // If an event before it in this turn set an ID, it may have been this one. A gap too
            // many is better than one too few.
            self.dedup.set_id_names_newest(!self.id_is_due);
        }
    }

    /// Publishes the last event ID, and returns true if it has changed.
    fn set_last_event_id(&mut self, id: &str) -> bool {
        let changes = self.published.set_last_event_id(&self.publisher, id);
        self.report.id_changed |= changes;
        changes
    }
}
