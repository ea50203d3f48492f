//! The event of each number: type, data, size, `retry`, and encoding. The seed decides, so that
//! server and subscribers agree.

use std::time::Duration;

use fastrand::Rng;

/// The client's limit. Events are either well below or well above it.
pub(crate) const MAX_EVENT_SIZE: usize = 1_000;

/// The event types, including the default one.
const TYPES: [&str; 4] = ["message", "update", "b", "c"];

/// One event in so many has a `retry`.
const RETRY_EVERY: u64 = 20;

/// The bounds to which the client clamps a server's `retry`.
const RETRY_BOUNDS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(300));

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Fits,
    /// Skipped. Subscribers of its type get a gap.
    TooLarge,
    /// Skipped. Its type is too long to keep, so every subscriber gets a gap.
    TypeTooLarge,
}

/// One number of the run.
#[derive(Debug, Clone)]
pub(crate) struct Nature {
    pub(crate) number: u64,
    pub(crate) event_type: &'static str,
    pub(crate) size: Size,
    /// In milliseconds.
    pub(crate) retry: Option<u64>,
    /// Random bits for the data and the order of the fields.
    random: Rng,
}

impl Nature {
    pub(crate) fn of(seed: u64, number: u64) -> Self {
        let mut random = Rng::with_seed(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let size = match random.u8(..) {
            0..16 => Size::TooLarge,
            16..20 => Size::TypeTooLarge,
            _ => Size::Fits,
        };
        let event_type = TYPES[random.usize(..TYPES.len())];
        let retry = (random.u64(..RETRY_EVERY) == 0).then(|| retry(&mut random));
        Self { number, event_type, size, retry, random }
    }

    pub(crate) fn data(&self) -> String {
        let mut random = self.random.clone();
        let letters = ['a', 'é', '€', '𝄞', ' ', ':', '\n'];
        let length = random.usize(..60);
        let some: String = (0..length).map(|_| letters[random.usize(..letters.len())]).collect();
        let much = if self.size == Size::TooLarge { MAX_EVENT_SIZE + random.usize(..10_000) } else { 0 };
        // The last character always has several bytes, so that it can be cut.
        format!("{}€{some}{}", self.number, "x".repeat(much))
    }

    /// The reconnection time that this event sets, if any.
    pub(crate) fn reconnection_time(&self) -> Option<Duration> {
        let (shortest, longest) = RETRY_BOUNDS;
        self.retry.map(|milliseconds| Duration::from_millis(milliseconds).clamp(shortest, longest))
    }

    /// The event as it is sent.
    pub(crate) fn block(&self) -> Block {
        let mut random = self.random.clone();
        let mut fields = self.fields();
        random.shuffle(&mut fields);
        let end_of_line = ["\n", "\r", "\r\n"][random.usize(..3)];
        let mut text: String = fields.concat().lines().flat_map(|line| [line, end_of_line]).collect();
        let end = text.len();
        text.push_str(end_of_line);
        Block { text: text.into_bytes(), end }
    }

    fn fields(&self) -> Vec<String> {
        let data = self.data().split('\n').map(|line| format!("data: {line}\n")).collect();
        let mut fields = vec![format!("id: {}\n", self.number), data, ": comment\n".to_owned()];
        fields.extend(self.retry.map(|milliseconds| format!("retry: {milliseconds}\n")));
        match (self.size, self.event_type) {
            (Size::TypeTooLarge, _) => fields.push(format!("event: {}\n", "t".repeat(2 * MAX_EVENT_SIZE))),
            (_, "message") => {}
            (_, event_type) => fields.push(format!("event: {event_type}\n")),
        }
        fields
    }
}

fn retry(random: &mut Rng) -> u64 {
    match random.u8(..3) {
        0 => random.u64(..100),
        1 => random.u64(300_001..),
        _ => random.u64(100..=300_000),
    }
}

/// An event's bytes.
pub(crate) struct Block {
    pub(crate) text: Vec<u8>,
    /// The position of the blank line. Up to here the event is not complete.
    end: usize,
}

impl Block {
    /// A part that ends before the end of the blank line.
    pub(crate) fn half(&self, random: &mut Rng) -> &[u8] {
        &self.text[..random.usize(1..=self.end)]
    }

    /// A part that ends inside a character.
    pub(crate) fn up_to_half_a_character(&self, random: &mut Rng) -> &[u8] {
        let is_continuation = |at: &usize| self.text[*at] & 0b1100_0000 == 0b1000_0000;
        let places: Vec<usize> = (0..self.end).filter(is_continuation).collect();
        &self.text[..places[random.usize(..places.len())]]
    }
}
