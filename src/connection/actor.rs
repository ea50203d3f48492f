//! The connection task: one loop, one `select!`, one exit. What is left to save after the end has a
//! loop of its own, in [`save_the_rest`].
//!
//! The actor decides nothing. It hands what happens to the [`Session`], and carries out the
//! [`Step`] that comes back. No handler awaits, so handles are answered in any phase.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::coop;
use tokio::time::{Instant, Sleep};
use tracing::Instrument as _;

use crate::error::Error;
use crate::error::panics::catch_future;
use crate::event::Gap;
use crate::state::CloseReason;
use crate::transport::{self, Body, BoxFuture, Connect, Dialed};
use crate::wire::Decoder;

use super::committer::Committer;
use super::exit::{Ending, Exit, TASK, save_the_rest, store_failed, task_failed};
use super::next_attempt::NextAttempt;
use super::phase::{Dialing, Phase, Progress};
use super::published::FailedHandover;
use super::reading::{Dedup, ResponseReader};
use super::session::{Action, Input, Notice, ResponseEnd, Session, Sources, Step, TurnReport};
use super::{Connection, Hook, Launch, log, timer};

/// Spawns the connection task if that has not been done, and returns true if it has been done now.
///
/// # Panics
///
/// Outside a tokio runtime, before anything has changed.
#[track_caller]
pub(crate) fn connect(connection: &Arc<Connection>) -> bool {
    connection.task.spawn(|launch| run(Arc::clone(connection), launch))
}

/// Returns the task's future, which runs until there is a reason to end, and records that at its
/// one exit.
///
/// The exit is made here, not at the first poll: a runtime may drop the task before that.
fn run(connection: Arc<Connection>, launch: Box<Launch>) -> impl Future<Output = ()> + Send {
    let span = log::span(&connection.name, launch.config.request.target());
    let mut exit = Exit::of(Arc::clone(&connection), span.clone());
    // Boxed, because an async block holds what it captures twice, and a process may have thousands
    // of streams.
    let actor = Box::new(Actor::new(Arc::clone(&connection), *launch));
    async move {
        // The actor, and with it the socket, is gone before the end is published.
        let Ending { reason, committer, until } = actor.run().instrument(span.clone()).await;
        exit.record(reason);
        drop(exit);
        if let Some(committer) = committer {
            Box::pin(save_the_rest(&connection, committer, until)).instrument(span).await;
        }
    }
}

/// Goes on, or ends for this reason.
type Flow = ControlFlow<CloseReason>;

/// Everything that the task owns. Handles see none of it: they share the [`Connection`].
struct Actor {
    connection: Arc<Connection>,
    session: Session,
    connector: Arc<dyn Connect>,
    hooks: Arc<[Hook]>,
    /// The caller's future: when it completes, the stream shuts down.
    stop: Option<BoxFuture<()>>,
    committer: Option<Box<Committer>>,
    /// After a shutdown: until when subscribers may acknowledge.
    until: Option<Instant>,
    phase: Phase,
    /// On a lazy stream without subscribers: how long the connection stays, in any phase.
    linger: Option<Pin<Box<Sleep>>>,
    dedup: Dedup,
    /// Spreads the waits.
    random: fastrand::Rng,
}

impl Actor {
    fn new(connection: Arc<Connection>, launch: Launch) -> Self {
        let Launch { config, policy, hooks, connector, stop, store } = launch;
        let sources = Sources { hooks: !hooks.is_empty(), store: store.is_some() };
        Self {
            connection,
            random: policy.random(),
            dedup: Dedup::new(config.drop_repeats),
            session: Session::new(config, policy, sources),
            connector,
            hooks,
            stop,
            committer: store.map(|store| Box::new(Committer::new(store))),
            until: None,
            phase: Phase::Idle,
            linger: None,
        }
    }

