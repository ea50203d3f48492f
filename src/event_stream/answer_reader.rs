//! [`AnswerReader`]: one response, from its bytes to the items that the caller takes.
//!
//! ```text
//! Open -- end mark --> AfterMark -- end of the body, or a limit --> Ended
//!   |                                                                 ^
//!   +----- end of the body --> BodyEnded -----------------------------+
//!   +----- failure, timeout ------------------------------------------+
//! ```

use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::Body;

use crate::error::{Error, ErrorKind};
use crate::response::BoxError;
use crate::wire::{Decoder, EndMark, Frame};

use super::answer_body::AnswerBody;
use super::timeouts::{Deadline, Timeouts};

/// Maximum number of bytes that are read after the end mark, so that a pooled connection can be
/// used again. More would cost more than a new connection.
const MAX_AFTER_MARK: usize = 64 * 1024;

/// How long a stream waits for the end of the body after its end mark. The end comes right behind
/// the mark, or not at all, so a lost packet costs a pooled connection and no more.
const MAX_WAIT_FOR_END: Duration = Duration::from_millis(100);

/// One response being read.
pub(super) struct AnswerReader<B> {
    pub(super) body: AnswerBody<B>,
    pub(super) decoder: Decoder,
    pub(super) signals: Signals,
    /// An unfinished block at the end of the body is an item.
    pub(super) wants_unfinished: bool,
    phase: AnswerPhase,
}

/// What the frames of a response say about the response itself.
#[derive(Default)]
pub(super) struct Signals {
    pub(super) end_mark: Option<EndMark>,
    pub(super) timeouts: Timeouts,
    /// The last valid `retry`.
    pub(super) reconnection_time: Option<Duration>,
}

enum AnswerPhase {
    Open,
    /// The end mark has come. The rest of the body is read, within limits, and dropped.
    AfterMark {
        bytes: usize,
        deadline: Deadline,
    },
    /// The body has ended, and its last item was taken.
    BodyEnded,
    Ended,
}

/// What a frame is to the caller.
enum FrameUse<I> {
    Item(I),
    Mark,
    Nothing,
}

impl Signals {
    /// Takes what a frame says, and the caller's item, if it is one.
    fn take<I>(&mut self, frame: Frame<'_>, item: impl FnOnce(Frame<'_>) -> Option<I>) -> FrameUse<I> {
        match &frame {
            Frame::Event(event) => {
                self.timeouts.event_came();
                if self.end_mark.as_ref().is_some_and(|mark| mark.is(*event)) {
                    return FrameUse::Mark;
                }
            }
            Frame::Oversized(_) => self.timeouts.event_came(),
            Frame::Retry(milliseconds) => self.reconnection_time = Some(Duration::from_millis(*milliseconds)),
            _ => {}
        }
        item(frame).map_or(FrameUse::Nothing, FrameUse::Item)
    }
}

impl<B> AnswerReader<B> {
    /// Returns true if nothing more comes.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.phase, AnswerPhase::Ended)
    }
}

impl<B: Body<Error: Into<BoxError>>> AnswerReader<B> {
    pub(super) fn new(body: AnswerBody<B>) -> Self {
        let (decoder, signals) = (Decoder::new(), Signals::default());
        Self { body, decoder, signals, wants_unfinished: false, phase: AnswerPhase::Open }
    }

    /// Polls for the next item that `item` makes of a frame; `None` at the end.
    pub(super) fn poll_next<I>(
        &mut self,
        cx: &mut Context<'_>,
        item: fn(Frame<'_>) -> Option<I>,
    ) -> Poll<Option<Result<I, Error>>> {
        loop {
            match &mut self.phase {
                AnswerPhase::Open => {
                    if let Some(item) = ready!(self.poll_open(cx, item)) {
                        return Poll::Ready(Some(item));
                    }
                }
                AnswerPhase::AfterMark { bytes, deadline } => {
                    ready!(poll_rest(&mut self.body, bytes, deadline, cx));
                    self.phase = AnswerPhase::Ended;
                }
                AnswerPhase::BodyEnded => {
                    self.phase = AnswerPhase::Ended;
                    if self.signals.end_mark.is_some() {
                        let message = "the response ended without its end mark";
                        return Poll::Ready(Some(Err(Error::new(ErrorKind::Incomplete, message))));
                    }
                }
                AnswerPhase::Ended => return Poll::Ready(None),
            }
        }
    }

    /// Polls the open response for an item. `None` if another phase has begun.
    fn poll_open<I>(
        &mut self,
        cx: &mut Context<'_>,
        item: fn(Frame<'_>) -> Option<I>,
    ) -> Poll<Option<Result<I, Error>>> {
        loop {
            while let Some(frame) = self.decoder.next_frame() {
                match self.signals.take(frame, item) {
                    FrameUse::Item(item) => return Poll::Ready(Some(Ok(item))),
                    FrameUse::Nothing => {}
                    FrameUse::Mark => {
                        let deadline = Deadline::after(MAX_WAIT_FOR_END);
                        self.phase = AnswerPhase::AfterMark { bytes: 0, deadline };
                        return Poll::Ready(None);
                    }
                }
            }
            let failure = match self.body.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => {
                    self.signals.timeouts.bytes_came();
                    self.decoder.push(data);
                    continue;
                }
                Poll::Ready(None) => return Poll::Ready(self.finish(item).map(Ok)),
                Poll::Ready(Some(Err(error))) => error,
                Poll::Pending => ready!(self.signals.timeouts.poll(cx)),
            };
            self.phase = AnswerPhase::Ended;
            return Poll::Ready(Some(Err(failure)));
        }
    }

    /// Ends the stream with its body. Returns the item of an unfinished block, if that is wanted.
    fn finish<I>(&mut self, item: fn(Frame<'_>) -> Option<I>) -> Option<I> {
        self.phase = AnswerPhase::BodyEnded;
        let id_before = self.decoder.current_last_event_id().to_owned();
        // Some servers send no blank line after their end mark.
        let may_be_mark = self.signals.end_mark.is_some();
        self.decoder.set_dispatch_unfinished(self.wants_unfinished || may_be_mark);
        match self.signals.take(self.decoder.finish()?, item) {
            FrameUse::Mark => {
                self.phase = AnswerPhase::Ended;
                None
            }
            FrameUse::Item(item) if self.wants_unfinished => Some(item),
            FrameUse::Item(_) | FrameUse::Nothing => {
                if !self.wants_unfinished {
                    // The block is dropped after all, and its ID with it.
                    self.decoder = Decoder::new().last_event_id(id_before);
                }
                None
            }
        }
    }
}

/// Reads what is left of a body after the end mark; ready at its end or at a limit. A failure is
/// an end, too: the answer is complete.
fn poll_rest<B: Body<Error: Into<BoxError>>>(
    body: &mut AnswerBody<B>,
    bytes: &mut usize,
    deadline: &mut Deadline,
    cx: &mut Context<'_>,
) -> Poll<()> {
    while *bytes <= MAX_AFTER_MARK {
        match body.poll_encoded(cx) {
            Poll::Ready(Some(Ok(more))) => *bytes += more.len(),
            Poll::Ready(_) => break,
            // Without a clock only what is there is read.
            Poll::Pending => return deadline.poll(cx).unwrap_or(Poll::Ready(())),
        }
    }
    Poll::Ready(())
}
