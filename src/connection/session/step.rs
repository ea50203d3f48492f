//! [`Input`] and [`Step`]: what the actor tells the session, and what it is told to do.

use std::time::Duration;

use crate::connection::credentials::CredentialsReason;
use crate::error::Error;
use crate::event::Gap;
use crate::state::{CloseReason, ResponseHead};
use crate::transport::Attempt;

/// What happened.
pub(crate) enum Input {
    /// A stream for which that matters has somebody who listens now, or nobody.
    Demand { present: bool },
    /// Nobody has come back in time. `waiting`: the phase is a wait.
    LingerOver { waiting: bool },
    /// `connect` was called, and the resume store is asked where to begin.
    Load,
    /// It has answered. `lost`: it could not say where.
    Loaded { lost: bool },
    /// `connect` was called, or the wait is over.
    Dial,
    /// A response was accepted.
    Accepted(ResponseHead),
    /// The server answered 204.
    NoContent,
    /// An attempt or an open response ended.
    Ended {
        cause: Error,
        /// What the refused response asked for.
        retry_after: Option<Duration>,
        /// In `0.0..1.0`: spreads the wait.
        random: f64,
    },
    /// A caller wants a new response. `dialing`: an attempt is under way.
    Reconnect { dialing: bool },
    /// A caller wants a new response beside the open one.
    Replace,
    /// The response beside the open one was accepted. `gap`: it does not follow on.
    Replaced { head: ResponseHead, gap: Option<Gap> },
    /// There is no response beside the open one.
    NotReplaced { cause: Error },
    /// The open response ended while the attempt beside it is under way.
    Outlived,
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Step {
    /// Go on as before.
    Stay,
    /// Begin, or begin again: the first attempt is preceded by a look into the resume store, if there is one.
    Begin,
    /// Go on as before for so long: nobody listens.
    Linger {
        delay: Duration,
    },
    /// Go on as before: somebody listens again.
    StopLingering,
    /// Drop whatever is open or under way, until somebody listens.
    Sleep,
    /// Dial. `moved`: the stream goes on after another last event ID than the newest that was published, or
    /// after that once more: what came since is no concern any more.
    Dial {
        attempt: Box<Attempt>,
        reason: CredentialsReason,
        moved: bool,
    },
    /// Dial beside the open response. `sent`: the last event ID that goes along. `elsewhere`: the IDs of the open response
    /// mean nothing there.
    DialBeside {
        attempt: Box<Attempt>,
        reason: CredentialsReason,
        sent: Option<String>,
        elsewhere: bool,
    },
    /// Stay with the open response, since the attempt beside it failed.
    KeepReading {
        cause: Error,
        /// The last change that it carried.
        change: u64,
    },
    /// Read the response; tell subscribers of the gap before it, if there is one. `moved`: as above.
    Read {
        gap: Option<Gap>,
        moved: bool,
    },
    Wait {
        delay: Duration,
    },
    Close(CloseReason),
}