    /// Runs the task to its end, and keeps what has to be done afterwards. A panic is an end, too.
    async fn run(mut self: Box<Self>) -> Ending {
        // Policies and connectors are the caller's code, and may panic. What was acknowledged by
        // then is still saved.
        let followed = catch_future(pin!(self.follow())).await;
        let reason = followed.unwrap_or_else(|panicked| task_failed(panicked.message(TASK)));
        if matches!(reason, CloseReason::Shutdown | CloseReason::Abandoned) {
            // A shutdown without a deadline waits for no subscriber. Nor does a stream without
            // any: an acknowledger keeps nothing alive.
            self.until.get_or_insert_with(Instant::now);
        }
        Ending { reason, committer: self.committer.take(), until: self.until }
    }

    /// The loop: takes what comes next, from handles or from anywhere else, until the stream ends.
    async fn follow(&mut self) -> CloseReason {
        // What was asked before `connect` goes along with the first attempt.
        let mut flow = self.on_asked();
        if flow.is_continue() {
            flow = self.handle(Input::Connect);
        }
        let mailbox = Arc::clone(&self.connection.mailbox.signal);
        // Lives across passes of the loop, none of which creates a future.
        let mut asked = pin!(mailbox.notified());
        loop {
            if let ControlFlow::Break(reason) = flow {
                return reason;
            }
            if !coop::has_budget_remaining() {
                // The select will return at once. If reading used up the budget, the body has not
                // registered for its socket: only the next poll makes it.
                if let Some(reader) = self.phase.reader() {
                    reader.poll_body_again();
                }
            }
            flow = tokio::select! {
                // Handles come before the server: a flood of events delays no shutdown.
                biased;
                () = &mut asked => {
                    asked.set(mailbox.notified());
                    self.on_asked()
                }
                progress = poll_fn(|cx| self.poll_progress(cx)) => self.on_progress(progress),
            };
        }
    }

    /// Goes on with everything but the mailbox: the caller's stop, the committer, the linger time,
    /// the phase.
    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Progress> {
        if let Some(stop) = &mut self.stop {
            if stop.as_mut().poll(cx).is_ready() {
                self.stop = None;
                return Poll::Ready(Progress::Stopped);
            }
        }
        if let Some(committer) = &mut self.committer {
            if let Poll::Ready(failure) = committer.poll(cx, &self.connection) {
                return Poll::Ready(Progress::SaveFailed(failure));
            }
        }
        if let Some(linger) = &mut self.linger {
            if linger.as_mut().poll(cx).is_ready() {
                self.linger = None;
                return Poll::Ready(Progress::LingerOver);
            }
        }
        // Last: the body of a busy stream is always ready, and nothing behind it would get a turn.
        self.phase.poll(cx, &self.connection, &mut self.dedup)
    }

    /// Takes what handles have asked for, and looks for subscribers on a lazy stream: the same
    /// signal says that one has come or gone.
    fn on_asked(&mut self) -> Flow {
        let asked = self.connection.mailbox.take();
        // A stop overrules all else that was asked.
        if let Some(stop) = asked.stop {
            self.until = stop.deadline();
            return ControlFlow::Break(stop.into());
        }
        self.handle(Input::Asked(asked))?;
        if !self.session.is_lazy() {
            return ControlFlow::Continue(());
        }
        let present = self.connection.hub.has_subscribers();
        self.handle(Input::Demand { present })
    }

    /// Turns progress into an input.
    fn on_progress(&mut self, progress: Progress) -> Flow {
        match progress {
            Progress::Loaded(loaded) => self.on_loaded(loaded),
            Progress::Stopped => ControlFlow::Break(CloseReason::Shutdown),
            Progress::SaveFailed(failure) => {
                store_failed(&self.connection, &failure);
                ControlFlow::Continue(())
            }
            Progress::WaitOver => self.handle(Input::WaitOver),
            Progress::LingerOver => self.handle(Input::LingerOver),
            Progress::Turn(turn) => self.on_turn(turn),
            Progress::Dialed(Ok(Dialed::NoContent)) => self.handle(Input::NoContent),
            Progress::Dialed(Ok(Dialed::Open { head, body, repeated_after })) => {
                // Before the response is read: a gap has its place before the first event.
                self.handle(Input::Accepted { head, repeated_after })?;
                self.read(body);
                ControlFlow::Continue(())
            }
            Progress::Dialed(Err(cause)) => self.on_failed(cause),
        }
    }

