//! [`Demand`]: whether a lazy stream has subscribers.

use std::time::Duration;

/// The demand for a stream that is open only while there are subscribers.
///
/// ```text
/// Absent ---> Present ---> Lingering ---> Absent
///                ^-------------+
/// ```
pub(super) struct Demand {
    /// How long the connection stays without subscribers; `None` if the stream is not lazy.
    linger: Option<Duration>,
    presence: Presence,
}

/// The presence of subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Absent,
    Present,
    /// The last subscriber has gone, but another may come in time.
    Lingering,
}

/// A change of the demand.
pub(super) enum DemandChange {
    None,
    Came,
    CameBack,
    Left { linger: Duration },
}

impl Demand {
    pub(super) fn new(linger: Option<Duration>) -> Self {
        let presence = if linger.is_some() { Presence::Absent } else { Presence::Present };
        Self { linger, presence }
    }

    pub(super) fn is_lazy(&self) -> bool {
        self.linger.is_some()
    }

    /// Returns true if there is no subscriber, and the stream does not linger.
    pub(super) fn is_absent(&self) -> bool {
        self.presence == Presence::Absent
    }

    /// Notes whether there are subscribers.
    pub(super) fn update(&mut self, present: bool) -> DemandChange {
        let Some(linger) = self.linger else { return DemandChange::None };
        let (presence, change) = match (self.presence, present) {
            (Presence::Absent, true) => (Presence::Present, DemandChange::Came),
            (Presence::Lingering, true) => (Presence::Present, DemandChange::CameBack),
            (Presence::Present, false) => (Presence::Lingering, DemandChange::Left { linger }),
            (unchanged, _) => (unchanged, DemandChange::None),
        };
        self.presence = presence;
        change
    }

    /// Notes that no subscriber has come in time.
    pub(super) fn leave(&mut self) {
        self.presence = Presence::Absent;
    }
}
