//! [`Values`]: where the values of a block stand in the text of its event.

use std::ops::Range;

/// Where the values of a block stand in the text of its event, and its reconnection time.
// Each is one word: memory that is written in small pieces is slow to read in larger ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values {
    pub(crate) data: Span,
    /// Empty for the default type.
    pub(crate) event_type: Span,
    /// [`Span::NONE`] if the block sets none.
    pub(crate) id: Span,
    pub(crate) retry: RetryTime,
}

impl Values {
    /// Creates the values of a block whose text is data only.
    #[inline]
    pub(crate) fn data_only(length: usize) -> Self {
        Self { data: Span::new(0..length), event_type: Span::EMPTY, id: Span::NONE, retry: RetryTime::NONE }
    }
}

impl Default for Values {
    fn default() -> Self {
        Self::data_only(0)
    }
}

/// A reconnection time in milliseconds, or none, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetryTime(u64);

impl RetryTime {
    /// No reconnection time. Not the largest number, which numbers that are too large become.
    pub(crate) const NONE: Self = Self(u64::MAX - 1);

    #[inline]
    pub(crate) fn new(milliseconds: Option<u64>) -> Self {
        match milliseconds {
            None => Self::NONE,
            // One time has to stand for none, and at that length a millisecond more makes no
            // difference.
            Some(milliseconds) if Self(milliseconds) == Self::NONE => Self(u64::MAX),
            Some(milliseconds) => Self(milliseconds),
        }
    }

    pub(crate) fn get(self) -> Option<u64> {
        (self != Self::NONE).then_some(self.0)
    }
}

/// A range of an event's text in one word: the start in the upper half, the end in the lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(u64);

/// The size limit of the text of an event, so that a [`Span`] can hold every range of it.
pub(crate) const MAX_TEXT: usize = u32::MAX as usize;

impl Span {
    pub(crate) const EMPTY: Self = Self(0);

    /// The absence of a range; it ends before it starts.
    pub(crate) const NONE: Self = Self(1 << 32);

    #[inline]
    pub(crate) fn new(range: Range<usize>) -> Self {
        // Within MAX_TEXT, because the decoder and the builder limit events to less.
        let narrow = |at: usize| at.min(MAX_TEXT) as u64;
        Self(narrow(range.start) << 32 | narrow(range.end))
    }

    #[inline]
    pub(crate) fn range(self) -> Range<usize> {
        (self.0 >> 32) as usize..self.0 as u32 as usize
    }

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        let range = self.range();
        range.start == range.end
    }

    #[inline]
    pub(crate) fn some(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }
}
