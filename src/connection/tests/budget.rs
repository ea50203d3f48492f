//! Streams whose task has used up tokio's coop budget.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;

use crate::{Commit, ResumeStore};

use super::*;

/// A connection that gives its answer piece by piece.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<BudgetLine>>);

#[derive(Default)]
struct BudgetLine {
    pieces: VecDeque<&'static str>,
    /// The task's budget is used up with each: as many reads from a socket do.
    exhausting: bool,
    asked: bool,
    reader: Option<Waker>,
}

impl Wire {
    fn giving(pieces: &[&'static str], exhausting: bool) -> Self {
        let pieces = pieces.iter().copied().collect();
        Self(Arc::new(Mutex::new(BudgetLine { pieces, exhausting, ..BudgetLine::default() })))
    }

    fn change(&self, change: impl FnOnce(&mut BudgetLine)) {
        let mut line = self.0.lock().unwrap();
        change(&mut line);
        line.reader.take().into_iter().for_each(Waker::wake);
    }
}

fn use_up_the_budget(cx: &mut Context<'_>) {
    while coop::has_budget_remaining() {
        let _ = coop::poll_proceed(cx).map(|budget| budget.made_progress());
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Like a socket: without budget it does not look for new bytes.
        let budget = std::task::ready!(coop::poll_proceed(cx));
        let mut line = self.0.lock().unwrap();
        let Some(piece) = line.asked.then(|| line.pieces.pop_front()).flatten() else {
            line.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        buffer.put_slice(piece.as_bytes());
        budget.made_progress();
        if line.exhausting {
            use_up_the_budget(cx);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, request: &[u8]) -> Poll<io::Result<usize>> {
        self.change(|line| line.asked = true);
        Poll::Ready(Ok(request.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Connect for Wire {
    fn connect(&self, _: &Target, _: Duration) -> BoxFuture<Result<HttpConnection, Error>> {
        let io = self.clone();
        Box::pin(async { Ok(HttpConnection::Http1(Box::new(io))) })
    }
}

/// A store that fails when the server says the next thing, and the task can do no more in this go.
struct Untimely(Wire);

impl ResumeStore for Untimely {
    type Error = io::Error;

    async fn load(&self) -> io::Result<Option<String>> {
        Ok(None)
    }

    async fn save(&self, _: String) -> io::Result<()> {
        std::future::poll_fn(|cx| {
            use_up_the_budget(cx);
            Poll::Ready(())
        })
        .await;
        self.0.change(|line| line.pieces.push_back("data: x\n\n"));
        Err(io::Error::other("the disk is on fire"))
    }
}

/// Runs `work` where between any two polls the task that yielded is woken: one wake-up is all that
/// a task gets.
fn run(work: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).event_interval(1).build().unwrap().block_on(work);
}

async fn assert_events(wire: Wire, stream: crate::StreamBuilder, events: usize) {
    let handle = stream.build().unwrap();
    let mut subscription = handle.subscribe(Filter::all());
    handle.connect();
    for number in 1..=events {
        let delivery = tokio::time::timeout(Duration::from_millis(500), subscription.recv()).await;
        let left = wire.0.lock().unwrap().pieces.len();
        assert!(matches!(delivery, Ok(Some(Delivery::Event(_)))), "event {number}: {delivery:?}, {left} pieces left");
    }
}

#[test]
fn a_stream_goes_on_reading_after_its_task_yields_within_a_turn() {
    run(async {
        let wire = Wire::giving(&[&[EMPTY][..], &["data: x\n\n"; 10]].concat(), true);
        let stream = Client::with_connector(Arc::new(wire.clone())).stream("http://host/");
        assert_events(wire, stream, 10).await;
    });
}

#[test]
fn a_stream_goes_on_reading_after_its_task_yields_to_another() {
    run(async {
        let wire = Wire::giving(&[WITH_ID], false);
        let stream = Client::with_connector(Arc::new(wire.clone())).stream("http://host/");
        assert_events(wire.clone(), stream.resume_store(Untimely(wire), Commit::Delivery), 2).await;
    });
}
