//! [`Demand`]: whether somebody listens, for a stream that is open only then.
//!
//! ```text
//! Away ---> Here ---> Lingering ---> Away
//!             ^-----------+
//! ```

use std::time::Duration;

use crate::state::State;

use super::step::Step;

pub(in crate::connection) struct Demand {
    /// `None`: it is of no concern who listens.
    linger: Option<Duration>,
    presence: Presence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// Nobody listens, and nothing is open or under way.
    Away,
    /// Nobody listens, and the wait after a failure goes on: or whoever comes and goes would cut it short each time.
    AwayWaiting,
    Here,
    /// Nobody listens any more, but that may pass.
    Lingering,
}

impl Demand {
    pub(in crate::connection) fn new(linger: Option<Duration>) -> Self {
        let presence = if linger.is_some() { Presence::Away } else { Presence::Here };
        Self { linger, presence }
    }

    pub(in crate::connection) fn matters(&self) -> bool {
        self.linger.is_some()
    }

    /// Nobody listens, and nobody is waited for.
    pub(in crate::connection) fn is_away(&self) -> bool {
        matches!(self.presence, Presence::Away | Presence::AwayWaiting)
    }

    /// Somebody listens now, or nobody.
    pub(in crate::connection) fn turn(&mut self, present: bool) -> Step {
        let Some(delay) = self.linger else { return Step::Stay };
        let (presence, step) = match (self.presence, present) {
            (Presence::Away, true) => (Presence::Here, Step::Begin),
            (Presence::AwayWaiting, true) => (Presence::Here, Step::Stay),
            (Presence::Lingering, true) => (Presence::Here, Step::StopLingering),
            (Presence::Here, false) => (Presence::Lingering, Step::Linger { delay }),
            (presence, _) => (presence, Step::Stay),
        };
        self.presence = presence;
        step
    }

    /// Nobody has come back in time. `waiting`: for the next attempt.
    pub(in crate::connection) fn leave(&mut self, waiting: bool) -> (Step, Option<State>) {
        self.presence = Presence::AwayWaiting;
        if waiting { (Step::Stay, None) } else { self.end_wait() }
    }

    /// Nobody would listen to the response for which somebody, or the time, has asked.
    pub(in crate::connection) fn end_wait(&mut self) -> (Step, Option<State>) {
        match std::mem::replace(&mut self.presence, Presence::Away) {
            Presence::AwayWaiting => (Step::Sleep, Some(State::Idle)),
            // There is no wait.
            _ => (Step::Stay, None),
        }
    }
}
