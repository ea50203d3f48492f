//! [`Session`]: every decision of a connection. Pure: no IO, no clock, no randomness, no logs.
//!
//! The session is the one owner of the last event ID ([`ResumePoint`]), the request, the
//! reconnection time and the back-off. [`Session::handle`] is the only method that changes it: the
//! actor says what has happened, as an [`Input`], and gets what to do, as a [`Step`]. The other
//! methods read.
//!
//! The actor begins with `Asked` (what handles asked for before `connect`), on a lazy stream
//! `Demand`, and then `Connect`. From then on it hands in what happens, as it happens:
//!
//! | input | when | steps that may follow |
//! |---|---|---|
//! | `Connect` | once, at the beginning | `Load`, `Dial` |
//! | `Asked` | handles have asked for something; in any phase | `Dial`, `BeginHandover`, `Sleep` |
//! | `Demand` | after each `Asked`, on a lazy stream | `Load`, `Dial`, `Linger`, `StopLingering` |
//! | `LingerOver` | the time of a `Linger` is over | `Sleep` |
//! | `Loaded` | after `Load` | `Dial` |
//! | `Accepted` | after `Dial` or `BeginHandover` | `Read`, `TakeOver` |
//! | `NoContent` | after `Dial` or `BeginHandover` | `Close` |
//! | `Failed` | after `Dial` or `BeginHandover` | `Wait`, `Close`, `Dial`, `BeginHandover`, `CancelHandover` |
//! | `Turn` | after each turn of reading | none |
//! | `EndMark` | after the `Turn` that brought it | `Close` |
//! | `Ended` | after the last `Turn` of a response | `Wait`, `Close`, `ContinueHandover` |
//! | `WaitOver` | after `Wait` | `Dial`, `Sleep` |
//!
//! Each input may also lead to `Stay`. The actor carries out the parts of a step in this order:
//! notice, state, restart, action. After `Close` there is no further input.

mod activity;
mod back_off;
mod health;
mod resume_point;
mod step;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::config::Config;
use crate::connection::credentials::CredentialsReason;
use crate::connection::mailbox::Asked;
use crate::connection::next_attempt::{AttemptFacts, NextAttempt};
use crate::connection::request::Request;
use crate::connection::timer;
use crate::connection::{Apply, RefusedId};
use crate::error::{Error, ErrorKind};
use crate::event::Gap;
use crate::reconnect::{Decision, Failure, ReconnectPolicy};
use crate::response::ResponseHead;
use crate::state::{CloseReason, State};
use crate::transport;

use self::activity::{Activity, Demand};
use self::back_off::BackOff;
use self::health::{Breakage, Health, Poison};
use self::resume_point::ResumePoint;
pub(super) use self::step::{Action, Input, Notice, ResponseEnd, Step, TurnReport, fingerprint};

/// The decisions of one connection: see the [module](self).
pub(super) struct Session {
    pub(super) config: Config,
    activity: Activity,
    resume_point: ResumePoint,
    back_off: BackOff,
    poison: Poison,
    demand: Demand,
    sources: Sources,
    /// The last failure since a response was accepted.
    failure: Option<Error>,
    /// The credentials were refused, and the attempt under way carries fresh ones.
    has_fresh_credentials: bool,
    /// Attempts so far.
    attempts: u64,
    /// Responses accepted so far.
    accepted: u64,
    /// The number of the last change that is part of the request.
    last_change: u64,
    /// The number of the last change that the attempt under way, or the open response's request,
    /// carries.
    carried_change: u64,
    /// Another request or resume point was asked for after the attempt under way was made.
    is_outdated: bool,
}

/// The caller's sources that the actor can ask.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Sources {
    /// A hook before each attempt, a source of credentials, or both: they can give fresh ones.
    pub(super) hooks: bool,
    pub(super) store: bool,
}

impl Session {
    pub(super) fn new(config: Config, policy: ReconnectPolicy, sources: Sources) -> Self {
        Self {
            activity: Activity::Idle,
            resume_point: ResumePoint::new(config.last_event_id.clone()),
            back_off: BackOff::new(policy),
            poison: Poison::default(),
            demand: if config.linger.is_some() { Demand::Absent } else { Demand::Present },
            sources,
            failure: None,
            has_fresh_credentials: false,
            attempts: 0,
            accepted: 0,
            last_change: 0,
            carried_change: 0,
            is_outdated: false,
            config,
        }
    }

