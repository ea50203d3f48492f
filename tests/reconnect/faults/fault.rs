//! The faults of the server, the bytes that it sends, and how the client may classify them.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use sseclient::ErrorKind;

use super::nature::Nature;

/// The maximum number of events in one response.
const MOST_EVENTS: u64 = 40;

/// The longest `Retry-After` that the client obeys.
const LONGEST_RETRY_AFTER: u64 = 3600;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    CleanEnd,
    Reset,
    MidEvent,
    MidCharacter,
    MidHead,
    Stall,
    StallBeforeHead,
    InternalError,
    Unavailable,
    TooManyRequests,
    Unauthorized,
    Garbage,
    Nothing,
    /// The server closes the connection before it reads the request.
    Unread,
}

impl Fault {
    pub(crate) const ALL: [Self; 14] = [
        Self::CleanEnd,
        Self::Reset,
        Self::MidEvent,
        Self::MidCharacter,
        Self::MidHead,
        Self::Stall,
        Self::StallBeforeHead,
        Self::InternalError,
        Self::Unavailable,
        Self::TooManyRequests,
        Self::Unauthorized,
        Self::Garbage,
        Self::Nothing,
        Self::Unread,
    ];

    /// Each fault once, and a refusal after a refusal, which is final by default.
    pub(crate) fn deck(random: &mut Rng) -> Vec<Self> {
        let mut deck = [&Self::ALL[..], &[Self::Unauthorized, Self::CleanEnd, Self::MidEvent]].concat();
        random.shuffle(&mut deck);
        deck
    }
}

/// How the server leaves a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It closes its sending side, and waits until the client closes.
    Close,
    /// It resets the connection, and data that the client has not read is lost.
    Reset,
    /// It waits until the client closes the connection.
    Silence,
}

/// The answer to one connection.
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ending: Ending,
    /// The last number that was sent completely.
    pub(crate) complete: u64,
    /// The failures that the client may report to its policy.
    pub(crate) kinds: &'static [ErrorKind],
    pub(crate) status: Option<u16>,
    pub(crate) retry_after: Option<Duration>,
}

/// A range of numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) seed: u64,
    /// The last number that the client has received.
    pub(crate) resumed: u64,
    pub(crate) last: u64,
}

impl Fault {
    pub(crate) fn answer(self, span: Span, random: &mut Rng) -> Answer {
        let answer = Answer::before_a_head(span);
        match self {
            Self::CleanEnd | Self::MidEvent | Self::MidCharacter | Self::Stall | Self::Reset => self.open(span, random),
            Self::MidHead => {
                let head = Framing::any(random).head();
                Answer { bytes: head[..random.usize(1..head.len())].into(), ..answer }
            }
            Self::StallBeforeHead => Answer { ending: Ending::Silence, kinds: &[ErrorKind::ResponseTimeout], ..answer },
            Self::InternalError => answer.refusing("500 Internal Server Error", None),
            Self::Unavailable => answer.refusing("503 Service Unavailable", Some(random.u64(..7200))),
            Self::TooManyRequests => answer.refusing("429 Too Many Requests", Some(random.u64(3600..))),
            Self::Unauthorized => answer.refusing("401 Unauthorized", None),
            Self::Garbage => Answer { bytes: garbage(random), ..answer },
            Self::Nothing => answer,
            Self::Unread => {
                let kinds = &[ErrorKind::Protocol, ErrorKind::Connect];
                Answer { ending: Ending::Reset, kinds, ..answer }
            }
        }
    }

    /// An answer that opens the stream and has some events.
    fn open(self, span: Span, random: &mut Rng) -> Answer {
        let framing = Framing::any(random);
        let mut answer = Answer::before_a_head(span);
        answer.complete = (span.resumed + random.u64(..=MOST_EVENTS)).min(span.last);
        let mut body = byte_order_mark(random);
        for number in span.resumed + 1..=answer.complete {
            body.extend(Nature::of(span.seed, number).block().text);
        }
        let next = Nature::of(span.seed, answer.complete + 1).block();
        match self {
            Self::CleanEnd => {}
            Self::MidCharacter => body.extend(next.up_to_half_a_character(random)),
            _ => body.extend(next.half(random)),
        }
        answer.bytes = framing.response(&body, self == Self::CleanEnd, random);
        match self {
            Self::Stall => (answer.ending, answer.kinds) = (Ending::Silence, &[ErrorKind::IdleTimeout]),
            Self::Reset => (answer.ending, answer.kinds) = (Ending::Reset, &[ErrorKind::Body, ErrorKind::Protocol]),
            Self::CleanEnd => answer.kinds = &[ErrorKind::EndOfStream],
            _ => answer.kinds = framing.cut(),
        }
        answer
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the bytes: there are thousands, and the seed reproduces them.
        write!(f, "{:?} after {}, due {:?} {:?}", self.ending, self.complete, self.kinds, self.status)
    }
}

impl Answer {
    /// No answer. Most faults before a complete head count as this.
    fn before_a_head(span: Span) -> Self {
        Self {
            bytes: Vec::new(),
            ending: Ending::Close,
            complete: span.resumed,
            kinds: &[ErrorKind::Protocol],
            status: None,
            retry_after: None,
        }
    }

    fn refusing(self, status: &str, retry_after: Option<u64>) -> Self {
        let header = retry_after.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
        Self {
            bytes: format!("HTTP/1.1 {status}\r\n{header}content-length: 5\r\n\r\nsorry").into_bytes(),
            kinds: &[ErrorKind::Status],
            status: status[..3].parse().ok(),
            retry_after: retry_after.map(|seconds| Duration::from_secs(seconds.min(LONGEST_RETRY_AFTER))),
            ..self
        }
    }
}

/// The framing of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Chunked,
    /// The connection's end is the body's end.
    Connection,
}

impl Framing {
    fn any(random: &mut Rng) -> Self {
        if random.bool() { Self::Chunked } else { Self::Connection }
    }

    fn head(self) -> &'static str {
        match self {
            Self::Chunked => "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
            Self::Connection => "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
        }
    }

    /// The failure that a broken body counts as. Without chunks HTTP cannot tell it from a normal
    /// end.
    fn cut(self) -> &'static [ErrorKind] {
        match self {
            Self::Chunked => &[ErrorKind::Body],
            Self::Connection => &[ErrorKind::EndOfStream],
        }
    }

    fn response(self, mut body: &[u8], is_whole: bool, random: &mut Rng) -> Vec<u8> {
        let mut bytes = self.head().as_bytes().to_vec();
        if self == Self::Connection {
            bytes.extend(body);
            return bytes;
        }
        while !body.is_empty() {
            let (chunk, rest) = body.split_at(random.usize(1..=body.len().min(2_000)));
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
            body = rest;
        }
        if is_whole {
            bytes.extend(b"0\r\n\r\n");
        }
        bytes
    }
}

fn byte_order_mark(random: &mut Rng) -> Vec<u8> {
    if random.u8(..8) == 0 { "\u{feff}".into() } else { Vec::new() }
}

/// Bytes that are not HTTP, or only start like it.
fn garbage(random: &mut Rng) -> Vec<u8> {
    let beginnings = [&b"SSH-2.0-OpenSSH_9.9\r\n"[..], b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01", b"data: 1\n\n"];
    let mut bytes = beginnings[random.usize(..beginnings.len())].to_vec();
    bytes.extend((0..random.usize(..500)).map(|_| random.u8(..)));
    bytes
}
