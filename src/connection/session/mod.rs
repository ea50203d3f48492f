//! [`Session`]: every decision of a connection. No IO, no clock, no randomness.
//!
//! The one owner of last event ID ([`ResumePoint`]), reconnection time and back-off, and of the request that attempts carry.
//! Told what happened, as an [`Input`], it answers what to do, as a [`Step`].

mod demand;
mod opened;
mod poison;
mod resume_point;
mod step;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::connection::Resume;
use crate::connection::config::{Config, SERVER_RETRY};
use crate::connection::credentials::CredentialsReason;
use crate::connection::request::Request;
use crate::error::{Error, ErrorKind};
use crate::event::Gap;
use crate::reconnect::{Decision, Failure, ReconnectPolicy};
use crate::state::{CloseReason, ResponseHead, State};
use crate::transport::{self, Attempt};

use self::demand::Demand;
use self::opened::Opened;
use self::poison::Poison;
pub(super) use self::poison::{Fingerprint, fingerprint};
use self::resume_point::ResumePoint;
pub(super) use self::step::{Input, Step};
use super::timer;

pub(crate) struct Session {
    config: Config,
    place: ResumePoint,
    policy: ReconnectPolicy,
    reconnection_time: Duration,
    /// Waits in a row since the last healthy response.
    waits: u32,
    /// When the first failure of this row was.
    failing_since: Option<Instant>,
    /// Responses accepted so far: from the second on, subscribers are told.
    accepted: u64,
    /// Something was changed after the attempt under way was made.
    outdated: bool,
    /// How many changes have been taken, are in the attempt under way, and in a response.
    changes: Changes,
    /// There is a source of fresh credentials.
    has_credentials: bool,
    /// It has been asked because of a refusal, and no response has come since.
    asked_again: bool,
    /// Attempts so far.
    attempts: u64,
    demand: Demand,
    open: Option<Opened>,
    poison: Poison,
}

/// The numbers of the last changes that have come this far.
#[derive(Debug, Default, Clone, Copy)]
struct Changes {
    taken: u64,
    dialed: u64,
    applied: u64,
}

