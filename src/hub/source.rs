//! [`EventReader`]: where a subscription takes from, whichever queue it has.

use std::task::{Context, Poll};

use crate::event::{Event, Gap};

use super::ack::AckHandle;
use super::latest::LatestReader;
use super::reader::{Reader, Received};

/// A reader of a ring that many share, or of a queue of its own.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most are of the larger kind, and a pointer more would cost each event")]
pub(crate) enum EventReader {
    Shared(Reader<Event>),
    Latest(LatestReader),
}

impl EventReader {
    /// The next gap that stands before the item at `position`, in a queue that has its gaps beside it.
    #[inline]
    pub(crate) fn next_gap(&mut self, position: u64) -> Option<Gap> {
        match self {
            Self::Shared(reader) => reader.next_gap(position),
            Self::Latest(_) => None,
        }
    }

    /// How many items have gone by, taken or missed, where gaps go by that.
    #[inline]
    pub(crate) fn position(&self) -> u64 {
        match self {
            Self::Shared(reader) => reader.position(),
            Self::Latest(_) => 0,
        }
    }

    /// So many events that are in neither are to be taken first.
    pub(super) fn keep(&self, events: u64) {
        match self {
            Self::Shared(reader) => reader.keep(events),
            Self::Latest(reader) => reader.keep(events),
        }
    }

    /// One of these was taken: the subscription moves.
    pub(crate) fn took_beside(&self) {
        match self {
            Self::Shared(reader) => reader.took_beside(),
            Self::Latest(reader) => reader.took_beside(),
        }
    }

    /// The time of a drain is over: nothing more is to be taken, of these neither.
    pub(crate) fn is_cut(&self) -> bool {
        match self {
            Self::Shared(reader) => reader.is_cut(),
            Self::Latest(reader) => reader.is_cut(),
        }
    }

    /// How many items can be taken without waiting.
    pub(crate) fn queued(&self) -> u64 {
        match self {
            Self::Shared(reader) => reader.queued(),
            Self::Latest(reader) => reader.queued(),
        }
    }

    /// What comes next; noted in the account, if there is one. `too_many`: see [`AckHandle::take`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is taken unless it is returned.
    #[inline]
    pub(crate) fn poll_take(
        &mut self,
        cx: &Context<'_>,
        account: Option<&AckHandle>,
        too_many: impl Fn(),
    ) -> Poll<Received<Event>> {
        match self {
            Self::Shared(reader) => match account {
                None => reader.poll_take(cx),
                Some(account) => reader.poll_take_with(cx, |reader| account.take(|| reader.take(), too_many)),
            },
            Self::Latest(reader) => reader.poll_take_with(cx, |reader| noted(account, || reader.take(), &too_many)),
        }
    }

    /// The same, if it is there. Leaves no waker: what comes later wakes only whoever has waited before.
    pub(crate) fn try_take(&mut self, account: Option<&AckHandle>, too_many: impl Fn()) -> Option<Received<Event>> {
        match self {
            Self::Shared(reader) => reader.try_take_with(|reader| noted(account, || reader.take(), too_many)),
            Self::Latest(reader) => reader.try_take_with(|reader| noted(account, || reader.take(), too_many)),
        }
    }
}

fn noted(
    account: Option<&AckHandle>,
    take: impl FnOnce() -> Option<Received<Event>>,
    too_many: impl FnOnce(),
) -> Option<Received<Event>> {
    match account {
        None => take(),
        Some(account) => account.take(take, too_many),
    }
}
