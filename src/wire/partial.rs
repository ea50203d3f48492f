//! A line that the end of a chunk has cut: the bytes that are still needed, and no others.

use super::block::Block;
use super::buffer::{RETAINED, append, weight};
use super::field::{self, Field, LONGEST_NAME, Retry};

/// How far an unfinished line has come.
#[derive(Debug, Default)]
pub(super) struct Partial {
    stage: Stage,
    /// The name so far, then the value of a field that has to be seen whole.
    line: Vec<u8>,
    retry: Retry,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No byte of the line has come.
    #[default]
    Fresh,
    /// Too short to say which field it is.
    Name,
    /// At the beginning of the value, where one space does not count.
    ValueStart(Field),
    Value(Field),
    /// The value is too long to be kept; the rest of the line goes by.
    Cut(Field),
}

/// What a finished line asks of the decoder; fields are in the block already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finished {
    Nothing,
    Retry(u64),
    /// Its text is [`Partial::text`].
    Comment,
}

impl Partial {
    pub(super) fn is_fresh(&self) -> bool {
        self.stage == Stage::Fresh
    }

    /// A line has begun that is no comment.
    pub(super) fn is_field(&self) -> bool {
        !matches!(self.stage, Stage::Fresh | Stage::Value(Field::Comment) | Stage::Cut(Field::Comment))
    }

    /// The text of the comment that was finished last.
    pub(super) fn text(&self) -> &[u8] {
        &self.line
    }

    /// Gives back what one long line needed.
    pub(super) fn trim(&mut self) {
        if self.is_fresh() && self.line.capacity() > RETAINED {
            self.line = Vec::new();
        }
    }

    /// As new.
    pub(super) fn reset(&mut self) {
        self.stage = Stage::Fresh;
        self.line = Vec::new();
    }

    /// Takes the next bytes of the line. `chunk` is where the block's values may stand.
    pub(super) fn feed(&mut self, mut piece: &[u8], chunk: &[u8], block: &mut Block, comments: bool) {
        while !piece.is_empty() {
            match self.stage {
                Stage::Fresh => {
                    self.line.clear();
                    self.stage = Stage::Name;
                }
                Stage::Name => piece = self.name(piece, chunk, block, comments),
                Stage::ValueStart(field) => {
                    piece = piece.strip_prefix(b" ").unwrap_or(piece);
                    self.stage = Stage::Value(field);
                }
                Stage::Value(field) => return self.value(field, piece, block),
                Stage::Cut(_) => return,
            }
        }
    }

    /// Eats bytes of the name up to its colon, or until it is longer than any that counts.
    fn name<'p>(&mut self, piece: &'p [u8], chunk: &[u8], block: &mut Block, comments: bool) -> &'p [u8] {
        let room = LONGEST_NAME + 1 - self.line.len();
        let head = &piece[..piece.len().min(room)];
        let Some(colon) = head.iter().position(|&byte| byte == b':') else {
            self.line.extend_from_slice(head);
            if self.line.len() > LONGEST_NAME {
                self.stage = Stage::Cut(Field::Unknown);
            }
            return &piece[head.len()..];
        };
        self.line.extend_from_slice(&head[..colon]);
        let field = field::from_name(&self.line);
        self.begin_value(field, chunk, block, comments);
        &piece[colon + 1..]
    }

    fn begin_value(&mut self, field: Field, chunk: &[u8], block: &mut Block, comments: bool) {
        self.line.clear();
        self.retry = Retry::default();
        self.stage = match field {
            Field::Comment if comments => Stage::Value(field),
            Field::Comment | Field::Unknown => Stage::Cut(field),
            _ => Stage::ValueStart(field),
        };
        if field == Field::Data {
            block.begin_data_line(chunk);
        }
    }

    fn value(&mut self, field: Field, piece: &[u8], block: &mut Block) {
        match field {
            Field::Data => block.extend_data(piece),
            Field::Retry => self.retry.feed(piece),
            Field::Comment if block.has_room(self.line.len() + piece.len()) => {
                append(&mut self.line, piece, block.room());
            }
            Field::EventType | Field::Id if block.admit(weight(self.line.len() + piece.len())) => {
                append(&mut self.line, piece, block.room());
            }
            _ => {
                self.line = Vec::new();
                self.stage = Stage::Cut(field);
            }
        }
    }

    /// The line has ended.
    pub(super) fn finish(&mut self, chunk: &[u8], block: &mut Block, comments: bool) -> Finished {
        if self.stage == Stage::Name {
            // No colon: the whole line is the name, and the value is empty.
            let field = field::from_name(&self.line);
            self.begin_value(field, chunk, block, comments);
        }
        match std::mem::take(&mut self.stage) {
            Stage::ValueStart(Field::EventType) | Stage::Value(Field::EventType) => {
                block.event_type_bytes(&mut self.line)
            }
            Stage::Cut(Field::EventType) => block.cut_event_type(),
            Stage::ValueStart(Field::Id) | Stage::Value(Field::Id) => block.id_bytes(&mut self.line),
            Stage::Value(Field::Retry) => return self.retry.value().map_or(Finished::Nothing, Finished::Retry),
            Stage::Value(Field::Comment) => return Finished::Comment,
            _ => {}
        }
        Finished::Nothing
    }
}
