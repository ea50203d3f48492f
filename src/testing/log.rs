//! [`Log`]: events that a server sends after the last event ID of each request, and [`Faults`],
//! what goes wrong meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::{Request, StatusCode};

use crate::event::Event;

use super::requests::last_event_id;
use super::script::{LAST_CHUNK, Script, chunk};

/// The most events in one response of a server with faults.
const MAX_EVENTS: usize = 40;

/// The largest chunk, and the largest piece that is sent at once, of a server with faults.
const MAX_PIECE: usize = 500;

/// The longest `Retry-After`, in seconds.
const MAX_RETRY_AFTER: u64 = 3;

/// Spreads the seeds of neighbouring connections: 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Events that a [`Server`](super::Server) sends: to each request those after its `Last-Event-ID`.
///
/// A client that resumes misses none, for any [`Faults`]. One that has all of them gets a 204, so
/// its stream closes with [`NoContent`](crate::CloseReason::NoContent), and its subscriptions end.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sseclient::testing::{Faults, Log, Server};
/// use sseclient::{Event, Filter};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), sseclient::Error> {
/// let events = (1..=100).map(|id| Event::builder().id(id.to_string()).data("x").build().unwrap());
/// let server = Server::in_memory(Log::new(events).faults(Faults::seed(7)));
///
/// let handle = server.client().stream(server.url()).build()?;
/// let mut events = handle.subscribe(Filter::all()).into_events();
/// handle.connect();
/// for id in 1..=100 {
///     assert_eq!(events.recv().await.unwrap().id(), Some(&*id.to_string()));
/// }
/// handle.closed().await.into_result()?;
/// server.finish().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a log does nothing until a server has it"]
pub struct Log {
    events: Vec<Event>,
    faults: Option<Faults>,
}

impl Log {
    /// Makes a log of these events.
    ///
    /// # Panics
    ///
    /// If an event has no ID, an empty one, or that of another: no client could resume after it.
    #[track_caller]
    pub fn new(events: impl IntoIterator<Item = Event>) -> Self {
        let events: Vec<Event> = events.into_iter().collect();
        let mut places = BTreeMap::new();
        for (place, event) in events.iter().enumerate() {
            let Some(id) = event.id().filter(|id| !id.is_empty()) else { panic!("event {place} of the log has no ID") };
            if let Some(other) = places.insert(id, place) {
                panic!("events {other} and {place} of the log have the same ID {id:?}");
            }
        }
        drop(places);
        Self { events, faults: None }
    }

    /// Does something wrong on each connection.
    pub fn faults(self, faults: Faults) -> Self {
        Self { faults: Some(faults), ..self }
    }
}

/// What goes wrong while a server sends a [`Log`], by a seed: the same seed, the same faults.
///
/// Connections that are refused, cut at any byte, reset, or stall; answers that are late, missing,
/// or no HTTP; 500, 503 and 429 with `Retry-After`; and responses that end as they should. Each
/// occurs once before any occurs again, so a client makes progress. Events come in chunks and
/// packets of any size, with heartbeats between them.
///
/// The faults of a connection depend on the seed and on its number. What a client has got of a
/// response that was reset depends on chance, unless it is in memory.
#[derive(Debug, Clone)]
pub struct Faults {
    seed: u64,
    stall: Duration,
}

impl Faults {
    /// Returns the faults of this seed, with stalls of 1 s.
    pub fn seed(seed: u64) -> Self {
        Self { seed, stall: Duration::from_secs(1) }
    }

    /// Sets how long a stall lasts; then the server hangs up. Default: 1 s.
    ///
    /// Longer than the client's [idle timeout](crate::StreamBuilder::idle_timeout), it shows that.
    pub fn stall(self, time: Duration) -> Self {
        Self { stall: time, ..self }
    }
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Refuse,
    Cut,
    Reset,
    Stall,
    StallBeforeHead,
    NoAnswer,
    Garbage,
    Status(u16),
}

impl Fault {
    const ALL: [Self; 12] = [
        Self::None,
        Self::None,
        Self::Refuse,
        Self::Cut,
        Self::Reset,
        Self::Stall,
        Self::StallBeforeHead,
        Self::NoAnswer,
        Self::Garbage,
        Self::Status(500),
        Self::Status(503),
        Self::Status(429),
    ];
}

/// A log that is being sent.
#[derive(Debug)]
pub(super) struct LogServer {
    log: Log,
    /// The faults to come, from the last.
    deck: Vec<Fault>,
    /// How many connections there were.
    connections: u64,
    /// How many events may have reached the client.
    sent: usize,
}

/// What happens on one connection.
#[derive(Debug)]
pub(super) struct Turn {
    fault: Fault,
    random: Rng,
}

impl Turn {
    pub(super) fn is_refused(&self) -> bool {
        self.fault == Fault::Refuse
    }
}

impl LogServer {
    pub(super) fn new(log: Log) -> Self {
        Self { log, deck: Vec::new(), connections: 0, sent: 0 }
    }

