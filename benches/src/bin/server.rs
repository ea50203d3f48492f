//! The server of the end-to-end benchmarks: threads, blocking sockets, bodies rendered at the
//! start.
//!
//! It prints its port, its port for TLS, and the file of its certificate, and serves until its
//! standard input ends:
//!
//! - `/blast/CORPUS/FRAMING/UNITS`: a prepared unit, UNITS times, as fast as the client reads;
//! - `/events/CORPUS/EVENTS`: EVENTS events, each in an HTTP chunk of its own;
//! - `/sized/BYTES/EVENTS`: EVENTS events of about BYTES bytes;
//! - `/typed/TYPES/EVENTS`: EVENTS events of a hundred bytes, of TYPES types in turn;
//! - `/latency/EVENTS/MILLISECONDS`: an event each MILLISECONDS, whose data is the time at which it
//!   was written;
//! - `/idle`: a response head, then silence; `/idle/EVENTS/BYTES`: EVENTS events of about BYTES
//!   bytes first;
//! - `/soak`: a stream that waits for events; `/soak/drive/EVENTS/MICROSECONDS`: sends an event
//!   each MICROSECONDS to the next such stream, whose data counts that stream's events, and answers
//!   with the number of events sent.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sseclient_benches::e2e::body::{FRAMINGS, LAST_CHUNK, Unit, push_chunk};
use sseclient_benches::measure::{monotonic, raise_open_files};

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

/// Units by corpus and framing.
type Units = HashMap<String, Unit>;

/// State that all connections share.
struct Shared {
    units: Units,
    /// In the order in which they were opened.
    soaked: Mutex<Vec<TcpStream>>,
}

fn main() -> io::Result<()> {
    raise_open_files();
    let shared = Arc::new(Shared { units: render(), soaked: Mutex::default() });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let over_tls = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).map_err(io::Error::other)?;
    let certificate = std::env::temp_dir().join(format!("sseclient-benches-{}.pem", std::process::id()));
    std::fs::write(&certificate, certified.cert.pem())?;
    println!("{} {} {}", listener.local_addr()?.port(), over_tls.local_addr()?.port(), certificate.display());
    let config = tls(certified)?;
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let shared = Arc::clone(&shared);
            // A client that has seen enough hangs up, which is not an error.
            thread::spawn(move || serve(socket, &shared).ok());
        }
    });
    thread::spawn(move || {
        for socket in over_tls.incoming().flatten() {
            let config = Arc::clone(&config);
            thread::spawn(move || stay(socket, config).ok());
        }
    });
    let done = io::copy(&mut io::stdin(), &mut io::sink()).map(drop);
    std::fs::remove_file(certificate)?;
    done
}

fn tls(certified: CertifiedKey<KeyPair>) -> io::Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?.with_no_client_auth();
    builder.with_single_cert(vec![certified.cert.der().clone()], key).map(Arc::new).map_err(io::Error::other)
}

/// Serves over TLS: `/idle` only.
fn stay(socket: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let session = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut socket = StreamOwned::new(session, socket);
    read_path(&mut socket)?;
    socket.write_all(HEAD)?;
    socket.flush()?;
    fall_silent(socket)
}

fn render() -> Units {
    let mut units = Units::new();
    for corpus in ["llm", "ticks"] {
        for (name, framing) in FRAMINGS {
            units.insert(format!("{corpus}/{name}"), Unit::render(corpus, framing));
        }
    }
    units
}

