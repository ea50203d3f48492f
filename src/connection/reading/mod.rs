//! [`ResponseReader`]: an open response, turn by turn, from its bytes to the hub.
//!
//! One turn takes up to 64 frames, or about 256 KiB, and publishes them together:
//!
//! ```text
//! body ──chunks──> Decoder ──frames──> TurnPublisher ──events──> hub
//!                                        │  └─ Dedup: has this event been delivered before?
//!                                        └──> TurnReport, for the session and the statistics
//! ```
//!
//! This code runs once per event. Per event it may do no more than make the event, if a
//! subscription wants it: no lock, no clock. It must never publish while a queue that wants
//! backpressure is full.

mod dedup;
mod handover;
mod turn_publisher;

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop;
use tokio::time::Instant;

use crate::connection::config::{BYTES_IN_A_ROW, EVENTS_PER_TURN};
use crate::error::{Error, ErrorKind};
use crate::hub::{Backpressure, let_others_run};
use crate::response::silence::Silence;
use crate::transport::Body;
use crate::wire::{Decoder, EndMark, Frame};

pub(super) use self::dedup::Dedup;
use self::turn_publisher::TurnPublisher;
use super::session::{ResponseEnd, TurnReport};
use super::{Connection, log};

/// Maximum number of units to use up: more than tokio's budget for one poll of a task, 128.
const MAX_BUDGET: usize = 256;

/// An open response being read.
pub(super) struct ResponseReader {
    body: Box<Body>,
    decoder: Decoder,
    /// The decoder has no frame until more is pushed.
    decoder_is_empty: bool,
    /// The body had nothing more when the turn ended, and will wake the task. Holds only until the
    /// task is polled anew (see [`poll_body_again`](Self::poll_body_again)).
    body_is_pending: bool,
    /// How many bytes were read or published since other tasks ran.
    bytes_in_a_row: usize,
    /// The response has brought an event that was no repeat.
    has_begun: bool,
    /// Why nothing more will come from the body. The decoder may still hold frames.
    end: Option<Error>,
    backpressure: Backpressure,
    silence: Option<Silence>,
    end_mark: Option<EndMark>,
}

impl ResponseReader {
    pub(super) fn new(
        body: Box<Body>,
        decoder: Decoder,
        idle_timeout: Option<Duration>,
        end_mark: Option<EndMark>,
    ) -> Self {
        Self {
            body,
            decoder,
            decoder_is_empty: true,
            body_is_pending: false,
            bytes_in_a_row: 0,
            has_begun: false,
            end: None,
            backpressure: Backpressure::default(),
            silence: idle_timeout.map(Silence::new),
            end_mark,
        }
    }

