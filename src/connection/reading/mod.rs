//! [`Reading`]: an open response, turn by turn, from its bytes to the hub.

mod dedup;
mod handover;
mod idle_timeout;

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::coop;
use tokio::time::Instant;

use crate::connection::config::EVENTS_PER_TURN;
use crate::error::{Error, ErrorKind};
use crate::event::Gap;
use crate::hub::{Backpressure, Publisher};
use crate::transport::{Body, MOST_CHOSEN};
use crate::wire::{Decoder, EventFrame, Frame};

pub(super) use self::dedup::Dedup;
use self::handover::Admission;
use self::idle_timeout::Idle;
use super::session::{Fingerprint, fingerprint};
use super::{Shared, log};

/// How long a type or an ID may be that a gap tells of. Gaps take no room in queues, so they must be small.
const MOST_TOLD: usize = MOST_CHOSEN;

/// What one turn of reading brought, besides what the hub has got already.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The server sent an event, whether anybody listened or not.
    pub(super) delivered: bool,
    /// The first event of the response that was no repeat, if it came in this turn.
    pub(super) first: Option<Fingerprint>,
    /// The last event ID is another now: see [`Shared::with_last_event_id`].
    pub(super) moved: bool,
    /// The last valid `retry`, in milliseconds.
    pub(super) retry: Option<u64>,
    /// The response is over.
    pub(super) end: Option<Error>,
    /// In the middle of a block.
    pub(super) cut_off: bool,
    pub(super) counts: Counts,
}

/// What came in one turn.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) bytes: u64,
    pub(super) events: u64,
    pub(super) comments: u64,
    pub(super) oversized: u64,
    /// Events that had been delivered before.
    pub(super) repeats: u64,
    pub(super) gaps: u64,
}

impl Counts {
    /// Events, oversized ones too, that were no repeats: at least so many.
    pub(super) fn news(&self) -> u64 {
        // Of oversized events only those are counted that were no repeats, of others all.
        (self.events + self.oversized).saturating_sub(self.repeats)
    }
}

/// An open response being read.
pub(super) struct Reading {
    body: Box<Body>,
    decoder: Decoder,
    /// The decoder has nothing to give until more is pushed.
    drained: bool,
    /// The body was asked in this very poll of the task and had nothing more: it will wake the task. Holds
    /// for this poll only (see [`unpark`](Self::unpark)): later, it may have done so already.
    parked: bool,
    /// An event has come that was no repeat.
    begun: bool,
    /// Nothing more will come from the body, but the decoder may hold frames.
    end: Option<Error>,
    /// When there is room for what comes.
    backpressure: Backpressure,
    idle: Option<Idle>,
}

impl Reading {
    pub(super) fn new(body: Box<Body>, decoder: Decoder, idle_timeout: Option<Duration>) -> Self {
        let idle = idle_timeout.map(Idle::new);
        let (begun, parked, end, backpressure) = (false, false, None, Backpressure::default());
        Self { body, decoder, drained: true, parked, begun, end, backpressure, idle }
    }

    /// One turn: up to 64 frames, from as many chunks as that takes (but no more than 64 either),
    /// published together.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>, shared: &Shared, dedup: &mut Dedup) -> Poll<Turn> {
        // The turn before ended because nothing more had come. To ask again before the task has been
        // woken would only keep subscribers waiting.
        if std::mem::take(&mut self.parked) {
            return self.poll_silence(cx);
        }
        let hub = &shared.hub;
        let waited = self.backpressure.poll_ready(cx, hub);
        match self.backpressure.take_given_up() {
            0 => {}
            subscriptions => log::stuck(subscriptions),
        }
        if std::task::ready!(waited) {
            // It was not the server that was silent. Waits are rare, and may ask the clock.
            self.heard(Instant::now());
        }
        // A turn counts as one operation: other tasks of the thread get theirs.
        let budget = std::task::ready!(coop::poll_proceed(cx));
        self.decoder.set_comments(hub.wants_comments());
        let mut turn = Turn::default();
        let mut published = 0;
        let mut asleep = false;
        for _chunk in 0..EVENTS_PER_TURN {
            if !self.drained {
                published += self.publish(shared, EVENTS_PER_TURN - published, dedup, &mut turn);
                // What ends the turn wakes readers itself.
                asleep = self.drained;
            }
            if !self.drained {
                break;
            }
            if let Some(end) = self.end.take() {
                turn.end = Some(end);
                turn.cut_off = self.decoder.is_in_block();
                break;
            }
            match self.body.poll_data(cx) {
                Poll::Pending if turn.counts.bytes > 0 || published > 0 => {
                    self.parked = true;
                    break;
                }
                Poll::Pending => return self.poll_silence(cx),
                Poll::Ready(Some(Ok(chunk))) => {
                    if chunk.is_empty() {
                        // Something has come that stands for nothing yet, once it is decoded.
                        self.heard(Instant::now());
                    }
                    turn.counts.bytes += chunk.len() as u64;
                    self.decoder.push(chunk);
                    self.drained = false;
                }
                Poll::Ready(Some(Err(error))) => self.end = Some(error),
                Poll::Ready(None) => self.end = Some(end_of_stream()),
            }
        }
        budget.made_progress();
        if asleep && published > 0 {
            hub.wake();
        }
        Poll::Ready(turn)
    }

    /// Bytes came in the turn before.
    pub(super) fn heard(&mut self, now: Instant) {
        if let Some(idle) = &mut self.idle {
            idle.heard(now);
        }
    }

    /// What comes next is another poll of the task: the body has to be asked in it, whatever it said before.
    pub(super) fn unpark(&mut self) {
        self.parked = false;
    }

    /// Publishes what the decoder has, up to `room` frames and what the queues allow. How many. Where the decoder has
    /// more the turn ends, and readers are woken.
    fn publish(&mut self, shared: &Shared, room: usize, dedup: &mut Dedup, turn: &mut Turn) -> usize {
        let mut publisher = shared.hub.publisher();
        let mut published = 0;
        let mut ids = Ids::default();
        // Most streams ask for no more than a look at the first event.
        let mut looks = !self.begun || !dedup.is_open();
        let mut frames = self.decoder.frames();
        while published < room && publisher.has_room() {
            let Some(frame) = frames.next_frame() else {
                self.drained = true;
                break;
            };
            published += 1;
            match frame {
                Frame::Event(event) if !looks => {
                    turn.delivered = true;
                    turn.counts.events += 1;
                    ids.newest_is_named = Some(event.sets_new_id());
                    ids.unset |= event.id().is_some();
                    publisher.event(event.event_type(), |position| event.event_at(position));
                }
                Frame::Event(event) => {
                    if look(&mut publisher, event, dedup, turn) {
                        ids.set(shared, event.id(), event.sets_new_id());
                        turn.first = turn.first.or_else(|| (!self.begun).then(|| fingerprint(event)));
                        self.begun = true;
                    }
                    looks = !self.begun || !dedup.is_open();
                }
                Frame::Comment(comment) => {
                    turn.counts.comments += 1;
                    publisher.comment(comment);
                }
                other => take(other, &mut publisher, shared, dedup, turn, &mut ids),
            }
        }
        drop(frames);
        // hyper fills the chunk's memory again if nobody else holds it.
        self.decoder.let_go();
        ids.settle(shared, &self.decoder, dedup);
        self.backpressure.left(publisher.has_room());
        turn.moved |= ids.moved;
        if !self.drained {
            publisher.wake();
        }
        published
    }

    /// Nothing has come: ready when that has been so for too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        let Some(idle) = &mut self.idle else { return Poll::Pending };
        let end = Some(std::task::ready!(idle.poll(cx)));
        Poll::Ready(Turn { end, cut_off: self.decoder.is_in_block(), ..Turn::default() })
    }
}

