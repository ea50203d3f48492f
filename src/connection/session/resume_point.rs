//! [`ResumePoint`]: where in the event stream the next response goes on, and whether anybody has to be told.
//!
//! Usually after the last event ID; a caller, a resume store or a change of the request may say otherwise.

use http::HeaderValue;

use crate::connection::Resume;
use crate::transport;

use crate::connection::log;

pub(crate) struct ResumePoint {
    last_event_id: String,
    /// A caller has said where to begin.
    chosen: bool,
    /// The resume store did not say where to begin: subscribers are told with the first response.
    lost: bool,
    /// The stream goes on somewhere else than where it ended, and the actor has not been told yet.
    moved: bool,
    /// What the attempt under way carries as last event ID.
    sent: Option<String>,
    /// The number of the change with which the last event ID was left behind, until it has been forgotten.
    left_since: Option<u64>,
    /// The last event ID did not go along with the attempt under way.
    left_behind: bool,
}

impl ResumePoint {
    pub(crate) fn new(last_event_id: String) -> Self {
        Self {
            last_event_id,
            chosen: false,
            lost: false,
            moved: false,
            sent: None,
            left_since: None,
            left_behind: false,
        }
    }

    pub(crate) fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    pub(crate) fn advance(&mut self, id: &str) {
        id.clone_into(&mut self.last_event_id);
    }

    /// What the resume store says, unless a caller has said something else since. An ID that no header can
    /// carry says nothing to the server.
    pub(crate) fn restore(&mut self, id: &str) {
        if !self.chosen {
            self.advance(id);
            self.moved = true;
            self.lost = transport::last_event_id_value(id).is_err();
        }
    }

    /// The resume store has failed.
    pub(crate) fn lose(&mut self) {
        self.lost |= !self.chosen;
    }

    /// Whether that is another place than the latest.
    pub(crate) fn resume(&mut self, resume: Resume) -> bool {
        self.left_since = None;
        match resume {
            Resume::Latest => return false,
            Resume::Id(id) => self.last_event_id = id,
            Resume::Fresh => self.last_event_id.clear(),
        }
        (self.chosen, self.moved) = (true, true);
        true
    }

    /// Whether the last event ID stays behind from the change with this number on.
    pub(crate) fn leave(&mut self, leave: bool, change: u64) {
        self.left_since = leave.then_some(change);
    }

    /// What a new attempt carries as last event ID, if there is one that HTTP can carry.
    pub(crate) fn send(&mut self) -> Option<HeaderValue> {
        self.left_behind = self.left_since.is_some();
        let id = if self.left_behind { "" } else { &self.last_event_id };
        let value = transport::last_event_id_value(id).unwrap_or_else(|error| {
            // Never fatal: the ID is the server's choice. The gap will say that none was sent.
            log::left_out("the last event ID", &error);
            None
        });
        self.sent = value.as_ref().map(|_| self.last_event_id.clone());
        value
    }

    pub(crate) fn sent(&self) -> Option<String> {
        self.sent.clone()
    }

    pub(crate) fn is_left_behind(&self) -> bool {
        self.left_behind
    }

    /// Nothing is read any more from where the last event ID came: if it was left behind, it means nothing where
    /// the next response comes from. `dialed`: the last change that the attempt under way carries.
    pub(crate) fn forget_if_left(&mut self, dialed: u64) {
        if self.left_behind {
            self.last_event_id.clear();
            // What was asked for after the attempt was made, is still to come.
            self.left_since = self.left_since.filter(|&since| since > dialed);
            self.moved = true;
        }
    }

    /// Whether the stream goes on somewhere else: true once.
    pub(crate) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Whether nobody knows where it should have begun: true once.
    pub(crate) fn take_lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }
}