    /// Hands in the ID that the resume store has loaded, or that it has failed.
    fn on_loaded(&mut self, loaded: Result<Option<String>, Error>) -> Flow {
        if let Err(error) = &loaded {
            store_failed(&self.connection, error);
        }
        if let Some(committer) = &mut self.committer {
            committer.loaded(loaded.as_ref().ok().cloned().flatten(), &self.connection);
        }
        self.handle(Input::Loaded(loaded))
    }

    /// Counts a failed attempt, and looks for a `Retry-After`.
    fn on_failed(&mut self, cause: Error) -> Flow {
        self.connection.counters.count_failure(&cause);
        // A date in `Retry-After` is the one thing that needs the wall clock.
        let retry_after = cause.retry_after_by(|| self.connector.wall_clock());
        let random = self.random.f64();
        self.handle(Input::Failed { cause, retry_after, random })
    }

    /// Counts a turn of reading, and hands in its news, and the end of the response if it has
    /// ended.
    fn on_turn(&mut self, report: TurnReport) -> Flow {
        // The one look at the clock in a turn.
        let now = Instant::now();
        self.connection.counters.count_turn(report.counts, now);
        if report.counts.bytes > 0 {
            if let Some(reader) = self.phase.reader() {
                reader.heard(now);
            }
        }
        // The session takes its ID from the published copy: that of the decoder may be of an event
        // that was dropped as a repeat.
        let published = report.id_changed.then(|| self.connection.published.last_event_id());
        let last_event_id = published.as_deref().map(String::as_str);
        let step = self.session.handle(Input::Turn { report: &report, last_event_id }, now);
        drop(published);
        if let (Some(committer), true) = (&mut self.committer, report.id_changed) {
            committer.id_changed();
        }
        self.carry_out(step, now)?;
        if report.end_mark {
            let step = self.session.handle(Input::EndMark, now);
            return self.carry_out(step, now);
        }
        let Some(ResponseEnd { cause, cut_off }) = report.end else { return ControlFlow::Continue(()) };
        self.connection.counters.count_failure(&cause);
        let random = self.random.f64();
        let step = self.session.handle(Input::Ended { cause, cut_off, random }, now);
        self.carry_out(step, now)
    }

    /// Hands an input to the session, and carries out the step.
    fn handle(&mut self, input: Input<'_>) -> Flow {
        let now = Instant::now();
        let step = self.session.handle(input, now);
        self.carry_out(step, now)
    }

    /// Carries out a step, its parts in the order of their fields.
    fn carry_out(&mut self, step: Step, now: Instant) -> Flow {
        let Step { notice, state, restarts, action } = step;
        if let Some(notice) = notice {
            self.notify(&notice);
        }
        // Counted before the state is published: a caller of `opened` finds the response in
        // `stats`.
        let gap = self.count_response(&action);
        if let Some(state) = state {
            log::state(&state, self.session.sent_id());
            self.connection.announce(state);
        }
        if restarts {
            self.restart();
        }
        match action {
            Action::Stay => {}
            Action::Load => self.load(),
            Action::Dial { attempt } => {
                // An ordinary reconnection compares nothing: a gap goes before its first event
                // instead.
                self.dedup.forget_handovers();
                self.phase = Phase::Dialing(self.dialing(attempt));
            }
            Action::BeginHandover { attempt, is_unrelated } => {
                self.dedup.begin_handover(attempt.last_event_id().map(str::to_owned), is_unrelated);
                let dialing = self.dialing(attempt);
                self.phase.begin_handover(dialing);
            }
            Action::ContinueHandover => self.phase.continue_handover(),
            Action::CancelHandover { cause, change } => self.cancel_handover(cause, change),
            Action::Read { change, .. } | Action::TakeOver { change } => self.accept(gap, change),
            Action::Wait { delay } => self.phase = Phase::Waiting(timer::sleep(now, delay)),
            Action::Linger { delay } => self.linger = Some(timer::sleep(now, delay)),
            Action::StopLingering => self.linger = None,
            Action::Sleep => self.phase = Phase::Idle,
            Action::Close(reason) => return ControlFlow::Break(reason),
        }
        ControlFlow::Continue(())
    }