fn serve(mut socket: TcpStream, shared: &Shared) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let path = read_path(&mut socket)?;
    socket.write_all(HEAD)?;
    let unit = |name: String| shared.units.get(&name).ok_or(io::ErrorKind::NotFound);
    match path.split('/').collect::<Vec<_>>()[..] {
        ["", "blast", corpus, framing, times] => {
            blast(&mut socket, unit(format!("{corpus}/{framing}"))?, parse(times)?)
        }
        ["", "events", corpus, events] => send(&mut socket, unit(format!("{corpus}/event"))?, parse(events)?),
        ["", "sized", bytes, events] => {
            socket.write_all(&burst(parse(events)?, parse(bytes)?))?;
            socket.write_all(LAST_CHUNK)
        }
        ["", "typed", types, events] => {
            socket.write_all(&typed(parse(types)?, parse(events)?))?;
            socket.write_all(LAST_CHUNK)
        }
        ["", "latency", events, every] => tick(&mut socket, parse(events)?, Duration::from_millis(parse(every)?)),
        ["", "idle"] => fall_silent(socket),
        ["", "idle", events, bytes] => {
            socket.write_all(&burst(parse(events)?, parse(bytes)?))?;
            fall_silent(socket)
        }
        ["", "soak"] => {
            shared.soaked.lock().expect("no panic while it is held").push(socket);
            Ok(())
        }
        ["", "soak", "drive", events, every] => {
            let sent = drive(shared, parse(events)?, Duration::from_micros(parse(every)?))?;
            socket.write_all(sent.to_string().as_bytes())
        }
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn blast(socket: &mut TcpStream, unit: &Unit, times: usize) -> io::Result<()> {
    for _ in 0..times {
        socket.write_all(&unit.bytes)?;
    }
    socket.write_all(LAST_CHUNK)
}

/// Sends events of `unit`, repeated from its start.
fn send(socket: &mut TcpStream, unit: &Unit, events: usize) -> io::Result<()> {
    for _ in 0..events / unit.events {
        socket.write_all(&unit.bytes)?;
    }
    socket.write_all(unit.start(events % unit.events))?;
    socket.write_all(LAST_CHUNK)
}

/// Keeps a connection open as long as its client. Thousands of connections that clients have left
/// would use up the descriptors.
fn fall_silent(mut socket: impl Read) -> io::Result<()> {
    io::copy(&mut socket, &mut io::sink()).map(drop)
}

/// Sends each event in an HTTP chunk of its own.
fn burst(events: usize, bytes: usize) -> Vec<u8> {
    let block = format!("data: {}\n\n", "x".repeat(bytes));
    let mut body = Vec::new();
    (0..events).for_each(|_| push_chunk(&mut body, block.as_bytes()));
    body
}

/// Sends events of several types in turn, each in an HTTP chunk of its own.
fn typed(types: usize, events: usize) -> Vec<u8> {
    let data = "x".repeat(100);
    let mut body = Vec::new();
    for number in 0..events {
        push_chunk(&mut body, format!("event: type.{}\nid: {number}\ndata: {data}\n\n", number % types).as_bytes());
    }
    body
}

/// Sends events whose data is the time, at even intervals.
fn tick(socket: &mut TcpStream, events: usize, every: Duration) -> io::Result<()> {
    for _ in grid(every).take(events) {
        write_event(socket, monotonic().as_nanos())?;
    }
    socket.write_all(LAST_CHUNK)
}

/// Sends events to the streams that are open now, in turn.
fn drive(shared: &Shared, events: usize, every: Duration) -> io::Result<usize> {
    let mut streams = std::mem::take(&mut *shared.soaked.lock().expect("no panic while it is held"));
    let count = streams.len();
    for (at, ()) in (0..events).zip(grid(every)) {
        write_event(&mut streams[at % count], (at / count) as u128)?;
    }
    shared.soaked.lock().expect("no panic while it is held").extend(streams);
    Ok(events)
}

fn write_event(socket: &mut TcpStream, data: u128) -> io::Result<()> {
    let mut chunk = Vec::new();
    push_chunk(&mut chunk, format!("data: {data}\n\n").as_bytes());
    socket.write_all(&chunk)
}

/// Returns an iterator that yields once each `every`, by sleeping.
fn grid(every: Duration) -> impl Iterator<Item = ()> {
    let start = monotonic();
    (1..).map(move |tick| thread::sleep((start + every * tick).saturating_sub(monotonic())))
}

/// Reads a request's head and returns its path.
fn read_path(socket: &mut impl Read) -> io::Result<String> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request);
    Ok(request.split(' ').nth(1).unwrap_or_default().to_owned())
}

fn parse<T: FromStr>(number: &str) -> io::Result<T> {
    number.parse().map_err(|_| io::ErrorKind::InvalidInput.into())
}