impl Session {
    pub(crate) fn new(config: Config, policy: ReconnectPolicy, has_credentials: bool) -> Self {
        Self {
            demand: Demand::new(config.linger),
            place: ResumePoint::new(config.last_event_id.clone()),
            reconnection_time: policy.initial_reconnection_time(),
            config,
            policy,
            waits: 0,
            failing_since: None,
            accepted: 0,
            outdated: false,
            changes: Changes::default(),
            has_credentials,
            asked_again: false,
            attempts: 0,
            open: None,
            poison: Poison::default(),
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn last_event_id(&self) -> &str {
        self.place.last_event_id()
    }

    /// Takes an input; answers what to do and how the connection stands then, if that has changed.
    pub(crate) fn handle(&mut self, input: Input, now: Instant) -> (Step, Option<State>) {
        match input {
            Input::Demand { present } => (self.demand.turn(present), None),
            Input::LingerOver { waiting } => {
                self.drop_response(now);
                self.demand.leave(waiting)
            }
            Input::Dial | Input::Reconnect { .. } if self.demand.is_away() => self.demand.end_wait(),
            Input::Load => (Step::Stay, Some(State::Connecting { attempt: self.attempt() })),
            Input::Loaded { lost } => {
                if lost {
                    self.place.lose();
                }
                (self.dial().0, None)
            }
            Input::Dial => self.dial(),
            Input::Reconnect { dialing: true } if !self.outdated => (Step::Stay, None),
            Input::Reconnect { .. } => {
                self.drop_response(now);
                // Also if it had broken off before.
                self.poison.forget();
                self.dial()
            }
            Input::Replace => (self.dial_beside(), None),
            Input::Replaced { head, gap } => self.replace(head, gap, now),
            Input::NotReplaced { cause } => (self.not_replaced(cause), None),
            Input::Outlived => {
                self.drop_response(now);
                (Step::Stay, Some(State::Connecting { attempt: self.attempt() }))
            }
            Input::Accepted(head) => self.accept(head, now),
            Input::NoContent => close(CloseReason::NoContent),
            Input::Ended { cause, retry_after, random } => self.ended(cause, retry_after, random, now),
        }
    }

    /// What the resume store says.
    pub(crate) fn restore(&mut self, id: &str) {
        self.place.restore(id);
    }

    /// The last event ID, as of the last block that came to its blank line.
    pub(crate) fn set_last_event_id(&mut self, id: &str) {
        self.place.advance(id);
    }

    /// The open response delivered an event: the server is well.
    pub(crate) fn delivered(&mut self) {
        if let Some(open) = &mut self.open {
            open.deliver();
        }
    }

    /// The open response brought so many `events` that are no repeats; `first`: the first of all, if it is among
    /// them.
    pub(crate) fn brought(&mut self, first: Option<Fingerprint>, events: u64) {
        if let Some(open) = &mut self.open {
            open.brought(first, events);
        }
    }

    /// The server's reconnection time, in milliseconds. Outlives the response.
    pub(crate) fn set_retry(&mut self, milliseconds: u64) {
        let (shortest, longest) = SERVER_RETRY;
        self.reconnection_time = Duration::from_millis(milliseconds).clamp(shortest, longest);
    }

    /// The request from the next attempt on. `leave_id`: whether the last event ID stays behind then, if that
    /// was said. `number`: up to which change this is.
    pub(crate) fn change(&mut self, request: Arc<Request>, leave_id: Option<bool>, number: u64) {
        if number == self.changes.taken {
            return;
        }
        self.changes.taken = number;
        self.outdated = true;
        if let Some(leave) = leave_id {
            self.place.leave(leave, number);
        }
        if request.target().uri() != self.config.request.target().uri() {
            self.poison.forget();
        }
        self.config.request = request;
    }

    /// Where the next response begins. The attempt under way, if there is one, will not do.
    pub(crate) fn resume(&mut self, resume: Resume) {
        self.outdated = true;
        if self.place.resume(resume) {
            self.poison.forget();
        }
    }

    /// The number of the last change that an accepted response's request carried.
    pub(crate) fn applied(&self) -> u64 {
        self.changes.applied
    }

    /// Whether it matters who listens.
    pub(crate) fn is_lazy(&self) -> bool {
        self.demand.matters()
    }

    /// Whether there has been an attempt.
    pub(crate) fn has_dialed(&self) -> bool {
        self.attempts > 0
    }

    fn dial(&mut self) -> (Step, Option<State>) {
        self.asked_again = false;
        let reason = if self.attempts == 0 { CredentialsReason::First } else { CredentialsReason::Reconnect };
        self.dial_because(reason)
    }

    fn dial_because(&mut self, reason: CredentialsReason) -> (Step, Option<State>) {
        let attempt = Box::new(self.next_attempt());
        // Nothing is read any more that could bring another ID.
        self.place.forget_if_left(self.changes.dialed);
        let step = Step::Dial { attempt, reason, moved: self.place.take_moved() };
        (step, Some(State::Connecting { attempt: self.attempt() }))
    }

    fn dial_beside(&mut self) -> Step {
        self.asked_again = false;
        self.dial_beside_because(CredentialsReason::Reconnect)
    }

    fn dial_beside_because(&mut self, reason: CredentialsReason) -> Step {
        let attempt = Box::new(self.next_attempt());
        Step::DialBeside { attempt, reason, sent: self.place.sent(), elsewhere: self.place.is_left_behind() }
    }

    fn next_attempt(&mut self) -> Attempt {
        self.outdated = false;
        self.attempts += 1;
        self.changes.dialed = self.changes.taken;
        let headers = self.headers();
        self.config.attempt(headers)
    }

    /// Once for each attempt: a refusal of fresh credentials is for the policy to judge.
    fn refused(&mut self, cause: &Error) -> Option<CredentialsReason> {
        let reason = CredentialsReason::rejected(cause).filter(|_| self.has_credentials && !self.asked_again)?;
        self.asked_again = true;
        Some(reason)
    }

    fn not_replaced(&mut self, cause: Error) -> Step {
        match self.refused(&cause) {
            Some(reason) => self.dial_beside_because(reason),
            None => {
                // The change goes with the next attempt.
                self.outdated = true;
                Step::KeepReading { cause, change: self.changes.dialed }
            }
        }
    }

    fn replace(&mut self, head: ResponseHead, gap: Option<Gap>, now: Instant) -> (Step, Option<State>) {
        self.drop_response(now);
        // Not before: until now the response before was read, whose IDs these are.
        self.place.forget_if_left(self.changes.dialed);
        let (_, state) = self.accept(head, now);
        (Step::Read { gap, moved: self.place.take_moved() }, state)
    }

    /// The caller's headers, and the last event ID if there is one that HTTP can carry.
    fn headers(&mut self) -> HeaderMap {
        let mut headers = self.config.request.headers();
        if let Some(id) = self.place.send() {
            headers.insert(transport::LAST_EVENT_ID, id);
        }
        headers
    }

    fn accept(&mut self, head: ResponseHead, now: Instant) -> (Step, Option<State>) {
        self.open = Some(Opened::new(now, self.last_event_id().to_owned()));
        self.accepted += 1;
        self.asked_again = false;
        self.changes.applied = self.changes.dialed;
        let is_seam = self.place.take_lost() || self.accepted > 1;
        let gap = is_seam.then(|| Gap::Reconnected { sent: self.place.sent() });
        let (attempt, response) = (self.attempt(), Arc::new(head));
        (Step::Read { gap, moved: false }, Some(State::Open { since: now, attempt, response }))
    }

    fn ended(
        &mut self,
        cause: Error,
        retry_after: Option<Duration>,
        random: f64,
        now: Instant,
    ) -> (Step, Option<State>) {
        if let Some(reason) = self.refused(&cause) {
            return self.dial_because(reason);
        }
        let open_for = self.end_response(now);
        let failing_since = *self.failing_since.get_or_insert(now);
        let failure = Failure {
            error: &cause,
            retries: self.waits,
            reconnection_time: self.reconnection_time,
            retry_after,
            open_for,
            failing_for: now.saturating_duration_since(failing_since),
            suggestion: Decision::Stop,
        };
        let first_failed = self.config.first_attempt_counts && self.accepted == 0;
        match self.policy.decide(failure, random) {
            Decision::RetryAfter(delay) if !first_failed => self.wait(cause, delay, now),
            Decision::Stop if cause.kind() == ErrorKind::EndOfStream && self.policy.is_for_one_response() => {
                close(CloseReason::EndOfStream)
            }
            _ => close(CloseReason::Failed(cause)),
        }
    }

    fn wait(&mut self, cause: Error, delay: Duration, now: Instant) -> (Step, Option<State>) {
        self.waits = self.waits.saturating_add(1);
        // A caller may set any reconnection time: what no clock can hold is far enough away.
        let until = timer::after(now, delay);
        (Step::Wait { delay }, Some(State::Waiting { attempt: self.attempt(), delay, until, cause }))
    }

    /// The open response broke off; `cut_off`: within a block. The cause, or that the stream is poisoned.
    pub(crate) fn broke_off(&mut self, cause: Error, cut_off: bool, now: Instant) -> Error {
        let Some(open) = &self.open else { return cause };
        if self.outdated {
            // What is asked for next is something else.
            self.poison.forget();
            return cause;
        }
        // The silence that ended it does not make it a healthy one: few idle timeouts are shorter than that takes.
        let silence = self.config.idle_timeout.filter(|_| cause.kind() == ErrorKind::IdleTimeout);
        let lively_for = open.open_for(now).saturating_sub(silence.unwrap_or_default());
        let short = !self.policy.was_healthy(false, lively_for);
        self.poison.judge(cause, &open.broken(cut_off, short, self.place.last_event_id()))
    }

    /// The open response, if there is one, is ended by something else than a failure.
    fn drop_response(&mut self, now: Instant) {
        if self.end_response(now).is_some() {
            self.poison.forget();
        }
    }

    /// The open response, if there was one, is over: a healthy one ends the row of waits. How long it
    /// was open.
    fn end_response(&mut self, now: Instant) -> Option<Duration> {
        let open = self.open.take()?;
        let open_for = open.open_for(now);
        if self.policy.was_healthy(open.has_delivered(), open_for) {
            self.waits = 0;
            self.failing_since = None;
        }
        Some(open_for)
    }

    fn attempt(&self) -> u32 {
        self.waits.saturating_add(1)
    }
}

fn close(reason: CloseReason) -> (Step, Option<State>) {
    // The actor announces the end itself, at its one exit.
    (Step::Close(reason), None)
}
