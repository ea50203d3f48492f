//! Output for people: time, type and data in columns. All else is dimmed, on standard error.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use sseclient::{CloseReason, Event, State, TranscriptItem};

use crate::advice;

/// The type's column starts this wide and grows with longer types.
const MIN_TYPE_WIDTH: usize = 8;
const MAX_TYPE_WIDTH: usize = 24;

/// The width of `HH:MM:SS.mmm`.
const TIME: usize = 12;

const DIMMED: Style = Style::new().dimmed();

/// Readable on dark and on light backgrounds. Red is left for errors.
const COLOURS: [AnsiColor; 5] =
    [AnsiColor::Cyan, AnsiColor::Green, AnsiColor::Magenta, AnsiColor::Blue, AnsiColor::Yellow];

pub(crate) struct People {
    // These print colours on a terminal, and none elsewhere or under `NO_COLOR`.
    out: AutoStream<io::Stdout>,
    err: AutoStream<io::Stderr>,
    type_width: usize,
}

impl People {
    pub(crate) fn new() -> Self {
        Self { out: anstream::stdout(), err: anstream::stderr(), type_width: MIN_TYPE_WIDTH }
    }

    pub(crate) fn print(&mut self, item: &TranscriptItem) -> io::Result<()> {
        match item {
            TranscriptItem::Event(event) => return self.event(event),
            TranscriptItem::Comment(text) => self.note(&format!(":{}", one_line(text))),
            TranscriptItem::Gap(gap) => self.note(&format!("gap: {}", one_line(&gap.to_string()))),
            TranscriptItem::State(state) => {
                if let Some(text) = describe(state) {
                    self.note(&one_line(&text));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Prints one dimmed line on standard error. A failed write is ignored: the line is only a
    /// note.
    pub(crate) fn note(&mut self, text: &str) {
        let _ = writeln!(self.err, "{DIMMED}{}  {text}{DIMMED:#}", clock());
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let event_type = one_line(event.event_type());
        let length = event_type.chars().count();
        self.type_width = self.type_width.max(length.min(MAX_TYPE_WIDTH));
        let width = self.type_width;
        let colour = colour(event.event_type());
        let time = clock();
        let mut lines = event.data().split('\n').map(visible);
        let first = lines.next().unwrap_or_default();
        let padding = width.saturating_sub(length);
        let mut text = format!("{DIMMED}{time}{DIMMED:#}  {colour}{event_type}{colour:#}{:padding$}  {first}\n", "");
        for line in lines {
            text.push_str(&format!("{:1$}{line}\n", "", TIME + 2 + width + 2));
        }
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// Returns the text on one line that is safe to show: all control characters are escaped.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    escape(text, |c| c.is_control())
}

/// Escapes control characters (C0, DEL, C1) except tabs, so that a hostile server cannot control
/// the terminal.
fn visible(line: &str) -> Cow<'_, str> {
    escape(line, |c| c.is_control() && c != '\t')
}

fn escape(text: &str, hidden: fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hidden(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

fn describe(state: &State) -> Option<String> {
    match state {
        State::Connecting { attempt, .. } => Some(format!("connecting (attempt {attempt})")),
        State::Open { response, .. } => Some(format!("open ({})", response.status())),
        State::Waiting { delay, cause, .. } => {
            Some(format!("trying again in {}: {}", seconds(*delay), advice::chain(cause)))
        }
        // `tail` prints the error, with advice, when it ends.
        State::Closed(CloseReason::Failed(_)) => None,
        State::Closed(reason) => Some(format!("closed: {}", advice::reason(reason))),
        _ => None,
    }
}

fn seconds(delay: Duration) -> String {
    format!("{:.1} s", delay.as_secs_f64())
}

/// Returns a colour that depends only on the type.
fn colour(event_type: &str) -> Style {
    let sum: usize = event_type.bytes().map(usize::from).sum();
    COLOURS[sum % COLOURS.len()].on_default()
}

/// Returns the time of day in UTC.
fn clock() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = now.as_secs() % 86_400;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", seconds % 60, now.subsec_millis())
}