    /// Logs a notice of the session.
    fn notify(&self, notice: &Notice) {
        match notice {
            Notice::IdLeftOut(error) => log::left_out(error),
            Notice::IdRefused(error) => log::id_refused(error),
            Notice::Poisoned(error) => {
                self.connection.counters.count_failure(error);
                log::poisoned(error);
            }
        }
    }

    /// Counts an accepted response, and returns the gap before it. Does nothing for other actions.
    fn count_response(&mut self, action: &Action) -> Option<Gap> {
        let gap = match action {
            Action::Read { gap, .. } => gap.clone(),
            Action::TakeOver { .. } => self.dedup.take_over(),
            _ => return None,
        };
        self.connection.counters.count(|stats| {
            stats.opens += 1;
            stats.gaps += u64::from(gap.is_some());
        });
        gap
    }

    /// Publishes that the stream goes on after the session's last event ID. Needed even if that is
    /// the one published last: events that inherit it come again.
    fn restart(&mut self) {
        let id = self.session.last_event_id();
        self.connection.published.set_last_event_id(&self.connection.hub.publisher(), id);
        self.connection.hub.restart(id);
        if let Some(committer) = &mut self.committer {
            committer.id_changed();
        }
        self.dedup.forget_delivered();
    }

    /// Begins to load the last event ID. Only a session with a store asks for that.
    fn load(&mut self) {
        if let Some(committer) = &self.committer {
            self.phase = Phase::Loading(committer.load());
        }
    }

    /// Publishes the gap before an accepted response, and the changes that its request carried.
    fn accept(&self, gap: Option<Gap>, change: u64) {
        if let Some(gap) = gap {
            self.connection.hub.publisher().gap(None, &gap);
            self.connection.hub.wake();
        }
        // Last: a caller who waits for a change finds everything else done.
        self.connection.published.set_applied(change);
    }

    /// Stays with the open response, and tells the callers of the changes that have not taken
    /// effect.
    fn cancel_handover(&mut self, cause: Error, change: u64) {
        self.dedup.cancel_handover();
        log::not_replaced(&cause);
        self.connection.published.set_failed_handover(FailedHandover { change, cause });
    }

    /// Returns the future of an attempt. It asks the caller's hooks first, if there are any.
    fn dialing(&self, mut attempt: NextAttempt) -> Dialing {
        self.connection.counters.count(|stats| stats.attempts += 1);
        let (connector, hooks) = (Arc::clone(&self.connector), Arc::clone(&self.hooks));
        if hooks.is_empty() {
            return Box::pin(transport::dial(connector, attempt.into_attempt()));
        }
        Box::pin(async move {
            for hook in &*hooks {
                attempt = hook.ask(attempt).await?;
            }
            transport::dial(connector, attempt.into_attempt()).await
        })
    }

    /// Begins to read an accepted response, in place of one that is still read.
    fn read(&mut self, body: Box<Body>) {
        let config = &self.session.config;
        // Seeded, as Blink does it: or the first event without an ID would wipe the resume point.
        let decoder = Decoder::new().max_event_size(config.max_event_size).last_event_id(self.session.last_event_id());
        let reader = Box::new(ResponseReader::new(body, decoder, config.idle_timeout, config.end_mark.clone()));
        self.phase = Phase::Reading { reader, handover: None };
    }
}
