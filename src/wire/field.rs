//! What a line means: its field, by name, and where its value begins.

/// The fields of the standard (HTML section 9.2.6, "process the field"). An enum right after the
/// parse, so that no field can be mistaken for a marker of ours.
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

/// The longest field name that means anything: a longer one is unknown, whatever follows.
pub(super) const LONGEST_NAME: usize = 5;

/// Names are compared as bytes: case-sensitive, untrimmed.
pub(super) fn from_name(name: &[u8]) -> Field {
    match name {
        b"data" => Field::Data,
        b"event" => Field::EventType,
        b"id" => Field::Id,
        b"retry" => Field::Retry,
        b"" => Field::Comment,
        _ => Field::Unknown,
    }
}

/// Splits a line without its terminator into its field and the offset of the value. A line without
/// a colon is a field with an empty value; one space after the colon is not part of the value, but
/// a comment keeps its own.
#[inline]
pub(super) fn split(line: &[u8]) -> (Field, usize) {
    if let Some(rest) = line.strip_prefix(b"data:") {
        return (Field::Data, 5 + usize::from(rest.first() == Some(&b' ')));
    }
    let head = &line[..line.len().min(LONGEST_NAME + 1)];
    match head.iter().position(|&byte| byte == b':') {
        Some(0) => (Field::Comment, 1),
        Some(colon) => {
            let space = line.get(colon + 1) == Some(&b' ');
            (from_name(&line[..colon]), colon + 1 + usize::from(space))
        }
        None if line.len() <= LONGEST_NAME => (from_name(line), line.len()),
        None => (Field::Unknown, line.len()),
    }
}

/// The value of a `retry` field, which may come in pieces: ASCII digits only, at least one
/// (`str::parse` would take `+5`). Saturates, since a wrapped value would be a wrong one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Retry {
    number: u64,
    digits: bool,
    other: bool,
}

impl Retry {
    pub(super) fn feed(&mut self, piece: &[u8]) {
        for &byte in piece {
            match byte {
                b'0'..=b'9' => {
                    self.digits = true;
                    self.number = self.number.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
                }
                _ => self.other = true,
            }
        }
    }

    pub(super) fn value(self) -> Option<u64> {
        (self.digits && !self.other).then_some(self.number)
    }
}

pub(super) fn retry(value: &[u8]) -> Option<u64> {
    let mut retry = Retry::default();
    retry.feed(value);
    retry.value()
}