    /// Reads and publishes one turn: up to 64 frames, from as many chunks as that takes, but no
    /// more than 64. A turn that has read or published 256 KiB ends early. Other tasks run after so
    /// many bytes, in one turn or in several.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost between two calls.
    pub(super) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
        dedup: &mut Dedup,
    ) -> Poll<TurnReport> {
        // To ask the body twice in one poll of the task would only keep subscribers waiting.
        if std::mem::take(&mut self.body_is_pending) {
            return self.poll_silence(cx);
        }
        if self.bytes_in_a_row >= BYTES_IN_A_ROW {
            self.bytes_in_a_row = 0;
            let_others_run(cx);
            return Poll::Pending;
        }
        if self.poll_backpressure(cx, connection).is_pending() {
            self.bytes_in_a_row = 0;
            return Poll::Pending;
        }
        // A turn counts as one operation of tokio's budget, so that other tasks of the thread get
        // theirs.
        let budget = ready!(coop::poll_proceed(cx));
        let mut report = TurnReport::default();
        let (mut taken, mut read) = (TurnSize::default(), 0);
        let mut must_wake = false;
        for _chunk in 0..EVENTS_PER_TURN {
            if !self.decoder_is_empty {
                match self.end_mark.clone() {
                    None => self.publish(connection, &mut taken, dedup, &mut report),
                    Some(mark) => self.publish_up_to(&mark, connection, &mut taken, dedup, &mut report),
                }
                // If frames are left the turn ends, and `publish` has woken the readers.
                must_wake = self.decoder_is_empty;
            }
            if !self.decoder_is_empty || read >= BYTES_IN_A_ROW {
                break;
            }
            if let Some(cause) = self.end.take() {
                let cut_off = self.decoder.is_in_block();
                if cause.kind() == ErrorKind::Incomplete {
                    self.take_unfinished_mark(connection, dedup, &mut report);
                }
                report.end = Some(ResponseEnd { cause, cut_off });
                break;
            }
            match self.poll_chunk(cx) {
                Poll::Ready(bytes) => read += bytes,
                Poll::Pending if read > 0 || taken.frames > 0 => {
                    self.body_is_pending = true;
                    break;
                }
                Poll::Pending if self.body.holds_bytes() => return Poll::Pending,
                Poll::Pending => return self.poll_silence(cx),
            }
        }
        report.counts.bytes = read as u64;
        // Not before: a turn that found nothing gives its unit of the budget back.
        budget.made_progress();
        if must_wake && taken.frames > 0 {
            connection.hub.wake();
        }
        self.bytes_in_a_row += taken.bytes.max(read);
        Poll::Ready(report)
    }

    /// Pushes the next chunk to the decoder and returns its size, or notes why there is none.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let chunk = match ready!(self.body.poll_data(cx)) {
            Some(Ok(chunk)) => chunk,
            Some(Err(error)) => {
                self.end = Some(error);
                return Poll::Ready(0);
            }
            None => {
                self.end = Some(match self.end_mark {
                    None => Error::new(ErrorKind::EndOfStream, "the server ended the stream"),
                    Some(_) => Error::new(ErrorKind::Incomplete, "the response ended without its end mark"),
                });
                return Poll::Ready(0);
            }
        };
        let bytes = chunk.len();
        if bytes == 0 {
            // Encoded bytes have come that decode to nothing yet: the server is not silent.
            self.heard(Instant::now());
        }
        self.decoder.push(chunk);
        self.decoder_is_empty = false;
        Poll::Ready(bytes)
    }

    /// Notes that bytes came in the turn before.
    pub(super) fn heard(&mut self, now: Instant) {
        if let Some(silence) = &mut self.silence {
            silence.heard(now);
        }
    }

    /// Makes the next turn ask the body again: it runs in another poll of the task.
    pub(super) fn poll_body_again(&mut self) {
        self.body_is_pending = false;
    }

    /// Ready when the queues have room for at least one event.
    fn poll_backpressure(&mut self, cx: &mut Context<'_>, connection: &Connection) -> Poll<()> {
        let waited = self.backpressure.poll_ready(cx, &connection.hub);
        let stuck = self.backpressure.take_stuck();
        if !stuck.is_empty() {
            log::stuck(&stuck);
        }
        if let Some(stalled) = self.backpressure.take_stalled() {
            log::stalled(&stalled);
        }
        if self.backpressure.is_waiting() {
            use_up_budget(cx);
        }
        if ready!(waited) {
            // The task was not listening, so the server was not silent. Waits are rare and may read
            // the clock.
            self.heard(Instant::now());
        }
        Poll::Ready(())
    }

    /// Publishes what the decoder has, until the turn is full or a queue is.
    ///
    /// Wakes the readers if frames are left, because the turn ends then.
    fn publish(&mut self, connection: &Connection, taken: &mut TurnSize, dedup: &mut Dedup, report: &mut TurnReport) {
        let mut publisher = TurnPublisher::new(connection, dedup, report, &mut self.has_begun, false);
        // Decoding comments costs time, and only transcripts get them.
        self.decoder.set_comments(publisher.wants_comments());
        let mut frames = self.decoder.frames();
        while !taken.is_full() && publisher.is_ready() {
            let Some(frame) = frames.next_frame() else {
                self.decoder_is_empty = true;
                break;
            };
            taken.add(&frame);
            publisher.publish(frame);
        }
        drop(frames);
        // hyper can fill the chunk's memory again once the decoder has let go of it.
        self.decoder.let_go();
        publisher.finish(&self.decoder, !self.decoder_is_empty);
    }

    /// Like [`publish`](Self::publish), up to the end mark. Locks the hub twice for each frame,
    /// before and after the mark, which may be the caller's code: that never runs under the lock.
    fn publish_up_to(
        &mut self,
        mark: &EndMark,
        connection: &Connection,
        taken: &mut TurnSize,
        dedup: &mut Dedup,
        report: &mut TurnReport,
    ) {
        self.decoder.set_comments(connection.hub.publisher().wants_comments());
        let mut frames = self.decoder.frames();
        while !taken.is_full() && connection.hub.publisher().is_ready() {
            let Some(frame) = frames.next_frame() else {
                self.decoder_is_empty = true;
                break;
            };
            taken.add(&frame);
            let ended_by =
                if let Frame::Event(event) = &frame { Some(*event).filter(|event| mark.is(*event)) } else { None };
            let mut publisher = TurnPublisher::new(connection, dedup, report, &mut self.has_begun, true);
            if let Some(event) = ended_by {
                publisher.end_at_mark(event.id());
                break;
            }
            publisher.publish(frame);
        }
        drop(frames);
        self.decoder.let_go();
        if !self.decoder_is_empty {
            connection.hub.wake();
        }
    }

    /// Takes the unfinished block at the end of the response if it is the end mark: some servers
    /// send no blank line after it.
    fn take_unfinished_mark(&mut self, connection: &Connection, dedup: &mut Dedup, report: &mut TurnReport) {
        self.decoder.set_dispatch_unfinished(true);
        let (Some(Frame::Event(event)), Some(mark)) = (self.decoder.finish(), &self.end_mark) else { return };
        if mark.is(event) {
            TurnPublisher::new(connection, dedup, report, &mut self.has_begun, true).end_at_mark(event.id());
        }
    }

    /// Ready when nothing has come for longer than the idle timeout.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<TurnReport> {
        let Some(silence) = &mut self.silence else { return Poll::Pending };
        ready!(silence.poll(cx));
        let message = format!("the server was silent for {:?}, the idle timeout", silence.limit());
        let cause = Error::new(ErrorKind::IdleTimeout, message);
        let end = ResponseEnd { cause, cut_off: self.decoder.is_in_block() };
        Poll::Ready(TurnReport { end: Some(end), ..TurnReport::default() })
    }
}

