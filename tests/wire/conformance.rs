//! The wire vectors, with and without comments: in the given chunks, in one piece, one byte at a
//! time, and cut in two at every position. The chunks make no difference to the result.

use std::collections::BTreeSet;

use bytes::Bytes;
use sseclient::wire::Decoder;

use crate::runs::{Outcome, Owned, byte_by_byte, cut_at, difference, reference, run, shown, whole};
use crate::vectors::{Event, Retry, Vector, load};

/// Longer inputs are cut only near their ends and around some line ends.
const EVERY_SPLIT: usize = 6_000;
/// The number of cuts at either end of a long input, and of one of several megabytes.
const SPLITS_AT_THE_ENDS: usize = 64;
const SPLITS_AT_LARGE_ENDS: usize = 3;
const LARGE: usize = 1_000_000;
/// Longer inputs are pushed byte by byte only near their ends, since a debug build takes a
/// microsecond for each chunk. One of several megabytes is pushed byte by byte as a whole, to show
/// that the work is linear.
const DRIPPED: usize = 300_000;
const DRIPPED_ENDS: usize = 20_000;
const DRIPPED_ALL_THE_SAME: &str = "large-multibyte";
/// The number of line ends of a long input at which it is cut, from the front and from the back.
const LINE_ENDS: usize = 2;
/// The maximum number of failures in a report.
const FAILURES_SHOWN: usize = 8;

#[test]
fn every_vector_gives_what_it_expects_however_it_is_cut() {
    check_all("parser.jsonl", 320);
}

#[test]
fn a_resumed_stream_starts_with_the_carried_id() {
    let vectors = check_all("parser_resume.jsonl", 8);
    assert!(vectors.iter().all(|vector| vector.seed.is_some()), "a vector lost its carried ID");
}

#[test]
fn inputs_of_megabytes_give_the_expected_outcome() {
    check_all("parser_large.jsonl", 8);
}

#[test]
fn the_reference_of_the_property_tests_passes_the_vectors_too() {
    let mut report = Report::default();
    for file in ["parser.jsonl", "parser_resume.jsonl", "parser_large.jsonl"] {
        for vector in load(file) {
            let (frames, last_event_id) =
                reference::decode(&vector.input(), vector.seed.as_deref().unwrap_or_default());
            let outcome = Outcome { frames, after_chunk: Vec::new(), last_event_id };
            report.note(&vector, "the reference", compare(&vector, &outcome, true));
        }
    }
    report.assert_empty();
}

fn check_all(file: &str, expected: usize) -> Vec<Vector> {
    let vectors = load(file);
    assert_eq!(vectors.len(), expected, "{file} has lost or won vectors");
    let mut report = Report::default();
    for vector in &vectors {
        check(vector, &mut report);
    }
    report.assert_empty();
    vectors
}

fn check(vector: &Vector, report: &mut Report) {
    let input = vector.input();
    for comments in [true, false] {
        let suffix = if comments { "" } else { ", without comments" };
        let mut case = |mode: String, outcome: Outcome| {
            let differs = compare(vector, &outcome, comments);
            report.note(vector, &format!("{mode}{suffix}"), differs);
            outcome
        };
        let decoder = || decoder(vector, comments);
        let outcome = case("in the given chunks".to_owned(), run(decoder(), vector.chunks.iter().cloned()));
        case("in one piece".to_owned(), run(decoder(), whole(&input)));
        if input.len() <= DRIPPED || vector.name == DRIPPED_ALL_THE_SAME && comments {
            case("one byte at a time".to_owned(), run(decoder(), byte_by_byte(&input)));
        } else {
            case("one byte at a time at both ends".to_owned(), run(decoder(), dripped_at_the_ends(&input)));
        }
        let splits = if input.len() < LARGE || comments { splits(&input) } else { BTreeSet::new() };
        for at in splits {
            case(split_shown(&input, at), run(decoder(), cut_at(&input, at)));
        }
        report.note(vector, &format!("promptness{suffix}"), late(vector, &outcome));
    }
}

fn decoder(vector: &Vector, comments: bool) -> Decoder {
    let decoder = Decoder::new().comments(comments);
    match &vector.seed {
        Some(id) => decoder.last_event_id(id),
        None => decoder,
    }
}

/// The positions at which to cut in two.
fn splits(input: &Bytes) -> BTreeSet<usize> {
    let length = input.len();
    if length <= EVERY_SPLIT {
        return (0..=length).collect();
    }
    let ends = if length < LARGE { SPLITS_AT_THE_ENDS } else { SPLITS_AT_LARGE_ENDS };
    let line_ends: Vec<usize> =
        input.iter().enumerate().filter(|(_, byte)| matches!(byte, b'\r' | b'\n')).map(|(at, _)| at).collect();
    let front = line_ends.iter().take(LINE_ENDS);
    let back = line_ends.iter().rev().take(LINE_ENDS);
    let around = front.chain(back).flat_map(|&at| [at, at + 1]);
    // One of three neighbouring positions is inside a character of three bytes.
    let inside = (0..3).map(|byte| length / 2 + byte);
    (0..ends).chain(length - ends..=length).chain(around).chain(inside).collect()
}

