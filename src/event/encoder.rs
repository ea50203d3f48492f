//! [`encode`]: from an event back to its wire format, which cannot fail for a valid event.

use std::fmt::Write as _;

use crate::event::{DEFAULT_EVENT_TYPE, Event};

/// Room for the field names and line ends of a block with one line of data.
const FIELD_NAMES: usize = 40;

/// Returns `event` as one block, with its blank line.
pub(crate) fn encode(event: &Event) -> String {
    let size = event.event_type().len() + event.id().map_or(0, str::len) + event.data().len();
    let mut block = String::with_capacity(size + FIELD_NAMES);
    // A block without a type is a `message` (HTML, section 9.2.6).
    if event.event_type() != DEFAULT_EVENT_TYPE {
        line(&mut block, "event", event.event_type());
    }
    if let Some(id) = event.id() {
        line(&mut block, "id", id);
    }
    if let Some(retry) = event.retry() {
        // Writing to a String cannot fail.
        let _ = writeln!(block, "retry: {}", retry.as_millis());
    }
    // A line of data is a field of its own. A decoder joins them with LF (HTML, section 9.2.6).
    for data in event.data().split('\n') {
        line(&mut block, "data", data);
    }
    // An empty line dispatches the event: without it a decoder would wait for more fields.
    block.push('\n');
    block
}

/// Appends a line. The space after the colon keeps a leading space of the value.
fn line(block: &mut String, name: &str, value: &str) {
    block.push_str(name);
    block.push_str(": ");
    block.push_str(value);
    block.push('\n');
}
