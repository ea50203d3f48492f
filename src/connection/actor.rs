//! The connection task: one loop, one `select!`, one exit.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::coop;
use tokio::time::{Instant, Sleep};
use tracing::Instrument as _;

use crate::connection::credentials::{Credentials, CredentialsReason};
use crate::error::panics::catch_future;
use crate::error::{Error, ErrorKind};
use crate::event::Gap;
use crate::reconnect;
use crate::state::{CloseReason, ResponseHead};
use crate::transport::{self, Attempt, Body, BoxFuture, Connect, Dialed};
use crate::wire::Decoder;

use super::committer::Committer;
use super::exit::{Ending, Exit, TASK, save_the_rest, store_failed, task_failed};
use super::mailbox::Asked;
use super::phase::{self, Dialing, Phase, Progress};
use super::published::FailedHandover;
use super::reading::{Dedup, ResponseEnd, ResponseReader, TurnReport};
use super::session::{Input, Session, Step};
use super::stats::TurnCounts;
use super::{Connection, Launch, log, timer};

/// Spawns the connection task if that has not been done, and returns true if it has been done now.
///
/// # Panics
///
/// Outside a tokio runtime, before anything has changed.
#[track_caller]
pub(crate) fn connect(connection: &Arc<Connection>) -> bool {
    connection.task.spawn(|launch| run(Arc::clone(connection), launch))
}

/// The task's future: runs until there is a reason to end, which it records at its one exit. The
/// guard is made here, not at the first poll: a runtime may drop the task before.
fn run(connection: Arc<Connection>, launch: Box<Launch>) -> impl Future<Output = ()> + Send {
    let span = log::span(connection.name(), launch.config.request.target());
    let mut exit = Exit::of(&connection, span.clone());
    // Boxed: a future holds what it is given twice, and there may be thousands.
    let actor = Box::new(Actor::new(connection, *launch));
    async move {
        let connection = Arc::clone(exit.connection());
        // The actor, and with it the socket, is gone before anybody hears of the end.
        let Ending { reason, committer, until } = actor.run().instrument(span.clone()).await;
        exit.record(reason);
        drop(exit);
        if let Some(committer) = committer {
            Box::pin(save_the_rest(&connection, committer, until)).instrument(span).await;
        }
    }
}

fn poll_keeper(committer: &mut Option<Box<Committer>>, cx: &mut Context<'_>, connection: &Connection) -> Poll<Error> {
    committer.as_mut().map_or(Poll::Pending, |committer| committer.poll(cx, connection))
}

