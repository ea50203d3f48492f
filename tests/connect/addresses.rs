//! Names with several addresses: the order of the attempts, and the cost of an address that never
//! answers.
//!
//! Only on Linux does a listener with a full queue stay silent, and is every address in 127.0.0.0/8
//! this machine.

#![cfg(target_os = "linux")]

use std::future::ready;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use sseclient::{Client, ClientBuilder, Error, ErrorKind, Filter};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::peers::naming_peers;
use crate::support::{LIMIT, short, within};

const GOOD: &str = "127.0.0.1";
const SILENT: &str = "127.0.0.2";
const SILENT_TOO: &str = "127.0.0.3";
const UNUSED: &str = "127.0.0.4";

/// An IPv6 address of this machine, which works without any other IPv6 network.
const GOOD_6: &str = "::ffff:127.0.0.1";
const SILENT_6: &str = "::ffff:127.0.0.2";
const UNUSED_6: &str = "::ffff:127.0.0.4";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Ignores the proxies in the environment of the tests.
fn direct() -> ClientBuilder {
    Client::builder().no_proxy()
}

fn port(server: &str) -> u16 {
    server.parse::<http::Uri>().unwrap().port_u16().unwrap()
}

/// A listener whose queue is full. It does not answer a new client, like a firewall that drops
/// packets.
struct Silent {
    _listener: tokio::net::TcpListener,
    _queued: Vec<TcpStream>,
}

impl Silent {
    async fn at(ip: &str, port: u16) -> Self {
        let address = SocketAddr::new(address(ip), port);
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(0).unwrap();
        let mut queued = Vec::new();
        // Loopback answers within microseconds or not at all.
        while let Ok(connected) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
            queued.push(connected.unwrap());
        }
        Self { _listener: listener, _queued: queued }
    }
}

/// Connects to a server whose name has these addresses. Returns its first event and the time it
/// took.
async fn open(
    client: ClientBuilder,
    port: u16,
    addresses: &[&str],
    connect_timeout: Duration,
) -> Result<(String, Duration), Error> {
    let addresses: Vec<_> = addresses.iter().copied().map(address).collect();
    let client = client.resolver(move |_| ready(Ok::<_, io::Error>(addresses.clone()))).build();
    let begun = Instant::now();
    let stream = client.stream(format!("http://server.invalid:{port}/")).connect_timeout(connect_timeout);
    let mut events = within(stream.open(Filter::all())).await?;
    Ok((short(&mut events).await, begun.elapsed()))
}

#[tokio::test]
async fn an_address_that_never_answers_is_joined_by_those_of_the_other_family() {
    let mut cases = vec![(SILENT, [SILENT_6, GOOD]), (SILENT, [SILENT, GOOD_6])];
    if TcpListener::bind("[::1]:0").is_ok() {
        cases.push(("::1", ["::1", GOOD]));
    }
    for (silent, addresses) in cases {
        let server = naming_peers().await;
        let _silent = Silent::at(silent, port(&server)).await;
        let other = Duration::from_millis(100);
        for (client, alone) in [(direct(), Duration::from_millis(300)), (direct().happy_eyeballs_timeout(other), other)]
        {
            let (data, took) = open(client, port(&server), &addresses, LIMIT).await.unwrap();
            assert_eq!(data, "to 127.0.0.1", "{addresses:?}");
            assert!(took >= alone, "{addresses:?}: the first was tried alone, not for {took:?}");
            assert!(took < LIMIT / 4, "{addresses:?}: {took:?} of a connect timeout of {LIMIT:?}");
        }
    }
}

#[tokio::test]
async fn an_address_that_refuses_is_passed_over_at_once() {
    let server = naming_peers().await;
    for first in [UNUSED, UNUSED_6] {
        // The result does not depend on the order of the families.
        for alone in [None, Some(LIMIT)] {
            let client = direct().happy_eyeballs_timeout(alone);
            let (data, took) = open(client, port(&server), &[first, GOOD], LIMIT).await.unwrap();
            assert_eq!(data, "to 127.0.0.1");
            assert!(took < LIMIT / 4, "{first}, {alone:?}: {took:?}");
        }
    }
}

#[tokio::test]
async fn addresses_of_a_family_have_equal_shares_of_the_connect_timeout() {
    let server = naming_peers().await;
    let _silent = [Silent::at(SILENT, port(&server)).await, Silent::at(SILENT_TOO, port(&server)).await];
    let whole = Duration::from_secs(2);
    for (addresses, share) in [
        (&[SILENT, GOOD][..], whole / 2),
        (&[SILENT, SILENT_TOO, GOOD], whole * 2 / 3),
        (&[SILENT, UNUSED, GOOD], whole / 3),
    ] {
        let (data, took) = open(direct(), port(&server), addresses, whole).await.unwrap();
        assert_eq!(data, "to 127.0.0.1", "{addresses:?}");
        assert!(took >= share, "{addresses:?}: {took:?}");
    }
}

/// The timer of the last address and that of the attempt may fire in either order.
#[tokio::test]
async fn a_server_or_proxy_that_never_answers_is_a_connect_timeout() {
    let server = naming_peers().await;
    let _silent = [Silent::at(SILENT, port(&server)).await, Silent::at(SILENT_TOO, port(&server)).await];
    let proxy = |scheme: &str| Client::builder().proxy(format!("{scheme}://proxy.invalid:{}", port(&server))).unwrap();
    for client in [direct(), proxy("http"), proxy("socks5")] {
        for addresses in [&[SILENT][..], &[SILENT, SILENT_TOO], &[SILENT_6, SILENT]] {
            for milliseconds in 1..=20 {
                let limit = Duration::from_millis(milliseconds);
                let error = open(client.clone(), port(&server), addresses, limit).await.unwrap_err();
                let outcome = (error.kind(), error.is_final());
                assert_eq!(outcome, (ErrorKind::ConnectTimeout, false), "{addresses:?} within {limit:?}: {error:?}");
            }
        }
    }
}

/// A caller sets a local address so that servers see no other.
#[tokio::test]
async fn only_servers_in_the_family_of_the_local_address_are_reached() {
    let server = naming_peers().await;
    for alone in [None, Some(Duration::from_millis(300))] {
        let client = direct().local_address(address("127.0.0.5")).happy_eyeballs_timeout(alone);
        let (data, _) = open(client.clone(), port(&server), &[GOOD_6, GOOD], LIMIT).await.unwrap();
        assert_eq!(data, "to 127.0.0.5", "{alone:?}");
        let error = open(client, port(&server), &[GOOD_6], LIMIT).await.unwrap_err();
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::Connect, false), "{alone:?}");
    }
}
