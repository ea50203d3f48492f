//! Lower bounds for parsers: finding the line ends, validating the text, owning the data.
//!
//! The floors know that the input is well formed and in one piece.

use std::hint::black_box;
use std::sync::Arc;

use super::Input;

/// Finds each LF.
pub fn memchr_lines(input: Input) -> usize {
    input.chunks.iter().map(|chunk| memchr::memchr_iter(b'\n', chunk).map(black_box).count()).sum()
}

/// Finds each LF or CR.
pub fn memchr2_lines(input: Input) -> usize {
    input.chunks.iter().map(|chunk| memchr::memchr2_iter(b'\n', b'\r', chunk).map(black_box).count()).sum()
}

/// Validates the text without splitting lines.
pub fn utf8(input: Input) -> usize {
    simdutf8::basic::from_utf8(&input.whole).map_or(0, str::len)
}

/// Splits lines, validates, and makes a `String` per event.
pub fn floor_string(input: Input) -> usize {
    floor(&input.whole, |data| drop(black_box(String::from(data))))
}

/// Splits lines, validates, and makes an `Arc<str>` per event.
pub fn floor_arc(input: Input) -> usize {
    floor(&input.whole, |data| drop(black_box(Arc::<str>::from(data))))
}

fn floor(input: &[u8], own: fn(&str)) -> usize {
    let mut several = String::new();
    let (mut first, mut events, mut start) = (None, 0, 0);
    for end in memchr::memchr_iter(b'\n', input) {
        let line = &input[start..end];
        start = end + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if let Some(data) = first.take() {
                own(if several.is_empty() { data } else { &several });
                several.clear();
                events += 1;
            }
        } else if let Some(data) = line.strip_prefix(b"data: ") {
            let data = simdutf8::basic::from_utf8(data).expect("the corpora are valid UTF-8");
            match first {
                None => first = Some(data),
                Some(head) => {
                    if several.is_empty() {
                        several.push_str(head);
                    }
                    several.push('\n');
                    several.push_str(data);
                }
            }
        }
    }
    events
}
