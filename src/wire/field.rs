//! [`split`]: from a line to its field and the start of its value.

/// The fields of the standard (HTML, section 9.2.6, "process the field").
// An enum and not the name, so that no field of a server is mistaken for one of our own making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Data,
    EventType,
    Id,
    Retry,
    /// A line that begins with a colon.
    Comment,
    /// A name that the standard tells us to ignore.
    Unknown,
}

/// The number of bytes at the start of a line that always suffice for [`split`]: the longest name,
/// its colon, and the byte after it, which may be a space.
pub(super) const MAX_HEAD: usize = "retry:".len() + 1;

/// Splits a line without its terminator into its field and the offset of its value.
///
/// Names are compared as bytes: case-sensitive, untrimmed. A line without a colon is a field with
/// an empty value. One space after the colon is not part of the value, but a comment keeps its own.
#[inline(always)]
pub(super) fn split(line: &[u8]) -> (Field, usize) {
    let (field, value) = match line {
        [b'd', b'a', b't', b'a', b':', ..] => (Field::Data, 5),
        [b'e', b'v', b'e', b'n', b't', b':', ..] => (Field::EventType, 6),
        [b'i', b'd', b':', ..] => (Field::Id, 3),
        [b'r', b'e', b't', b'r', b'y', b':', ..] => (Field::Retry, 6),
        [b':', ..] => return (Field::Comment, 1),
        _ => return (without_colon(line), line.len()),
    };
    (field, value + usize::from(line.get(value) == Some(&b' ')))
}

/// Returns the field of a line that has no colon after a known name.
fn without_colon(line: &[u8]) -> Field {
    match line {
        b"data" => Field::Data,
        b"event" => Field::EventType,
        b"id" => Field::Id,
        b"retry" => Field::Retry,
        _ => Field::Unknown,
    }
}

/// Returns true if [`split`] gives the same answer for `head` and for every line that begins with
/// it.
pub(super) fn is_decided(head: &[u8]) -> bool {
    head.len() >= MAX_HEAD || head.split_last().is_some_and(|(_, name)| name.contains(&b':'))
}

/// The value of a `retry` field, which may come in pieces: ASCII digits only, at least one.
// Not `str::parse`, which accepts `+5` and needs all pieces at once. Too large a number saturates.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RetryDigits {
    number: u64,
    has_digits: bool,
    has_others: bool,
}

impl RetryDigits {
    pub(super) fn feed(&mut self, piece: &[u8]) {
        for &byte in piece {
            if byte.is_ascii_digit() {
                self.has_digits = true;
                self.number = self.number.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
            } else {
                self.has_others = true;
            }
        }
    }

    pub(super) fn value(self) -> Option<u64> {
        (self.has_digits && !self.has_others).then_some(self.number)
    }
}
