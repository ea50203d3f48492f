//! [`Audience`]: whether somebody listens, for a stream that is open only then.
//!
//! ```text
//! Away ---> Here ---> Lingering ---> Away
//!             ^-----------+
//! ```

use std::time::Duration;

pub(super) struct Audience {
    /// `None`: it is of no concern who listens.
    linger: Option<Duration>,
    presence: Presence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// Nobody listens, and nothing is open or under way.
    Away,
    /// Nobody listens, and the wait after a failure goes on: whoever comes does not cut it short.
    AwayWaiting,
    Here,
    /// Nobody listens any more, but that may pass.
    Lingering,
}

/// What a change means for the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Nothing,
    /// The first has come.
    Begin,
    /// The last has left: the connection stays for so long.
    Linger(Duration),
    /// Somebody has come back meanwhile.
    Stay,
}

impl Audience {
    pub(super) fn new(linger: Option<Duration>) -> Self {
        let presence = if linger.is_some() { Presence::Away } else { Presence::Here };
        Self { linger, presence }
    }

    pub(super) fn matters(&self) -> bool {
        self.linger.is_some()
    }

    /// Nobody listens, and nobody is waited for.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.presence, Presence::Away | Presence::AwayWaiting)
    }

    /// Somebody listens now, or nobody.
    pub(super) fn turn(&mut self, present: bool) -> Turn {
        let Some(linger) = self.linger else { return Turn::Nothing };
        let (presence, turn) = match (self.presence, present) {
            (Presence::Away, true) => (Presence::Here, Turn::Begin),
            (Presence::AwayWaiting, true) => (Presence::Here, Turn::Nothing),
            (Presence::Lingering, true) => (Presence::Here, Turn::Stay),
            (Presence::Here, false) => (Presence::Lingering, Turn::Linger(linger)),
            (presence, _) => (presence, Turn::Nothing),
        };
        self.presence = presence;
        turn
    }

    /// Nobody has come back in time. `waiting`: for the next attempt.
    pub(super) fn leave(&mut self, waiting: bool) {
        self.presence = if waiting { Presence::AwayWaiting } else { Presence::Away };
    }

    /// The wait after a failure is over, or is to end; whether there was one.
    pub(super) fn end_wait(&mut self) -> bool {
        std::mem::replace(&mut self.presence, Presence::Away) == Presence::AwayWaiting
    }
}