/// Pending when nobody lingers.
fn poll_linger(linger: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<Progress> {
    let Some(sleep) = linger else { return Poll::Pending };
    std::task::ready!(sleep.as_mut().poll(cx));
    *linger = None;
    Poll::Ready(Progress::LingerOver)
}

async fn done(stop: &mut Option<BoxFuture<()>>) {
    if let Some(stop) = stop {
        stop.await;
    }
}

struct Actor {
    connection: Arc<Connection>,
    session: Session,
    connector: Arc<dyn Connect>,
    credentials: Option<Credentials>,
    /// The caller's: done when the stream is to be shut down.
    stop: Option<BoxFuture<()>>,
    committer: Option<Box<Committer>>,
    /// How long subscribers may take to finish, once somebody has shut down.
    until: Option<Instant>,
    phase: Phase,
    /// Nobody listens any more: how long the connection stays, in whatever phase.
    linger: Option<Pin<Box<Sleep>>>,
    dedup: Dedup,
    /// Spreads the waits.
    random: fastrand::Rng,
}

/// Whether to go on, or why not.
type Flow = ControlFlow<CloseReason>;

impl Actor {
    fn new(connection: Arc<Connection>, launch: Launch) -> Self {
        let Launch { config, policy, credentials, connector, stop, store } = launch;
        let random = policy.random();
        let dedup = Dedup::new(config.drop_repeats);
        let session = Session::new(config, policy, credentials.is_some());
        let committer = store.map(|store| Box::new(Committer::new(store)));
        let (until, phase, linger) = (None, Phase::Idle, None);
        Self { connection, session, connector, credentials, stop, committer, until, phase, linger, dedup, random }
    }

    async fn run(mut self: Box<Self>) -> Ending {
        // A panic, of a policy's closure say, is an end like others: what was acknowledged by then is still saved.
        let reason =
            catch_future(pin!(self.follow())).await.unwrap_or_else(|panicked| task_failed(panicked.message(TASK)));
        if matches!(reason, CloseReason::Shutdown) {
            self.until.get_or_insert_with(Instant::now);
        }
        Ending { reason, committer: self.committer.take(), until: self.until }
    }

    /// The first step.
    fn start(&mut self) -> Flow {
        // What was asked before `connect` goes with the first attempt, which is a new one anyway.
        let mut asked = self.connection.mailbox.take();
        (asked.reconnect, asked.replace) = (false, false);
        if let Some(resume) = asked.resume.take() {
            self.session.resume(resume);
        }
        self.on_asked(asked)?;
        // A lazy stream begins when somebody listens, which may have been just now.
        if self.session.is_lazy() { ControlFlow::Continue(()) } else { self.begin() }
    }

    /// Dials; before the first attempt the resume store is asked.
    fn begin(&mut self) -> Flow {
        match &self.committer {
            Some(committer) if !self.session.has_dialed() => {
                self.phase = Phase::Loading(committer.load());
                self.handle(Input::Load)
            }
            _ => self.handle(Input::Dial),
        }
    }

    async fn follow(&mut self) -> CloseReason {
        if let ControlFlow::Break(reason) = self.start() {
            return reason;
        }
        let mailbox = Arc::clone(&self.connection.mailbox.signal);
        let mut asked = pin!(mailbox.notified());
        loop {
            if !coop::has_budget_remaining() {
                // The select gives way at once. And if it was a read that used up the budget, the exchange has
                // not looked at its socket: nothing but the next poll will make it.
                self.phase.reading().into_iter().for_each(ResponseReader::poll_body_again);
            }
            let flow = tokio::select! {
                // Whoever asks comes before what the server sends: a flood delays no shutdown.
                biased;
                () = &mut asked => {
                    asked.set(mailbox.notified());
                    self.on_asked(self.connection.mailbox.take())
                }
                () = done(&mut self.stop), if self.stop.is_some() => ControlFlow::Break(CloseReason::Shutdown),
                failure = poll_fn(|cx| poll_keeper(&mut self.committer, cx, &self.connection)), if self.committer.is_some() => {
                    store_failed(&self.connection, &failure);
                    ControlFlow::Continue(())
                }
                progress = poll_fn(|cx| match poll_linger(&mut self.linger, cx) {
                    Poll::Pending => self.phase.poll(cx, &self.connection, &mut self.dedup),
                    over => over,
                }) => self.on_progress(progress),
            };
            if let ControlFlow::Break(reason) = flow {
                return reason;
            }
        }
    }

    fn on_asked(&mut self, asked: Asked) -> Flow {
        if let Some(stop) = asked.stop {
            self.until = stop.deadline();
            return ControlFlow::Break(stop.into());
        }
        let goes_back = asked.resume.is_some();
        // In this order: who went back after a change has taken back what it said of the ID.
        asked.resume.into_iter().for_each(|resume| self.session.resume(resume));
        self.session.change(asked.request, asked.leave_id, asked.changes);
        if self.phase.is_loading() {
            // The first attempt carries whatever is asked before it.
        } else if goes_back || asked.reconnect || (asked.replace && !self.phase.is_reading()) {
            self.handle(Input::Reconnect { dialing: self.phase.is_dialing() })?;
        } else if asked.replace {
            self.handle(Input::Replace)?;
        }
        self.attend()
    }

    /// Looks who listens, on a stream for which that matters.
    fn attend(&mut self) -> Flow {
        if self.session.is_lazy() {
            let present = self.connection.hub.has_subscribers();
            return self.handle(Input::Demand { present });
        }
        ControlFlow::Continue(())
    }

    fn on_progress(&mut self, progress: Progress) -> Flow {
        match progress {
            Progress::Loaded(loaded) => self.on_loaded(loaded),
            Progress::WaitOver => self.handle(Input::Dial),
            Progress::LingerOver => self.handle(Input::LingerOver { waiting: self.phase.is_waiting() }),
            Progress::Turn(turn) => self.on_turn(turn),
            Progress::Dialed(Ok(Dialed::NoContent)) => self.handle(Input::NoContent),
            Progress::Dialed(Ok(Dialed::Open { head, body })) => {
                // Told before the next response is read: a gap has its place before the first event.
                let flow = match self.dedup.has_handover() {
                    true => self.replaced(head),
                    false => self.handle(Input::Accepted(head)),
                };
                self.read(body);
                flow
            }
            Progress::Dialed(Err(cause)) => {
                self.connection.counters.count_failure(&cause);
                self.ended(cause)
            }
            Progress::Succeeded(Ok(Dialed::Open { head, body })) => {
                let flow = self.replaced(head);
                self.read(body);
                flow
            }
            Progress::Succeeded(Ok(Dialed::NoContent)) => self.handle(Input::NoContent),
            Progress::Succeeded(Err(cause)) => {
                self.connection.counters.count_failure(&cause);
                self.handle(Input::NotReplaced { cause })
            }
        }
    }

    fn on_loaded(&mut self, loaded: Result<Option<String>, Error>) -> Flow {
        let lost = loaded.is_err();
        match loaded {
            Ok(Some(id)) => {
                self.session.restore(&id);
                self.committer.iter_mut().for_each(|committer| committer.loaded(id.clone()));
            }
            Ok(None) => {}
            Err(error) => store_failed(&self.connection, &error),
        }
        self.handle(Input::Loaded { lost })
    }

    fn read(&mut self, body: Box<Body>) {
        let config = self.session.config();
        let decoder = Decoder::new().max_event_size(config.max_event_size).last_event_id(self.session.last_event_id());
        let reading = Box::new(ResponseReader::new(body, decoder, config.idle_timeout));
        self.phase = Phase::Reading { reading, successor: None };
    }

    /// A response takes over from one that was read until now, or nearly.
    fn replaced(&mut self, head: ResponseHead) -> Flow {
        let gap = self.dedup.take_over();
        self.handle(Input::Replaced { head, gap })
    }

    fn on_turn(&mut self, turn: TurnReport) -> Flow {
        if turn.counts != TurnCounts::default() {
            let now = Instant::now();
            self.connection.counters.count_turn(turn.counts, now);
            if turn.counts.bytes > 0 {
                self.phase.reading().into_iter().for_each(|reading| reading.heard(now));
            }
        }
        if turn.id_changed {
            let id = self.connection.published.last_event_id();
            self.session.set_last_event_id(&id);
            self.committer.iter_mut().for_each(|committer| committer.moved(&id));
        }
        if let Some(milliseconds) = turn.retry {
            self.session.set_retry(milliseconds);
        }
        if turn.delivered {
            self.session.delivered();
        }
        self.session.brought(turn.first, turn.counts.new_events());
        let Some(ResponseEnd { cause, cut_off }) = turn.end else { return ControlFlow::Continue(()) };
        self.connection.counters.count_failure(&cause);
        match self.phase.take_successor() {
            None => {
                let cause = self.session.broke_off(cause, cut_off, Instant::now());
                self.ended(cause)
            }
            Some(successor) => {
                self.phase = Phase::Dialing(successor);
                self.handle(Input::Outlived)
            }
        }
    }

    fn ended(&mut self, cause: Error) -> Flow {
        if cause.kind() == ErrorKind::Poisoned {
            self.connection.counters.count_failure(&cause);
            log::poisoned(&cause);
        }
        // A date in a header is the one thing that needs the wall clock.
        let headers = cause.headers();
        let retry_after = headers.and_then(|headers| reconnect::retry_after(headers, self.connector.wall_clock()));
        let random = self.random.f64();
        self.handle(Input::Ended { cause, retry_after, random })
    }

    /// Asks the session what to do, does it, and tells everybody how the connection stands.
    fn handle(&mut self, input: Input) -> Flow {
        let now = Instant::now();
        let (step, state) = self.session.handle(input, now);
        if let Step::Read { gap, .. } = &step {
            self.count_response(gap.is_some());
        }
        // After the count: whoever waits for an open response finds it counted.
        if let Some(state) = state {
            log::state(&state);
            self.connection.announce(state);
        }
        match step {
            Step::Stay => {}
            Step::Begin => return self.begin(),
            Step::Linger { delay } => self.linger = Some(timer::sleep(now, delay)),
            Step::StopLingering => self.linger = None,
            Step::Sleep => self.phase = Phase::Idle,
            Step::Dial { attempt, reason, moved } => {
                self.dedup.forget_handovers();
                self.begin_anew(moved);
                self.phase = Phase::Dialing(self.dialing(*attempt, reason));
            }
            Step::DialBeside { attempt, reason, sent, elsewhere } => {
                let dialing = self.dialing(*attempt, reason);
                if self.phase.dial_beside(dialing) {
                    self.dedup.begin_handover(sent, elsewhere);
                }
            }
            Step::KeepReading { cause, change } => {
                self.dedup.cancel_handover();
                log::not_replaced(&cause);
                self.connection.published.set_failed_handover(FailedHandover { change, cause });
            }
            Step::Wait { delay } => self.phase = phase::waiting(now, delay),
            Step::Read { gap, moved } => {
                self.begin_anew(moved);
                self.publish_gap(gap);
            }
            Step::Close(reason) => return ControlFlow::Break(reason),
        }
        // Last: whoever waits for a change to take effect finds everything else done.
        self.connection.published.set_applied(self.session.applied());
        ControlFlow::Continue(())
    }

    /// If the stream has `moved`, tells whatever else knows where it stands: also if the ID is the one that it had,
    /// since events that inherit it come again then.
    fn begin_anew(&mut self, moved: bool) {
        if moved {
            let id = self.session.last_event_id();
            self.connection.published.set_last_event_id(&self.connection.hub.publisher(), id);
            self.connection.hub.restart(id);
            self.committer.iter_mut().for_each(|committer| committer.moved(id));
            self.dedup.forget_delivered();
        }
    }

    fn count_response(&self, after_a_gap: bool) {
        self.connection.counters.count_response(after_a_gap);
    }

    /// Tells queues of the gap before an accepted response, if there is one.
    fn publish_gap(&self, gap: Option<Gap>) {
        if let Some(gap) = gap {
            self.connection.hub.publisher().gap(None, &gap);
            self.connection.hub.wake();
        }
    }

    fn dialing(&self, mut attempt: Attempt, reason: CredentialsReason) -> Dialing {
        self.connection.counters.count_attempt();
        let connector = Arc::clone(&self.connector);
        let Some(credentials) = &self.credentials else {
            return Box::pin(transport::dial(connector, attempt));
        };
        let asking = credentials.ask(reason, std::mem::take(&mut attempt.headers), transport::LAST_EVENT_ID);
        Box::pin(async move {
            attempt.headers = asking.await?;
            transport::dial(connector, attempt).await
        })
    }
}
