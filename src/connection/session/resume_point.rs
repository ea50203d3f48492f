//! [`ResumePoint`]: where in the event stream the next response begins.
//!
//! Usually that is after the last event ID. A caller, a resume store, or a change of the request
//! may say otherwise.
//!
//! Only the IDs of blocks that came to their blank line get here. When a response is cut within a
//! block, the ID of that block is dropped with the response's decoder, and the next request carries
//! the one before it.

use http::HeaderValue;

use crate::connection::Resume;
use crate::error::{Error, ErrorKind, quoted};
use crate::transport;

/// The last event ID, and what becomes of it.
pub(super) struct ResumePoint {
    last_event_id: String,
    beginning: Beginning,
    /// The last event ID that the last attempt carried.
    pub(super) sent: Option<String>,
    /// The last attempt carried none, because the ID means nothing where the request goes.
    pub(super) is_left_behind: bool,
    /// The server has refused the ID, and the attempt under way goes without it. Until a response
    /// is accepted, the ID may not be to blame.
    pub(super) is_withheld: bool,
    /// The change from which on attempts leave the last event ID behind. It is kept as long as the
    /// first response of a handover is read.
    left_behind_since: Option<u64>,
    /// The stream goes on somewhere else than where it ended, and the actor does not know yet.
    has_moved: bool,
}

/// The authority for where the stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    /// The configuration, or the resume store.
    Configured,
    /// A caller. The resume store no longer counts.
    Chosen,
    /// Nothing: the resume store could not say, the server has refused the ID, or it may have sent
    /// events that no response has brought. The next response has a gap before it.
    Lost,
}

/// Statuses with which servers refuse a last event ID that they do not know: it is malformed to
/// them (400, 422), its event is gone (404, 410), or the client has to start again (409, 412, 416).
const ID_REFUSALS: [u16; 7] = [400, 404, 409, 410, 412, 416, 422];

impl ResumePoint {
    pub(super) fn new(last_event_id: String) -> Self {
        Self {
            last_event_id,
            beginning: Beginning::Configured,
            sent: None,
            is_left_behind: false,
            is_withheld: false,
            left_behind_since: None,
            has_moved: false,
        }
    }

    pub(super) fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Moves on to the ID of the last block that was read.
    pub(super) fn advance(&mut self, id: &str) {
        id.clone_into(&mut self.last_event_id);
    }

    /// Takes what the resume store says, unless a caller has chosen a resume point since.
    pub(super) fn load(&mut self, loaded: Result<Option<String>, Error>) {
        // The caller's choice is newer than anything that an earlier run has saved.
        if self.beginning == Beginning::Chosen {
            return;
        }
        match loaded {
            Ok(Some(id)) => {
                // An ID that no header can carry says nothing to the server.
                if transport::last_event_id_value(&id).is_err() {
                    self.beginning = Beginning::Lost;
                }
                self.last_event_id = id;
                self.has_moved = true;
            }
            Ok(None) => {}
            // No reason to stop: the stream begins without an ID, and a gap says so.
            Err(_) => self.beginning = Beginning::Lost,
        }
    }

    /// Takes the resume point that a caller has chosen.
    pub(super) fn choose(&mut self, resume: Resume) {
        match resume {
            Resume::Id(id) => self.last_event_id = id,
            Resume::Fresh => self.last_event_id.clear(),
        }
        if self.beginning == Beginning::Configured {
            self.beginning = Beginning::Chosen;
        }
        self.left_behind_since = None;
        self.has_moved = true;
    }

    /// Decides whether the last event ID stays behind, from the change with this number on.
    pub(super) fn leave_behind(&mut self, leave: bool, change: u64) {
        self.left_behind_since = leave.then_some(change);
    }

    /// Returns the value that the next attempt carries, if there is one, and notes it as sent.
    ///
    /// # Errors
    ///
    /// When HTTP cannot carry the ID. The attempt goes without it.
    pub(super) fn next_value(&mut self) -> Result<Option<HeaderValue>, Error> {
        self.sent = None;
        self.is_left_behind = self.left_behind_since.is_some();
        if self.is_left_behind || self.is_withheld {
            return Ok(None);
        }
        let value = transport::last_event_id_value(&self.last_event_id)?;
        self.sent = value.is_some().then(|| self.last_event_id.clone());
        Ok(value)
    }

    /// Returns true if the server may have refused the last attempt because of the ID that it
    /// carried.
    pub(super) fn may_be_refused(&self, cause: &Error) -> bool {
        let is_id_refusal = cause.status().is_some_and(|status| ID_REFUSALS.contains(&status.as_u16()));
        self.sent.is_some() && cause.kind() == ErrorKind::Status && is_id_refusal
    }

    /// Adds to a refusal that it may be because of the ID, and what the caller can do then.
    pub(super) fn explain_refusal(&self, cause: Error) -> Error {
        let id = quoted(self.sent.as_deref().unwrap_or_default());
        cause.explained(&format!(
            "; perhaps it no longer knows the last event ID {id}: StreamBuilder::if_id_is_refused can start without it"
        ))
    }

    /// Forgets the last event ID if the attempt under way left it behind. To be called when no
    /// response is read any more that could bring another. `dialed`: the last change that the
    /// attempt carries.
    pub(super) fn forget_if_left_behind(&mut self, dialed: u64) {
        if self.is_left_behind {
            self.last_event_id.clear();
            // A change that came after the attempt was made counts for the next one.
            self.left_behind_since = self.left_behind_since.filter(|&since| since > dialed);
            self.has_moved = true;
        }
    }

    /// Forgets the last event ID if a response was accepted only without it. What came after it is
    /// lost, so the response has a gap before it, even if it is the first one.
    pub(super) fn forget_if_withheld(&mut self) {
        if std::mem::take(&mut self.is_withheld) {
            self.last_event_id.clear();
            self.lose();
            self.has_moved = true;
        }
    }

    /// Returns true, once, after the stream goes on elsewhere than where it ended.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// Notes that events may be missing before the next response.
    pub(super) fn lose(&mut self) {
        self.beginning = Beginning::Lost;
    }

    /// Returns true, once, if events may be missing before a response that is the first.
    pub(super) fn take_lost(&mut self) -> bool {
        let is_lost = self.beginning == Beginning::Lost;
        if is_lost {
            self.beginning = Beginning::Configured;
        }
        is_lost
    }
}