/// What a turn has taken from the decoder so far.
#[derive(Debug, Default)]
struct TurnSize {
    frames: usize,
    /// The bytes of its events.
    bytes: usize,
}

impl TurnSize {
    #[inline]
    fn add(&mut self, frame: &Frame<'_>) {
        self.frames += 1;
        if let Frame::Event(event) = frame {
            self.bytes += event.size();
        }
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.frames >= EVENTS_PER_TURN || self.bytes >= BYTES_IN_A_ROW
    }
}

/// Uses up tokio's budget for this poll of the connection task, which waits for subscribers, so
/// that those begin with a budget of their own.
///
/// A runtime with several threads lets a woken task run right after the one that woke it, with what
/// is left of its budget, up to three times in a row; then it wakes another thread to take over.
/// The connection task and a subscriber that wake each other get there with every second full
/// queue, and both threads pay for it. Without budget the subscriber goes into the queue of the
/// thread that it is on.
fn use_up_budget(cx: &mut Context<'_>) {
    // Bounded, because there is no end of it in a task that is unconstrained.
    for _unit in 0..MAX_BUDGET {
        if !coop::has_budget_remaining() {
            return;
        }
        let Poll::Ready(unit) = coop::poll_proceed(cx) else { return };
        unit.made_progress();
    }
}
