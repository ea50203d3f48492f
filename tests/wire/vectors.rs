//! The conformance vectors in `tests/conformance/*.jsonl`, one JSON object per line.

#![allow(dead_code, reason = "the seeds of the fuzzer are made from a part of this")]

use std::path::Path;

use base64::Engine as _;
use bytes::Bytes;
use serde_json::Value;

/// One input and its expected result.
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) rule: String,
    pub(crate) source: String,
    pub(crate) note: String,
    /// The last event ID of an earlier connection.
    pub(crate) seed: Option<String>,
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) events: Vec<Event>,
    pub(crate) retry: Retry,
    pub(crate) last_event_id: String,
    pub(crate) comments: Vec<String>,
    /// Events dispatched after each of the given chunks.
    pub(crate) prompt: Option<Vec<usize>>,
}

/// An event of a vector. `id` is the last event ID at dispatch.
#[derive(PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) event_type: String,
    pub(crate) data: String,
    pub(crate) id: String,
}

/// The allowed values of the last reconnection time.
pub(crate) enum Retry {
    Exactly(Option<u64>),
    /// A field that is out of range. A decoder may keep it (given as digits), clamp it, or ignore
    /// it (then `before` still holds), but must not wrap it into one of `forbidden`.
    Overflow {
        digits: String,
        before: Option<u64>,
        forbidden: Vec<u64>,
    },
}

impl Vector {
    /// All chunks as one.
    pub(crate) fn input(&self) -> Bytes {
        self.chunks.concat().into()
    }
}

/// The vectors of one file of `tests/conformance`.
///
/// # Panics
///
/// When the file is not there, or a line is not a vector.
pub(crate) fn load(file: &str) -> Vec<Vector> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance").join(file);
    load_path(&path)
}

pub(crate) fn load_path(path: &Path) -> Vec<Vector> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .enumerate()
        .map(|(number, line)| match serde_json::from_str::<Value>(line) {
            Ok(vector) => parse(&vector),
            Err(error) => panic!("{}:{}: {error}", path.display(), number + 1),
        })
        .collect()
}

fn parse(vector: &Value) -> Vector {
    let expect = &vector["expect"];
    Vector {
        name: string(&vector["name"]),
        rule: string(&vector["rule"]),
        source: string(&vector["source"]),
        note: string(&vector["note"]),
        seed: vector["initial_last_event_id"].as_str().map(str::to_owned),
        chunks: chunks(vector),
        events: list(&expect["events"]).iter().map(event).collect(),
        retry: retry(expect),
        last_event_id: string(&expect["last_event_id"]),
        comments: comments(expect),
        prompt: vector["prompt"].as_array().map(|counts| counts.iter().map(count).collect()),
    }
}

fn chunks(vector: &Value) -> Vec<Bytes> {
    if let Some(texts) = vector["input"].as_array() {
        return texts.iter().map(|text| string(text).into()).collect();
    }
    if let Some(texts) = vector["input_b64"].as_array() {
        let decode = |text: &Value| base64::engine::general_purpose::STANDARD.decode(string(text));
        return texts.iter().map(|text| decode(text).expect("base64").into()).collect();
    }
    list(&vector["input_parts"]).iter().map(|parts| repeated(parts).into()).collect()
}

fn event(event: &Value) -> Event {
    let data = match event.get("data_parts") {
        Some(parts) => repeated(parts),
        None => string(&event["data"]),
    };
    Event { event_type: string(&event["event"]), data, id: string(&event["id"]) }
}

fn comments(expect: &Value) -> Vec<String> {
    match expect.get("comments_parts") {
        Some(comments) => list(comments).iter().map(repeated).collect(),
        None => list(&expect["comments"]).iter().map(string).collect(),
    }
}

fn retry(expect: &Value) -> Retry {
    let exact = expect["retry_ms"].as_u64();
    match expect.get("retry_overflow") {
        None => Retry::Exactly(exact),
        Some(digits) => Retry::Overflow {
            digits: string(digits),
            before: exact,
            forbidden: list(&expect["retry_forbidden"]).iter().filter_map(Value::as_u64).collect(),
        },
    }
}

/// Run-length encoded text: strings, or `{"s", "n"}` for `s` repeated n times.
fn repeated(parts: &Value) -> String {
    let part = |part: &Value| match part.as_str() {
        Some(text) => text.to_owned(),
        None => string(&part["s"]).repeat(count(&part["n"])),
    };
    list(parts).iter().map(part).collect()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

fn count(value: &Value) -> usize {
    value.as_u64().and_then(|count| count.try_into().ok()).unwrap_or_else(|| panic!("not a count: {value}"))
}