    pub(super) fn last_event_id(&self) -> &str {
        self.resume_point.last_event_id()
    }

    /// Returns the last event ID that the last attempt carried.
    pub(super) fn sent_id(&self) -> Option<&str> {
        self.resume_point.sent.as_deref()
    }

    /// Returns true if the stream is open only while there are subscribers.
    pub(super) fn is_lazy(&self) -> bool {
        self.config.linger.is_some()
    }

    /// Decides what to do about an input.
    pub(super) fn handle(&mut self, input: Input<'_>, now: Instant) -> Step {
        match input {
            // A lazy stream begins with a `Demand`.
            Input::Connect if self.is_lazy() => Step::stay(),
            Input::Connect => self.begin(),
            Input::Asked(asked) => self.on_asked(asked, now),
            Input::Demand { present } => self.on_demand(present),
            Input::LingerOver => self.on_linger_over(now),
            Input::Loaded(loaded) => {
                self.resume_point.load(loaded);
                // `Load` has announced the attempt.
                Step { state: None, ..self.dial() }
            }
            Input::WaitOver if self.demand == Demand::Absent => self.sleep(),
            Input::WaitOver => self.dial(),
            Input::Accepted { head, repeated_after } => self.accept(head, repeated_after, now),
            Input::NoContent => Step::close(CloseReason::NoContent),
            Input::Failed { cause, retry_after, random } => self.on_failed(cause, retry_after, random, now),
            Input::Turn { report, last_event_id } => self.on_turn(report, last_event_id, now),
            Input::EndMark => Step::close(CloseReason::EndMark),
            Input::Ended { cause, cut_off, random } => self.on_ended(cause, cut_off, random, now),
        }
    }

    /// Begins, or begins again after a lazy stream was idle.
    fn begin(&mut self) -> Step {
        // Once. A lazy stream that begins again has an ID that is newer than the saved one.
        if self.sources.store && self.attempts == 0 {
            self.activity = Activity::Loading;
            return Step { state: Some(self.connecting()), ..Step::from(Action::Load) };
        }
        self.dial()
    }

    /// Takes what handles ask for. An attempt under way will do for a reconnect, unless it is
    /// outdated; `reconnect_from` always outdates it.
    fn on_asked(&mut self, asked: Asked, now: Instant) -> Step {
        let mut response = asked.response;
        // Resume before change: a `reconnect_from` after a change has revoked what that said of the
        // ID.
        if let Some(resume) = asked.resume {
            response = Apply::Reconnect;
            // The attempt under way asks for something else, and earlier breaks say nothing about
            // what comes after the ID that the caller has chosen.
            self.is_outdated = true;
            self.poison.forget();
            self.resume_point.choose(resume);
        }
        self.change(asked.request, asked.leave_id, asked.changes);
        match (response, &self.activity) {
            // The first attempt carries what is asked before it.
            (Apply::NextAttempt, _) | (_, Activity::Idle | Activity::Loading) => Step::stay(),
            (Apply::MakeBeforeBreak, Activity::Open(_) | Activity::HandingOver(Some(_))) => {
                self.has_fresh_credentials = false;
                self.resume_point.is_withheld = false;
                self.begin_handover(CredentialsReason::Reconnect)
            }
            (Apply::MakeBeforeBreak | Apply::Reconnect, _) => self.reconnect(now),
        }
    }

    /// Takes the request for the next attempt, which includes all changes up to `number`.
    fn change(&mut self, request: Arc<Request>, leave_id: Option<bool>, number: u64) {
        // The mailbox hands in the request each time, changed or not.
        if number == self.last_change {
            return;
        }
        self.last_change = number;
        self.is_outdated = true;
        if let Some(leave) = leave_id {
            self.resume_point.leave_behind(leave, number);
        }
        // Another URL is another stream, which may be a healthy one.
        if request.target().uri() != self.config.request.target().uri() {
            self.poison.forget();
        }
        self.config.request = request;
    }

