//! [`Pieces`]: the text of a large event, piece by piece.

use sseclient::Event;

/// The size of a piece, about.
const PIECE: usize = 16 * 1024;

/// The text of an event. Whole, it would cost each slow client its size, while the event itself is
/// in memory once for all.
pub(crate) struct Pieces {
    event: Event,
    /// How much of the data has been taken.
    taken: usize,
}

impl Pieces {
    /// Returns whether the event has more than one piece.
    pub(crate) fn are_several(event: &Event) -> bool {
        event.data().len() > PIECE
    }

    pub(crate) fn of(event: Event) -> Self {
        Self { event, taken: 0 }
    }

    /// Appends the next piece; returns whether more are to come.
    pub(crate) fn append(&mut self, text: &mut String) -> bool {
        let data = &self.event.data()[self.taken..];
        if self.taken == 0 {
            text.push_str(&head(&self.event));
        }
        let piece = &data[..data.floor_char_boundary(PIECE)];
        text.push_str(&piece.replace('\n', "\ndata: "));
        self.taken += piece.len();
        let is_last = piece.len() == data.len();
        if is_last {
            text.push_str("\n\n");
        }
        !is_last
    }
}

/// Returns the text that comes before the data.
fn head(event: &Event) -> String {
    let mut builder = Event::builder().event_type(event.event_type());
    if let Some(id) = event.id() {
        builder = builder.id(id);
    }
    if let Some(retry) = event.retry() {
        builder = builder.retry(retry);
    }
    let without_data = builder.build().expect("the values are those of an event").encode();
    without_data.trim_end_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn pieces_are_the_event_cut_up() {
        let ends = [String::new(), "\n".into(), "x".repeat(PIECE - 1), "é\n\n".repeat(PIECE)];
        for data in ends.iter().flat_map(|end| [format!("{end}a"), format!("a\n{end}"), format!("\n{end}")]) {
            let plain = Event::builder().data(&*data);
            let full = plain.clone().event_type("large ").id("7 ").retry(Duration::from_millis(9));
            for event in [plain, full].map(|event| event.build().unwrap()) {
                let (mut pieces, mut text, mut last) = (Pieces::of(event.clone()), String::new(), 0);
                while pieces.append(&mut text) {
                    assert!(text.len() - last < 8 * PIECE && text.len() > last);
                    last = text.len();
                }
                assert_eq!(text, event.encode());
            }
        }
    }
}
