//! The server of the end-to-end benchmarks: threads, blocking sockets, bodies rendered at the start.
//!
//! It prints its port and serves until its standard input ends:
//!
//! - `/blast/CORPUS/FRAMING/UNITS`: a prepared unit, so many times over, as fast as the client reads;
//! - `/latency/EVENTS`: one event per millisecond, its data the time at which it was written;
//! - `/idle`: a response head, then silence.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sseclient_benches::e2e::body::{FRAMINGS, LAST_CHUNK, Unit, push_chunk};
use sseclient_benches::measure::{monotonic, raise_open_files};

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

/// By corpus and framing.
type Units = HashMap<String, Unit>;

/// Sockets that are kept open and silent.
type Silent = Mutex<Vec<TcpStream>>;

fn main() -> io::Result<()> {
    raise_open_files();
    let units = Arc::new(render());
    let silent = Arc::new(Silent::default());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let (units, silent) = (Arc::clone(&units), Arc::clone(&silent));
            // A client that has seen enough hangs up: no error of ours.
            thread::spawn(move || serve(socket, &units, &silent).ok());
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink()).map(drop)
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

fn serve(mut socket: TcpStream, units: &Units, silent: &Silent) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let path = read_path(&mut socket)?;
    socket.write_all(HEAD)?;
    match path.split('/').collect::<Vec<_>>()[..] {
        ["", "blast", corpus, framing, times] => {
            let unit = units.get(&format!("{corpus}/{framing}")).ok_or(io::ErrorKind::NotFound)?;
            for _ in 0..parse(times)? {
                socket.write_all(&unit.bytes)?;
            }
            socket.write_all(LAST_CHUNK)
        }
        ["", "latency", events] => {
            tick(&mut socket, parse(events)?)?;
            socket.write_all(LAST_CHUNK)
        }
        ["", "idle"] => {
            silent.lock().expect("nobody panics with it").push(socket);
            Ok(())
        }
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// One event per millisecond, on an even grid.
fn tick(socket: &mut TcpStream, events: usize) -> io::Result<()> {
    let mut due = monotonic();
    for _ in 0..events {
        due += Duration::from_millis(1);
        thread::sleep(due.saturating_sub(monotonic()));
        let mut chunk = Vec::new();
        push_chunk(&mut chunk, format!("data: {}\n\n", monotonic().as_nanos()).as_bytes());
        socket.write_all(&chunk)?;
    }
    Ok(())
}

/// Reads a request's head; only its path matters.
fn read_path(socket: &mut TcpStream) -> io::Result<String> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request);
    Ok(request.split(' ').nth(1).unwrap_or_default().to_owned())
}

fn parse(number: &str) -> io::Result<usize> {
    number.parse().map_err(|_| io::ErrorKind::InvalidInput.into())
}