    /// Dials at once, in place of what is open or under way.
    fn reconnect(&mut self, now: Instant) -> Step {
        if self.demand == Demand::Absent {
            return self.sleep();
        }
        let is_connecting = matches!(self.activity, Activity::Connecting | Activity::HandingOver(None));
        if is_connecting && !self.is_outdated {
            return Step::stay();
        }
        self.drop_response(now);
        // Also if the response has ended before.
        self.poison.forget();
        self.dial()
    }

    /// Begins with the first subscriber, and lingers after the last.
    fn on_demand(&mut self, present: bool) -> Step {
        let before = self.demand;
        self.demand = match before {
            _ if present => Demand::Present,
            Demand::Present => Demand::Lingering,
            unchanged => unchanged,
        };
        match (before, self.demand) {
            // A wait after a failure goes on without subscribers, or each new one would cut it
            // short.
            (Demand::Absent, Demand::Present) if matches!(self.activity, Activity::Idle) => self.begin(),
            (Demand::Lingering, Demand::Present) => Action::StopLingering.into(),
            (Demand::Present, Demand::Lingering) => {
                Action::Linger { delay: self.config.linger.unwrap_or_default() }.into()
            }
            _ => Step::stay(),
        }
    }

    /// Gives up what is open or under way. A wait goes on: it protects the server.
    fn on_linger_over(&mut self, now: Instant) -> Step {
        self.demand = Demand::Absent;
        if let Activity::Waiting = self.activity {
            return Step::stay();
        }
        self.drop_response(now);
        self.fall_asleep()
    }

    /// Ends a wait without an attempt, because there is no subscriber.
    fn sleep(&mut self) -> Step {
        if let Activity::Waiting = self.activity { self.fall_asleep() } else { Step::stay() }
    }

    /// Becomes idle until there is a subscriber. The last event ID is kept.
    fn fall_asleep(&mut self) -> Step {
        self.activity = Activity::Idle;
        Step { state: Some(State::Idle), ..Step::from(Action::Sleep) }
    }

    /// Makes an ordinary attempt, for which credentials may be asked for once more.
    fn dial(&mut self) -> Step {
        self.has_fresh_credentials = false;
        self.resume_point.is_withheld = false;
        let is_first = self.attempts == 0;
        self.dial_because(if is_first { CredentialsReason::First } else { CredentialsReason::Reconnect })
    }

    /// Makes an attempt, in place of what is open or under way.
    fn dial_because(&mut self, reason: CredentialsReason) -> Step {
        let (attempt, notice) = self.next_attempt(reason);
        self.activity = Activity::Connecting;
        // No response is read any more that could bring another ID.
        self.resume_point.forget_if_left_behind(self.carried_change);
        Step {
            notice,
            state: Some(self.connecting()),
            restarts: self.resume_point.take_moved(),
            action: Action::Dial { attempt },
        }
    }

    /// Makes an attempt whose response will take over from the open one, which is read until then.
    fn begin_handover(&mut self, reason: CredentialsReason) -> Step {
        let (attempt, notice) = self.next_attempt(reason);
        self.activity = Activity::HandingOver(self.activity.take_health());
        // A server that no longer knows the ID may use the same IDs for other events.
        let is_unrelated = self.resume_point.is_left_behind || self.resume_point.is_withheld;
        Step { notice, ..Step::from(Action::BeginHandover { attempt, is_unrelated }) }
    }

    /// Returns an attempt with the present request and the last event ID, and notes what it
    /// carries.
    fn next_attempt(&mut self, reason: CredentialsReason) -> (NextAttempt, Option<Notice>) {
        self.is_outdated = false;
        self.attempts += 1;
        self.carried_change = self.last_change;
        let mut attempt = Box::new(self.config.request.attempt());
        let mut notice = None;
        match self.resume_point.next_value() {
            Ok(Some(id)) => drop(attempt.request.headers.insert(transport::LAST_EVENT_ID, id)),
            Ok(None) => {}
            // Never fatal: the ID is the server's choice. The gap will say that none was sent.
            Err(error) => notice = Some(Notice::IdLeftOut(error)),
        }
        let (last_event_id, failure) = (self.resume_point.sent.clone(), self.failure.clone());
        let facts = AttemptFacts { number: self.back_off.attempt(), reason, last_event_id, failure };
        (NextAttempt::from_parts(attempt, facts), notice)
    }

