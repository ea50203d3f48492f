//! The server of the end-to-end benchmarks: threads, blocking sockets, bodies rendered at the start.
//!
//! It prints its port, that of the same behind TLS, and the file of its certificate, and serves until its standard input ends:
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

use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sseclient_benches::e2e::body::{FRAMINGS, LAST_CHUNK, Unit, push_chunk};
use sseclient_benches::measure::{monotonic, raise_open_files};

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

/// By corpus and framing.
type Units = HashMap<String, Unit>;

/// What is kept open and silent.
type Silent = Mutex<Vec<Box<dyn Send>>>;

fn main() -> io::Result<()> {
    raise_open_files();
    let units = Arc::new(render());
    let silent = Arc::new(Silent::default());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let over_tls = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).map_err(io::Error::other)?;
    let certificate = std::env::temp_dir().join(format!("sseclient-benches-{}.pem", std::process::id()));
    std::fs::write(&certificate, certified.cert.pem())?;
    println!("{} {} {}", listener.local_addr()?.port(), over_tls.local_addr()?.port(), certificate.display());
    let config = tls(certified)?;
    let kept = Arc::clone(&silent);
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let (units, silent) = (Arc::clone(&units), Arc::clone(&silent));
            // A client that has seen enough hangs up: no error of ours.
            thread::spawn(move || serve(socket, &units, &silent).ok());
        }
    });
    thread::spawn(move || {
        for socket in over_tls.incoming().flatten() {
            let (config, silent) = (Arc::clone(&config), Arc::clone(&kept));
            thread::spawn(move || stay(socket, config, &silent).ok());
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

/// Behind TLS there is `/idle` alone.
fn stay(socket: TcpStream, config: Arc<ServerConfig>, silent: &Silent) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let session = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut socket = StreamOwned::new(session, socket);
    read_path(&mut socket)?;
    socket.write_all(HEAD)?;
    socket.flush()?;
    silent.lock().expect("nobody panics with it").push(Box::new(socket));
    Ok(())
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
            silent.lock().expect("nobody panics with it").push(Box::new(socket));
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

fn parse(number: &str) -> io::Result<usize> {
    number.parse().map_err(|_| io::ErrorKind::InvalidInput.into())
}