    /// Decides about the next connection.
    pub(super) fn next_turn(&mut self) -> Turn {
        let Some(faults) = &self.log.faults else { return Turn { fault: Fault::None, random: Rng::with_seed(0) } };
        let mut random = Rng::with_seed(faults.seed ^ self.connections.wrapping_mul(SPREAD));
        self.connections += 1;
        if self.deck.is_empty() {
            self.deck = Fault::ALL.to_vec();
            random.shuffle(&mut self.deck);
        }
        // There is one: the deck has just been filled.
        Turn { fault: self.deck.pop().unwrap_or(Fault::None), random }
    }

    /// Returns what the server does for this request; `None` for a client that has everything.
    ///
    /// # Errors
    ///
    /// A complaint about a request for events after one that was not sent.
    pub(super) fn script(&mut self, turn: Turn, request: &Request<Bytes>) -> Result<Option<Script>, String> {
        let after = match last_event_id(request) {
            None => 0,
            Some(id) => {
                let place = self.log.events[..self.sent].iter().position(|event| event.id() == Some(&*id));
                place.ok_or_else(|| format!("it resumed from {id:?}, which was never sent"))? + 1
            }
        };
        if after == self.log.events.len() {
            return Ok(None);
        }
        let Turn { fault, mut random } = turn;
        let Some(faults) = self.log.faults.clone() else {
            self.sent = self.log.events.len();
            let events = &self.log.events[after..];
            return Ok(Some(events.iter().fold(Script::open(), |script, event| script.event(event.clone())).end()));
        };
        Ok(Some(self.faulty(fault, after, faults.stall, &mut random)))
    }

    fn faulty(&mut self, fault: Fault, after: usize, stall: Duration, random: &mut Rng) -> Script {
        match fault {
            Fault::None => {
                let (head, body) = self.response(after, 1, random);
                let is_chunked = head == CHUNKED;
                let script = in_packets(Script::raw().bytes(head), &body, random);
                if is_chunked { script.bytes(LAST_CHUNK).hang_up() } else { script.hang_up() }
            }
            Fault::Cut | Fault::Reset | Fault::Stall => {
                let (head, body) = self.response(after, 1, random);
                let bytes = [head.as_bytes(), &body].concat();
                let script = in_packets(Script::raw(), &bytes[..random.usize(1..bytes.len())], random);
                match fault {
                    Fault::Cut => script.hang_up(),
                    Fault::Reset => script.reset(),
                    _ => script.stall(stall).hang_up(),
                }
            }
            Fault::StallBeforeHead => Script::raw().stall(stall).hang_up(),
            Fault::Refuse | Fault::NoAnswer => Script::raw().hang_up(),
            Fault::Garbage => Script::raw().bytes(garbage(random)).hang_up(),
            Fault::Status(status) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let script = Script::answer(status).bytes("sorry");
                if status == StatusCode::INTERNAL_SERVER_ERROR {
                    return script;
                }
                script.header("retry-after", random.u64(1..=MAX_RETRY_AFTER))
            }
        }
    }

    /// Returns the head and the body of a response with some events, but at least so many.
    fn response(&mut self, after: usize, min: usize, random: &mut Rng) -> (&'static str, Vec<u8>) {
        let left = &self.log.events[after..];
        let events = &left[..random.usize(min..=MAX_EVENTS).min(left.len())];
        self.sent = self.sent.max(after + events.len());
        let end_of_line = ["\n", "\r", "\r\n"][random.usize(..3)];
        let mut body = if random.u8(..8) == 0 { "\u{feff}".to_owned() } else { String::new() };
        for event in events {
            if random.u8(..4) == 0 {
                body.extend([": heartbeat", end_of_line, end_of_line]);
            }
            body.push_str(&event.encode().replace('\n', end_of_line));
        }
        if random.bool() {
            return (UNTIL_CLOSE, body.into_bytes());
        }
        (CHUNKED, pieces(body.as_bytes(), random).into_iter().flat_map(chunk).collect())
    }
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// Sends bytes in packets of any size.
fn in_packets(script: Script, bytes: &[u8], random: &mut Rng) -> Script {
    pieces(bytes, random).into_iter().fold(script, |script, piece| script.bytes(piece.to_vec()))
}

/// Cuts bytes anywhere.
fn pieces<'a>(mut bytes: &'a [u8], random: &mut Rng) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let max = [20, MAX_PIECE][random.usize(..2)];
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(random.usize(1..=bytes.len().min(max)));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// Bytes that are not HTTP, or only begin like it.
fn garbage(random: &mut Rng) -> Vec<u8> {
    let beginnings = [&b"SSH-2.0-OpenSSH_9.9\r\n"[..], b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01", b"data: 1\n\n"];
    let mut bytes = beginnings[random.usize(..beginnings.len())].to_vec();
    bytes.extend((0..random.usize(..MAX_PIECE)).map(|_| random.u8(..)));
    bytes
}