    /// Opens a response. Subscribers get a gap before each but the first: the server alone knows
    /// whether it has resumed without loss.
    fn accept(&mut self, head: ResponseHead, repeated_after: Option<Error>, now: Instant) -> Step {
        // Asked before the activity changes, which is what tells a handover from an ordinary
        // attempt.
        let takes_over = matches!(self.activity, Activity::HandingOver(_));
        if takes_over {
            self.drop_response(now);
            // Not before: until now the first response was read, whose IDs these are.
            self.resume_point.forget_if_left_behind(self.carried_change);
        }
        self.resume_point.forget_if_withheld();
        if repeated_after.is_some_and(|error| self.back_off.policy.may_have_missed(&error)) {
            self.resume_point.lose();
        }
        // With its ID at the beginning: a response that ends with the same one got nowhere.
        self.activity = Activity::Open(Health::new(now, self.last_event_id().to_owned()));
        self.accepted += 1;
        self.failure = None;
        self.has_fresh_credentials = false;
        let is_after_a_gap = self.resume_point.take_lost() || self.accepted > 1;
        let gap = is_after_a_gap.then(|| Gap::Reconnected { sent: self.resume_point.sent.clone() });
        let change = self.carried_change;
        Step {
            notice: None,
            state: Some(State::Open { since: now, attempt: self.back_off.attempt(), response: Arc::new(head) }),
            restarts: self.resume_point.take_moved(),
            action: if takes_over { Action::TakeOver { change } } else { Action::Read { gap, change } },
        }
    }

    /// Decides about a failed attempt: fresh credentials, an attempt without the last event ID, the
    /// open response if there is one, or the policy.
    fn on_failed(&mut self, cause: Error, retry_after: Option<Duration>, random: f64, now: Instant) -> Step {
        let is_reading = matches!(self.activity, Activity::HandingOver(Some(_)));
        let may_refuse_id = self.resume_point.may_be_refused(&cause);
        let starts_fresh = may_refuse_id && self.config.refused_id == RefusedId::StartFresh;
        let cause = if may_refuse_id && !starts_fresh { self.resume_point.explain_refusal(cause) } else { cause };
        self.failure = Some(cause.clone());
        match self.ask_for_credentials(&cause) {
            Some(reason) => self.try_once_more(reason),
            None if starts_fresh => self.withhold_id(cause),
            None if is_reading => self.cancel_handover(cause),
            None => self.wait_or_close(cause, retry_after, None, random, now),
        }
    }

    /// Makes an attempt in place of one that has failed, at once. The open response goes on, if
    /// there is one.
    fn try_once_more(&mut self, reason: CredentialsReason) -> Step {
        if let Activity::HandingOver(Some(_)) = self.activity {
            self.begin_handover(reason)
        } else {
            self.dial_because(reason)
        }
    }

    /// Makes an attempt without the last event ID, which the server has refused.
    fn withhold_id(&mut self, refusal: Error) -> Step {
        self.resume_point.is_withheld = true;
        Step { notice: Some(Notice::IdRefused(refusal)), ..self.try_once_more(CredentialsReason::Reconnect) }
    }

    /// Stays with the first response. The changes go with the next attempt.
    fn cancel_handover(&mut self, cause: Error) -> Step {
        if let Some(health) = self.activity.take_health() {
            self.activity = Activity::Open(health);
        }
        self.is_outdated = true;
        Action::CancelHandover { cause, change: self.carried_change }.into()
    }

    /// Takes the news of a turn. Runs once a turn, so it must not allocate.
    fn on_turn(&mut self, report: &TurnReport, last_event_id: Option<&str>, now: Instant) -> Step {
        if let Some(id) = last_event_id {
            self.resume_point.advance(id);
        }
        if let Some(milliseconds) = report.retry {
            self.back_off.set_server_retry(milliseconds);
        }
        if let Activity::Open(health) | Activity::HandingOver(Some(health)) = &mut self.activity {
            health.note(report, now);
        }
        Step::stay()
    }