fn dripped_at_the_ends(input: &Bytes) -> impl Iterator<Item = Bytes> {
    let head = input.slice(..DRIPPED_ENDS);
    let middle = input.slice(DRIPPED_ENDS..input.len() - DRIPPED_ENDS);
    let tail = input.slice(input.len() - DRIPPED_ENDS..);
    let drip = |bytes: Bytes| (0..bytes.len()).map(move |at| bytes.slice(at..at + 1));
    drip(head).chain([middle]).chain(drip(tail))
}

fn split_shown(input: &[u8], at: usize) -> String {
    let (head, tail) = input.split_at(at);
    format!("cut at {at} of {}: {} | {}", input.len(), shown(head), shown(tail))
}

/// The differences between the result and the vector.
fn compare(vector: &Vector, outcome: &Outcome, comments: bool) -> Option<String> {
    let mut wrong = Vec::new();
    wrong.extend(difference("events", &vector.events, &events(outcome)));
    let retry = outcome.frames.iter().rev().find_map(|frame| match frame {
        Owned::Retry(milliseconds) => Some(*milliseconds),
        _ => None,
    });
    wrong.extend(retry_differs(&vector.retry, retry));
    if vector.last_event_id != outcome.last_event_id {
        let (expected, got) = (shown(vector.last_event_id.as_bytes()), shown(outcome.last_event_id.as_bytes()));
        wrong.push(format!("last event ID at the end:\n    expected {expected}\n    got      {got}"));
    }
    let heard: Vec<String> = outcome.frames.iter().filter_map(comment).collect();
    let expected: &[String] = if comments { &vector.comments } else { &[] };
    wrong.extend(difference("comments", &clipped(expected), &clipped(&heard)));
    if let Some(frame) = outcome.frames.iter().find(|frame| matches!(frame, Owned::Oversized { .. })) {
        wrong.push(format!("nothing here is over the limit, but: {frame:?}"));
    }
    (!wrong.is_empty()).then(|| wrong.join("\n  "))
}

fn events(outcome: &Outcome) -> Vec<Event> {
    let event = |frame: &Owned| match frame {
        Owned::Event { event_type, data, last_event_id, .. } => {
            Some(Event { event_type: event_type.clone(), data: data.clone(), id: last_event_id.clone() })
        }
        _ => None,
    };
    outcome.frames.iter().filter_map(event).collect()
}

fn comment(frame: &Owned) -> Option<String> {
    match frame {
        Owned::Comment(text) => Some(text.clone()),
        _ => None,
    }
}

/// Shortens long comments for failure messages.
fn clipped(texts: &[String]) -> Vec<Clipped<'_>> {
    texts.iter().map(|text| Clipped(text)).collect()
}

#[derive(PartialEq, Eq)]
struct Clipped<'a>(&'a str);

impl std::fmt::Debug for Clipped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&shown(self.0.as_bytes()))
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [event_type, data, id] = [&self.event_type, &self.data, &self.id].map(|text| shown(text.as_bytes()));
        write!(f, "{{ type {event_type}, data {data}, id {id} }}")
    }
}

fn retry_differs(expected: &Retry, got: Option<u64>) -> Option<String> {
    let (right, expected) = match expected {
        Retry::Exactly(expected) => (got == *expected, format!("{expected:?}")),
        Retry::Overflow { digits, before, forbidden } => {
            // A decoder may clamp to any bound, except to a value that wrapping would produce.
            let wrapped = got.is_some_and(|got| forbidden.contains(&got));
            let clamped = got.is_some_and(|got| Some(got) > *before && digits.len() >= got.to_string().len());
            let right = !wrapped && (got == *before || clamped);
            (right, format!("{digits} or clamped, or {before:?}, and none of {forbidden:?}"))
        }
    };
    (!right).then(|| format!("retry:\n    expected {expected}\n    got      {got:?}"))
}

/// An event is due as soon as its blank line is complete, which is at the CR.
fn late(vector: &Vector, outcome: &Outcome) -> Option<String> {
    let prompt = vector.prompt.as_ref()?;
    let got = outcome.events_after_chunk();
    (*prompt != got).then(|| format!("events after each chunk:\n    expected {prompt:?}\n    got      {got:?}"))
}

/// The failures: for each vector the first cut that went wrong.
#[derive(Default)]
struct Report {
    failures: Vec<(String, String)>,
    cases: usize,
    failed_cases: usize,
}

impl Report {
    fn note(&mut self, vector: &Vector, mode: &str, wrong: Option<String>) {
        self.cases += 1;
        let Some(wrong) = wrong else { return };
        self.failed_cases += 1;
        if self.failures.last().is_none_or(|(name, _)| *name != vector.name) {
            let Vector { name, rule, source, note, .. } = vector;
            let text = format!("{name} (rule {rule}; from {source})\n  {note}\n  {mode}\n  {wrong}");
            self.failures.push((name.clone(), text));
        }
    }

    fn assert_empty(&self) {
        let shown: Vec<&str> = self.failures.iter().take(FAILURES_SHOWN).map(|(_, text)| text.as_str()).collect();
        assert!(
            self.failures.is_empty(),
            "{} of {} cases, in {} vectors, are not as expected; the first {}:\n\n{}\n",
            self.failed_cases,
            self.cases,
            self.failures.len(),
            shown.len(),
            shown.join("\n\n"),
        );
    }
}
