//! The standard's algorithm, written as plainly as HTML sections 9.2.5 and 9.2.6: it decodes the
//! whole stream at once and processes it line by line. It has no limits, and shares no code with
//! the crate.

use std::time::Duration;

use super::Owned;

/// Returns all frames of the stream, including comments, and the last event ID at its end.
///
/// `seed` is the last event ID of an earlier stream.
pub(crate) fn decode(input: &[u8], seed: &str) -> (Vec<Owned>, String) {
    let mut stream = Stream::new(seed);
    for line in lines(&text(input)) {
        stream.line(&line);
    }
    // A block without its blank line is dropped.
    (stream.frames, stream.last_event_id)
}

/// UTF-8 decode: removes one leading byte order mark, and replaces invalid sequences with U+FFFD.
fn text(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()
}

/// The complete lines. A line ends at CR LF, at CR, or at LF.
fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' => {
                characters.next_if_eq(&'\n');
                lines.push(std::mem::take(&mut line));
            }
            '\n' => lines.push(std::mem::take(&mut line)),
            other => line.push(other),
        }
    }
    lines
}

struct Stream {
    frames: Vec<Owned>,
    data: String,
    event_type: String,
    /// The standard's "last event ID buffer", which outlives blocks.
    id_buffer: String,
    last_event_id: String,
    /// This block's own ID and retry, which the standard does not expose.
    own_id: Option<String>,
    own_retry: Option<u64>,
}

impl Stream {
    fn new(seed: &str) -> Self {
        Self {
            frames: Vec::new(),
            data: String::new(),
            event_type: String::new(),
            id_buffer: seed.to_owned(),
            last_event_id: seed.to_owned(),
            own_id: None,
            own_retry: None,
        }
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            self.dispatch();
        } else if let Some(comment) = line.strip_prefix(':') {
            self.frames.push(Owned::Comment(comment.to_owned()));
        } else if let Some((name, value)) = line.split_once(':') {
            self.field(name, value.strip_prefix(' ').unwrap_or(value));
        } else {
            self.field(line, "");
        }
    }

    fn field(&mut self, name: &str, value: &str) {
        match name {
            "event" => self.event_type = value.to_owned(),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => {
                self.id_buffer = value.to_owned();
                self.own_id = Some(value.to_owned());
            }
            "retry" if !value.is_empty() && value.chars().all(|digit| digit.is_ascii_digit()) => {
                // These are all digits, so parsing can fail only if there are too many.
                let milliseconds = value.parse().unwrap_or(u64::MAX);
                // An event keeps its time in one word, where this number stands for none. It
                // becomes the next one.
                self.own_retry = Some(if milliseconds == u64::MAX - 1 { u64::MAX } else { milliseconds });
                self.frames.push(Owned::Retry(milliseconds));
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        self.last_event_id = self.id_buffer.clone();
        let data = std::mem::take(&mut self.data);
        let event_type = std::mem::take(&mut self.event_type);
        let id = self.own_id.take();
        let retry = self.own_retry.take().map(Duration::from_millis);
        if let Some(data) = data.strip_suffix('\n') {
            self.frames.push(Owned::Event {
                event_type: if event_type.is_empty() { "message".to_owned() } else { event_type },
                data: data.to_owned(),
                id,
                last_event_id: self.last_event_id.clone(),
                retry,
            });
        } else if let Some(id) = id {
            self.frames.push(Owned::Id(id));
        }
    }
}