    /// Decides about the end of the open response. During a handover it is no failure: the attempt
    /// under way goes on.
    fn on_ended(&mut self, cause: Error, cut_off: bool, random: f64, now: Instant) -> Step {
        if let Activity::HandingOver(_) = self.activity {
            self.drop_response(now);
            self.activity = Activity::HandingOver(None);
            self.failure = Some(cause);
            return Step { state: Some(self.connecting()), ..Step::from(Action::ContinueHandover) };
        }
        let Some(health) = self.activity.take_health() else { return Step::stay() };
        let (is_well, open_for) = (health.is_well(cause.kind()), health.open_for(now));
        let cause = self.judge(cause, cut_off, &health, now);
        self.failure = Some(cause.clone());
        let notice = (cause.kind() == ErrorKind::Poisoned).then(|| Notice::Poisoned(cause.clone()));
        self.back_off.response_ended(is_well, open_for);
        Step { notice, ..self.wait_or_close(cause, None, Some(open_for), random, now) }
    }

    /// Returns the cause of an end, or that the stream is poisoned.
    fn judge(&mut self, cause: Error, cut_off: bool, health: &Health, now: Instant) -> Error {
        if self.is_outdated {
            // The next attempt asks for something else.
            self.poison.forget();
            return cause;
        }
        // The silence that ended a response does not make it a healthy one: most idle timeouts are
        // longer than that takes.
        let silence = self.config.idle_timeout.filter(|_| cause.kind() == ErrorKind::IdleTimeout);
        let lively_for = health.open_for(now).saturating_sub(silence.unwrap_or_default());
        let is_short = !self.back_off.policy.was_healthy(false, lively_for);
        let last_event_id = self.resume_point.last_event_id();
        let after_event = health.has_just_delivered(now);
        self.poison.judge(cause, &Breakage { health, last_event_id, cut_off, after_event, is_short })
    }

    /// Asks the policy whether to try again. Each failure that is not answered otherwise ends here.
    fn wait_or_close(
        &mut self,
        cause: Error,
        retry_after: Option<Duration>,
        open_for: Option<Duration>,
        random: f64,
        now: Instant,
    ) -> Step {
        if self.back_off.policy.may_have_missed(&cause) {
            self.resume_point.lose();
        }
        // `open` promises a stream or an error, so the first failure is final for it.
        let first_failed = self.config.first_attempt_counts && self.accepted == 0;
        let last_event_id = self.resume_point.last_event_id();
        let failure = Failure { retry_after, open_for, last_event_id, ..Failure::new(&cause) };
        match self.back_off.decide(failure, random, now) {
            Decision::RetryAfter(delay) if !first_failed => {
                self.activity = Activity::Waiting;
                self.back_off.count_wait();
                let (attempt, until) = (self.back_off.attempt(), timer::after(now, delay));
                let state = State::Waiting { attempt, delay, until, cause };
                Step { state: Some(state), ..Step::from(Action::Wait { delay }) }
            }
            // With a policy that never retries the caller wants one response, and has had it.
            Decision::Stop if cause.kind() == ErrorKind::EndOfStream && self.back_off.policy.is_for_one_response() => {
                Step::close(CloseReason::EndOfStream)
            }
            Decision::RetryAfter(_) | Decision::Stop => {
                Step::close(CloseReason::Failed(cause.given_up_after(self.back_off.attempt())))
            }
        }
    }

    /// Ends the open response, if there is one, for another reason than a failure.
    fn drop_response(&mut self, now: Instant) {
        if let Some(health) = self.activity.take_health() {
            self.back_off.response_ended(health.has_delivered, health.open_for(now));
            // The client ends this response, so it says nothing about the place at which the server
            // breaks off.
            self.poison.forget();
        }
    }

    /// Returns the reason to ask for fresh credentials, once for each attempt. The policy judges a
    /// second refusal.
    fn ask_for_credentials(&mut self, cause: &Error) -> Option<CredentialsReason> {
        let may_ask = self.sources.hooks && !self.has_fresh_credentials;
        let reason = CredentialsReason::of_refusal(cause).filter(|_| may_ask)?;
        self.has_fresh_credentials = true;
        Some(reason)
    }

    /// The state of an attempt.
    fn connecting(&self) -> State {
        State::Connecting { attempt: self.back_off.attempt() }
    }
}
