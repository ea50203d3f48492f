//! What becomes of a stream whose task has used up what tokio lets it do in one go.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;

use super::*;

/// A connection that answers a request piece by piece, and with each piece uses up the task's budget: as
/// many reads from a socket do.
#[derive(Default)]
struct Exhausting {
    pieces: VecDeque<&'static str>,
    asked: bool,
    reader: Option<Waker>,
}

impl AsyncRead for Exhausting {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.asked || self.pieces.is_empty() {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // As a socket does: whether anything has come is not looked at without budget.
        std::task::ready!(coop::poll_proceed(cx)).made_progress();
        buffer.put_slice(self.pieces.pop_front().unwrap_or_default().as_bytes());
        while coop::has_budget_remaining() {
            let _ = coop::poll_proceed(cx).map(|budget| budget.made_progress());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Exhausting {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, request: &[u8]) -> Poll<io::Result<usize>> {
        self.asked = true;
        self.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(request.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Connect for Vec<&'static str> {
    fn connect(&self, _: &Target, _: Duration) -> BoxFuture<Result<Box<dyn Io>, Error>> {
        let io = Exhausting { pieces: self.iter().copied().collect(), ..Exhausting::default() };
        Box::pin(async { Ok(Box::new(io) as Box<dyn Io>) })
    }
}

#[test]
fn a_stream_goes_on_reading_when_its_task_had_to_give_way_in_the_middle_of_a_turn() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    // Between any two polls whoever gave way is woken: one wake-up is all that the task gets.
    let runtime = runtime.enable_time().start_paused(true).event_interval(1).build().unwrap();
    runtime.block_on(async {
        let pieces = [&[EMPTY][..], &["data: x\n\n"; 10]].concat();
        let handle = Client::with_connector(Arc::new(pieces)).stream("http://host/").build().unwrap();
        let mut events = handle.subscribe(Filter::all());
        handle.connect();
        for number in 1..=10 {
            let delivery = tokio::time::timeout(Duration::from_secs(3600), events.recv()).await;
            assert!(matches!(delivery, Ok(Some(Delivery::Event(_)))), "event {number} never came: {delivery:?}");
        }
    });
}
