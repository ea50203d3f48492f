//! [`AnswerBody`]: the bytes of one response, without its content coding, in bounded steps.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http_body::Body;

use crate::error::Error;
use crate::response::{BoxError, Decoding, ERROR_BODY_TIMEOUT, MAX_ERROR_BODY, poll_bytes};

use super::timeouts::Deadline;

/// Maximum number of pieces in a row before other tasks run. A body that is always ready and
/// decodes to nothing would keep one poll of its task busy forever: not every executor has a
/// budget.
const MAX_PIECES_IN_A_ROW: u32 = 64;

/// The body of a response that the caller has in hand.
pub(super) struct AnswerBody<B> {
    raw: Pin<Box<B>>,
    /// Boxed, since most answers are not compressed.
    decoding: Option<Box<Decoding>>,
    row: PieceRow,
}

impl<B: Body<Error: Into<BoxError>>> AnswerBody<B> {
    pub(super) fn new(body: B, decoding: Option<Box<Decoding>>) -> Self {
        Self { raw: Box::pin(body), decoding, row: PieceRow::default() }
    }

    /// Polls for the next bytes, decoded; `None` at the end. They are empty if what has come
    /// decodes to nothing yet.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let Self { raw, decoding, row } = self;
        let Some(decoding) = decoding else { return row.poll_bytes(raw.as_mut(), cx) };
        // A few bytes may stand for gigabytes.
        ready!(row.poll_proceed(cx));
        decoding.poll_data(cx, |cx| row.poll_bytes(raw.as_mut(), cx))
    }

    /// Polls for the next bytes as they come.
    pub(super) fn poll_encoded(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        self.row.poll_bytes(self.raw.as_mut(), cx)
    }

    /// Reads the beginning of the body of a refused response: what comes in time, if there is a
    /// clock.
    // If the body fails, the status says all there is to say.
    pub(super) async fn beginning(mut self) -> Bytes {
        let (mut beginning, mut deadline) = (BytesMut::new(), Deadline::after(ERROR_BODY_TIMEOUT));
        while beginning.len() < MAX_ERROR_BODY {
            let data = poll_fn(|cx| match self.poll_data(cx) {
                Poll::Pending => deadline.poll(cx).unwrap_or(Poll::Pending).map(|()| None),
                ready => ready,
            });
            let Some(Ok(data)) = data.await else { break };
            let room = MAX_ERROR_BODY - beginning.len();
            beginning.put(data.take(room));
        }
        beginning.freeze()
    }
}

/// Counts pieces that are ready one after the other.
#[derive(Default)]
struct PieceRow(u32);

impl PieceRow {
    /// Ready for another piece; pending once after a full row, with a wake-up.
    fn poll_proceed(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.0 == MAX_PIECES_IN_A_ROW {
            self.0 = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.0 += 1;
        Poll::Ready(())
    }

    /// Polls for bytes. Frames without any are skipped: they do not end a silence.
    fn poll_bytes<B: Body<Error: Into<BoxError>>>(
        &mut self,
        mut body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            ready!(self.poll_proceed(cx));
            match poll_bytes(body.as_mut(), cx) {
                Poll::Ready(Some(Ok(bytes))) if bytes.is_empty() => {}
                Poll::Pending => {
                    self.0 = 0;
                    return Poll::Pending;
                }
                ready => return ready,
            }
        }
    }
}