/// The end of a response that had no other cause.
fn end_of_stream() -> Error {
    Error::new(ErrorKind::EndOfStream, "the server ended the stream")
}

/// What becomes of the last event ID while frames are published. Still under the hub's lock: see
/// [`Shared::last_event_id`].
#[derive(Debug, Default)]
struct Ids {
    /// Events set one that nobody has been told yet. What the dedup drops leaves no ID behind, so with it that is
    /// done after each event; without one the decoder knows in the end.
    unset: bool,
    moved: bool,
    /// Of the newest event, if there was one: whether it, and no other before it, has the last event ID.
    newest_is_named: Option<bool>,
}

impl Ids {
    /// An event was published.
    fn set(&mut self, shared: &Shared, id: Option<&str>, is_new: bool) {
        self.newest_is_named = Some(is_new);
        self.moved |= id.is_some_and(|id| shared.set_last_event_id(id));
    }

    /// A block without data set one.
    fn set_alone(&mut self, shared: &Shared, id: &str) {
        let changes = shared.set_last_event_id(id);
        self.moved |= changes;
        if self.unset {
            // What came before it in this turn may have had it, too. A gap too many is better than one too few.
            self.newest_is_named = Some(false);
        } else if changes {
            self.newest_is_named = Some(true);
        }
    }

    fn settle(&mut self, shared: &Shared, decoder: &Decoder, dedup: &mut Dedup) {
        if self.unset {
            self.moved |= shared.set_last_event_id(decoder.current_last_event_id());
        }
        if let Some(named) = self.newest_is_named {
            dedup.set_named(named);
        }
    }
}

/// Whether to publish an event, which sets `id`: not if that has been done before. Publishes the gap before it.
fn sift(publisher: &mut Publisher<'_>, id: Option<&str>, dedup: &mut Dedup, counts: &mut Counts) -> bool {
    match dedup.pass(id) {
        Admission::Drop => {
            counts.repeats += 1;
            return false;
        }
        Admission::DeliverAfter(gap) => {
            counts.gaps += 1;
            publisher.gap(None, &gap);
        }
        Admission::Deliver => {}
    }
    true
}

/// Publishes an event if that has not been done before. Whether it has now.
#[cold]
fn look(publisher: &mut Publisher<'_>, event: EventFrame<'_>, dedup: &mut Dedup, turn: &mut Turn) -> bool {
    turn.delivered = true;
    turn.counts.events += 1;
    let passes = sift(publisher, event.id(), dedup, &mut turn.counts);
    if passes {
        publisher.event(event.event_type(), |position| event.event_at(position));
    }
    passes
}

/// Takes what is neither an event nor a comment.
#[cold]
fn take(
    frame: Frame<'_>,
    publisher: &mut Publisher<'_>,
    shared: &Shared,
    dedup: &mut Dedup,
    turn: &mut Turn,
    ids: &mut Ids,
) {
    match frame {
        Frame::Retry(milliseconds) => turn.retry = Some(milliseconds),
        Frame::Oversized(event) => {
            if sift(publisher, event.id(), dedup, &mut turn.counts) {
                turn.counts.oversized += 1;
                let own = |text: &str| (text.len() <= MOST_TOLD).then(|| text.to_owned());
                let gap = Gap::oversized(event.event_type().and_then(own), event.id().and_then(own), event.size());
                publisher.gap(event.event_type(), &gap);
                ids.set(shared, event.id(), event.sets_new_id());
            }
        }
        Frame::Id(id) if dedup.is_open() || dedup.pass_id(id) => ids.set_alone(shared, id),
        Frame::Id(_) | Frame::Event(_) | Frame::Comment(_) => {}
    }
}
