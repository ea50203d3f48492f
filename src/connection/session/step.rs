//! [`Input`] and [`Step`]: what the actor tells the session, and what it has to do then.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::connection::mailbox::Asked;
use crate::connection::next_attempt::NextAttempt;
use crate::connection::stats::TurnCounts;
use crate::error::Error;
use crate::event::Gap;
use crate::response::ResponseHead;
use crate::state::{CloseReason, State};
use crate::wire::EventFrame;

/// Something that has happened.
#[derive(Debug)]
pub(crate) enum Input<'a> {
    /// `connect` was called.
    Connect,
    /// Handles have asked for something. The session does not look at `stop`.
    Asked(Asked),
    /// A lazy stream has subscribers now, or has none.
    Demand { present: bool },
    /// A lazy stream has had no subscriber for as long as it lingers.
    LingerOver,
    /// The resume store has said where to begin.
    Loaded(Result<Option<String>, Error>),
    /// The wait before the next attempt is over.
    WaitOver,
    /// The attempt under way has led to an open response.
    Accepted {
        head: ResponseHead,
        /// The failure after which the request was sent once more, if it was.
        repeated_after: Option<Error>,
    },
    /// The server has answered 204.
    NoContent,
    /// The attempt under way has failed.
    Failed {
        cause: Error,
        /// The `Retry-After` of the refused response.
        retry_after: Option<Duration>,
        /// In `0.0..1.0`: spreads the wait.
        random: f64,
    },
    /// The open response was read, and its events were published.
    Turn {
        report: &'a TurnReport,
        /// The last event ID, if it has changed: that of the last block that came to its blank
        /// line.
        last_event_id: Option<&'a str>,
    },
    /// The end mark has come.
    EndMark,
    /// The open response has ended, `cut_off` within a block.
    Ended {
        cause: Error,
        cut_off: bool,
        /// In `0.0..1.0`: spreads the wait.
        random: f64,
    },
}

/// The news of one turn of reading. Its events have been published.
#[derive(Debug, Default)]
pub(crate) struct TurnReport {
    pub(crate) counts: TurnCounts,
    /// The response's first event that was no repeat, if it came in this turn.
    pub(crate) first: Option<Fingerprint>,
    /// The published last event ID has changed.
    pub(crate) id_changed: bool,
    /// The server's reconnection time, in milliseconds: the last valid `retry`.
    pub(crate) retry: Option<u64>,
    /// The end mark has come. The session gets this as an input of its own, and so is the end.
    pub(crate) end_mark: bool,
    /// Set if the response is over.
    pub(crate) end: Option<ResponseEnd>,
}

/// The end of a response.
#[derive(Debug)]
pub(crate) struct ResponseEnd {
    pub(crate) cause: Error,
    /// It ended within a block.
    pub(crate) cut_off: bool,
}

/// A hash of an event. Two events with the same hash are taken for one, which a server can only use
/// to poison itself.
pub(in crate::connection) type Fingerprint = u64;

/// Returns the hash of an event's type, data and own ID.
pub(in crate::connection) fn fingerprint(event: EventFrame<'_>) -> Fingerprint {
    // Not `RandomState`: this hasher has a fixed key, so that equal events of two responses have
    // equal hashes.
    let mut hasher = DefaultHasher::new();
    (event.event_type(), event.data(), event.id()).hash(&mut hasher);
    hasher.finish()
}

/// The decision about an input. The actor carries out its parts in the order of the fields.
#[derive(Debug)]
#[must_use = "a decision has no effect until the actor carries it out"]
pub(crate) struct Step {
    pub(crate) notice: Option<Notice>,
    /// The state of the connection, if it has changed. `Close` has none: the exit announces the
    /// end.
    pub(crate) state: Option<State>,
    /// The stream goes on after the session's last event ID, and what was delivered before may be
    /// delivered again: publish the ID, restart the hub, and forget repeats. Set even if the ID is
    /// the one published last.
    pub(crate) restarts: bool,
    pub(crate) action: Action,
}

/// Something to be logged.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The request goes without the last event ID, which HTTP cannot carry.
    IdLeftOut(Error),
    /// The server has refused the last event ID. The stream tries without it.
    IdRefused(Error),
    /// The stream breaks off at the same place again and again.
    Poisoned(Error),
}

/// The next action of the actor.
#[derive(Debug)]
pub(crate) enum Action {
    /// Go on as before.
    Stay,
    /// Load the last event ID from the resume store.
    Load,
    /// Dial, in place of what is open or under way.
    Dial { attempt: NextAttempt },
    /// Dial while the open response is read, in place of another such attempt.
    BeginHandover {
        attempt: NextAttempt,
        /// The IDs of the open response mean nothing to the server that gets the request.
        is_unrelated: bool,
    },
    /// The open response has ended. Go on with the attempt of the handover.
    ContinueHandover,
    /// The attempt of the handover has failed. Stay with the open response.
    CancelHandover {
        cause: Error,
        /// The last change that the attempt carried.
        change: u64,
    },
    /// Read the accepted response, after this gap.
    Read {
        gap: Option<Gap>,
        /// The last change that its request carried.
        change: u64,
    },
    /// Read the accepted response, which takes over from the open one. Deduplication knows whether
    /// there is a gap.
    TakeOver {
        /// The last change that its request carried.
        change: u64,
    },
    /// Wait before the next attempt.
    Wait { delay: Duration },
    /// Go on as before for so long, though there is no subscriber.
    Linger { delay: Duration },
    /// Go on as before: there are subscribers again.
    StopLingering,
    /// Drop what is open or under way, until there is a subscriber.
    Sleep,
    /// End for good.
    Close(CloseReason),
}

impl Step {
    pub(super) fn stay() -> Self {
        Action::Stay.into()
    }

    pub(super) fn close(reason: CloseReason) -> Self {
        Action::Close(reason).into()
    }
}

impl From<Action> for Step {
    fn from(action: Action) -> Self {
        Self { notice: None, state: None, restarts: false, action }
    }
}
