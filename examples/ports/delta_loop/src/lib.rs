//! Feature toggles kept up to date by deltas, as Unleash sends them: `unleash-connected` brings
//! everything (a hydration) or what is missing, `unleash-updated` what has changed.
//!
//! # When the toggles are old
//!
//! They stay, with the revision that they are of, while the stream is interrupted and while a
//! hydration is awaited; the [`Status`] says why. A delta is applied wholly, or not at all.
//!
//! | what happens | what follows |
//! |---|---|
//! | the connection is lost | the stream resumes after the last revision |
//! | the server refuses that revision | the stream goes on without it; the server hydrates |
//! | revisions are missing, or a delta cannot be read | the stream begins anew without an ID |
//! | deltas of an older revision come again | they are left out |
//! | the server refuses the token (401, 403) | the stream has ended; the toggles stay |
//!
//! Unleash counts revisions with holes: a delta has what a token may see. There
//! [`Numbering::Increasing`] is right, and a loss shows as a gap of the stream, not in the numbers.

mod features;

use std::sync::Arc;
use std::time::Duration;

use sseclient::{
    CloseReason, Error, ErrorKind, Gap, Handle, Overflow, ReconnectPolicy, RefusedId, Resume, State, StreamBuilder,
    SubscribeOptions, Transcript, TranscriptItem,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

use self::features::Delta;
pub use self::features::{Feature, Features, Numbering, Segment};

/// The first wait before a reconnection, and the longest.
const RECONNECTION_TIME: Duration = Duration::from_secs(5);
const CEILING: Duration = Duration::from_secs(30);

/// The server sends a comment every 30 s.
const SILENCE: Duration = Duration::from_secs(90);

/// A hydration has all toggles of an environment.
const MAX_HYDRATION: usize = 64 << 20;

/// A stream is begun anew no more often than this.
const REHYDRATE_EVERY: Duration = Duration::from_secs(5);

/// Whether the toggles are up to date.
#[derive(Debug, Clone)]
pub enum Status {
    /// The first delta has not come yet. What went wrong last, if anything did.
    Connecting(Option<Error>),
    /// The toggles are those of the server.
    Current,
    /// The toggles are as of their revision, until the next delta.
    Stale(Error),
    /// The stream has ended for good. The toggles are the last ones that came.
    Stopped(CloseReason),
}

/// The toggles, and what they are as of now.
#[derive(Debug, Clone)]
pub struct View {
    pub features: Features,
    pub status: Status,
}

/// The toggles of an environment, kept up to date by a task.
///
/// # Drop behavior
///
/// The task ends, and the connection closes.
#[derive(Debug)]
pub struct DeltaLoop {
    view: watch::Receiver<View>,
    task: JoinHandle<()>,
}

impl DeltaLoop {
    /// Connects to this stream, in the background. URL, token and headers are the caller's.
    ///
    /// With toggles of an earlier run, those are there at once, and the stream begins after their
    /// revision.
    ///
    /// # Errors
    ///
    /// A stream that cannot be built. All other failures are a [`Status`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(stream: StreamBuilder, numbering: Numbering, saved: Option<Features>) -> Result<Self, Error> {
        let mut stream = stream
            .reconnect_policy(ReconnectPolicy::daemon().reconnection_time(RECONNECTION_TIME).ceiling(CEILING))
            .if_id_is_refused(RefusedId::StartFresh)
            .idle_timeout(SILENCE)
            .max_event_size(MAX_HYDRATION);
        let features = saved.unwrap_or_default();
        if let Some(revision) = features.revision() {
            stream = stream.last_event_id(revision.to_string());
        }
        let handle = stream.build()?;
        // No delta is dropped: the server waits while they are applied.
        let options = SubscribeOptions::default().overflow(Overflow::Block);
        let transcript = handle.transcript_with(["unleash-connected", "unleash-updated"], options);
        handle.connect();
        let awaits = if features.revision().is_some() { Awaits::Delta } else { Awaits::Hydration };
        let (sender, view) = watch::channel(View { features, status: Status::Connecting(None) });
        let mut pace = interval(REHYDRATE_EVERY);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let task = tokio::spawn(Follower { handle, numbering, awaits, view: sender, pace }.run(transcript));
        Ok(Self { view, task })
    }

    /// Returns a toggle. From any thread; it waits for no more than one delta.
    pub fn feature(&self, name: &str) -> Option<Arc<Feature>> {
        self.view.borrow().features.feature(name)
    }

    /// Returns all toggles with their revision, and the status. To save them, for example.
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Waits until the view is as wanted, and returns it. Views in between may be skipped.
    ///
    /// Waits forever for what never comes: after [`Status::Stopped`] no other view follows.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped.
    pub async fn wait_for(&self, is_wanted: impl FnMut(&View) -> bool) -> View {
        match self.view.clone().wait_for(is_wanted).await {
            Ok(view) => view.clone(),
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for DeltaLoop {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What has to come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    /// Anything that follows the revision.
    Delta,
    /// Everything, before any change.
    Hydration,
    /// The new response that was asked for: what was queued before is of the old one.
    NewResponse,
}

/// The task.
struct Follower {
    handle: Handle,
    numbering: Numbering,
    awaits: Awaits,
    view: watch::Sender<View>,
    pace: Interval,
}

impl Follower {
    /// A transcript has states and deltas in one order, so a status is never older than the
    /// toggles.
    async fn run(mut self, mut transcript: Transcript) {
        while let Some(item) = transcript.recv().await {
            let failure = match item {
                TranscriptItem::Event(event) if self.awaits != Awaits::NewResponse => {
                    event.json::<Delta>().and_then(|delta| self.apply(&delta)).err()
                }
                // The server goes on after the ID.
                TranscriptItem::Gap(Gap::Reconnected { sent: Some(_), .. }) => None,
                TranscriptItem::Gap(Gap::Reconnected { sent: None, .. }) => {
                    self.awaits = Awaits::Hydration;
                    None
                }
                TranscriptItem::Gap(gap) => Some(Error::new(ErrorKind::Decode, gap.to_string())),
                TranscriptItem::State(State::Waiting { cause, .. }) => {
                    self.set_stale(cause);
                    None
                }
                TranscriptItem::State(State::Closed(reason)) => {
                    self.view.send_modify(|view| view.status = Status::Stopped(reason));
                    None
                }
                _ => None,
            };
            if let Some(failure) = failure {
                self.rehydrate(failure).await;
            }
        }
    }

    fn apply(&mut self, delta: &Delta) -> Result<(), Error> {
        let hydrated = self.awaits == Awaits::Delta;
        let missing = |reason: String| Error::new(ErrorKind::Decode, reason);
        delta.check(self.view.borrow().features.revision().filter(|_| hydrated), self.numbering).map_err(missing)?;
        self.view.send_modify(|view| {
            view.features.apply(delta);
            view.status = Status::Current;
        });
        self.awaits = Awaits::Delta;
        Ok(())
    }

    /// Begins the stream anew, without an ID.
    async fn rehydrate(&mut self, cause: Error) {
        self.set_stale(cause);
        self.awaits = Awaits::NewResponse;
        self.pace.tick().await;
        // It fails only on a closed stream, whose state follows.
        let _ = self.handle.reconnect_from(Resume::Fresh);
    }

    fn set_stale(&self, cause: Error) {
        self.view.send_modify(|view| {
            view.status = match view.status {
                Status::Connecting(_) => Status::Connecting(Some(cause)),
                _ => Status::Stale(cause),
            };
        });
    }
}
