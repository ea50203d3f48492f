//! The crate against servers and proxies that were not written for it. A thousand events of three
//! types are published while the connection is cut twice in the middle of an event. Two
//! subscriptions together get each event exactly once, in order.
//!
//! These tests need programs that a machine with only Rust lacks, so they are ignored by default:
//! `cargo test --all-features --test real_servers -- --ignored` runs them. Then a missing program
//! is a failure.

#![cfg(feature = "client")]
#![cfg(feature = "tls")]

#[path = "axum.rs"]
mod axum_server;
mod by_hand;
mod proxy;
mod publisher;
mod relay;
mod server;

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use axum_server::Axum;
use http::Version;
use proxy::Proxy;
use publisher::Publisher;
use relay::{Cut, Relay};
use server::Server;
#[cfg(feature = "cookies")]
use sseclient::Resume;
use sseclient::{Client, CloseReason, Delivery, ErrorKind, Event, Filter, Gap, State, StreamBuilder, Subscription};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How many events are published, numbered from zero.
const EVENTS: usize = 1_000;

/// The types of the events, in turn.
const TYPES: [&str; 3] = ["update", "alarm", "notice"];

/// Far longer than a run takes. A missing event fails the test after this time.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
#[ignore = "needs nginx with nchan; run by .ci/run"]
async fn every_event_of_nchan_arrives_once_and_in_order_across_two_cuts() {
    let server = Server::nchan();
    in_clear(server.publish, server.subscribe).await;
}

#[tokio::test]
#[ignore = "needs nginx with nchan; run by .ci/run"]
async fn every_event_of_nchan_arrives_by_way_of_a_reverse_proxy_over_tls() {
    let server = Server::nchan();
    let (address, certificate) = server.over_tls.clone().expect("nginx has one");
    let version = over_tls(server.publish, address, &certificate).await;
    let expected = if cfg!(feature = "http2") { Version::HTTP_2 } else { Version::HTTP_11 };
    assert_eq!(version, expected, "the server's first choice");
}

#[tokio::test]
#[ignore = "needs nginx with nchan; run by .ci/run"]
async fn every_event_of_nchan_arrives_where_a_redirect_leads() {
    let server = Server::nchan();
    let client = Client::new();
    let (publish, subscribe) = (vec![server.publish], server.subscribe);
    let peer = Peer { publish, subscribe, scheme: "http", path: "moved", client };
    every_event_arrives_once_and_in_order_across_two_cuts(peer).await;
}

#[cfg(feature = "gzip")]
#[tokio::test]
#[ignore = "needs nginx with nchan; run by .ci/run"]
async fn every_event_of_nchan_arrives_compressed() {
    let server = Server::nchan();
    let client = Client::new();
    let (publish, subscribe) = (vec![server.publish], server.subscribe);
    let peer = Peer { publish, subscribe, scheme: "http", path: "compressed", client };
    every_event_arrives_once_and_in_order_across_two_cuts(peer).await;
}

/// There is no relay on this way, so the program itself asks for new responses.
#[cfg(unix)]
#[tokio::test]
#[ignore = "needs nginx with nchan; run by .ci/run"]
async fn every_event_of_nchan_arrives_over_a_unix_socket() {
    let server = Server::nchan();
    let client = Client::builder().unix_socket(server.socket.as_ref().expect("nginx has one")).build();
    let handle = client.stream("http://nchan/subscribe").build().expect("a valid stream");
    let recorder = Recorder::start(handle.subscribe(TYPES));
    handle.connect();
    let mut publishers = Publishers::connect(&[server.publish]).await;
    for numbers in [0..300, 300..600, 600..EVENTS] {
        let last = numbers.end - 1;
        publish(&mut publishers, numbers).await;
        timeout(PATIENCE, recorder.reached(last)).await.expect("all events so far");
        handle.reconnect();
    }
    handle.shutdown().await;
    check_events(&recorder.finish().await, |_| true);
}

#[tokio::test]
#[ignore = "needs node; run by .ci/run"]
async fn every_event_of_node_arrives_once_and_in_order_across_two_cuts() {
    let server = Server::node();
    in_clear(server.publish, server.subscribe).await;
}

#[tokio::test]
#[ignore = "needs node and better-sse; run by .ci/run"]
async fn every_event_of_better_sse_arrives_once_and_in_order_across_two_cuts() {
    let server = Server::better_sse("1");
    in_clear(server.publish, server.subscribe).await;
}

#[cfg(feature = "http2")]
#[tokio::test]
#[ignore = "needs node and better-sse; run by .ci/run"]
async fn every_event_of_a_cleartext_http2_server_arrives_once_and_in_order() {
    let server = Server::better_sse("2");
    let client = Client::builder().http2_prior_knowledge(true).build();
    let version = every_event_arrives_once_and_in_order_across_two_cuts(Peer {
        publish: vec![server.publish],
        subscribe: server.subscribe,
        scheme: "http",
        path: "subscribe",
        client,
    });
    assert_eq!(version.await, Version::HTTP_2);
}

#[tokio::test]
#[ignore = "needs node and better-sse; run by .ci/run"]
async fn every_event_of_better_sse_arrives_over_tls_with_the_newest_http() {
    let server = Server::better_sse_over_tls();
    let (address, certificate) = server.over_tls.clone().expect("it has one");
    let version = over_tls(server.publish, address, &certificate).await;
    let expected = if cfg!(feature = "http2") { Version::HTTP_2 } else { Version::HTTP_11 };
    assert_eq!(version, expected);
}

#[tokio::test]
#[ignore = "needs python, sse-starlette and uvicorn; run by .ci/run"]
async fn every_event_of_starlette_arrives_once_and_in_order_across_two_cuts() {
    let server = Server::starlette();
    in_clear(server.publish, server.subscribe).await;
}

#[tokio::test]
#[ignore = "as long as the others; run by .ci/run"]
async fn every_event_of_axum_arrives_once_and_in_order_across_two_cuts() {
    let server = Axum::start().await;
    in_clear(server.address, server.address).await;
}

#[tokio::test]
#[ignore = "needs squid and node; run by .ci/run"]
async fn every_event_arrives_through_squid_with_credentials() {
    let (server, squid) = (Server::node(), Proxy::squid());
    let client = Client::builder().proxy(squid.url("http")).expect("a proxy").build();
    let peer =
        Peer { publish: vec![server.publish], subscribe: server.subscribe, scheme: "http", path: "subscribe", client };
    every_event_arrives_once_and_in_order_across_two_cuts(peer).await;
    let stranger = Client::builder().proxy(format!("http://{}", squid.address)).expect("a proxy").build();
    refuses(&stranger, &format!("http://{}/subscribe", server.subscribe)).await;
}

#[tokio::test]
#[ignore = "needs squid and nginx with nchan; run by .ci/run"]
async fn every_event_arrives_over_tls_in_a_tunnel_of_squid() {
    let (server, squid) = (Server::nchan(), Proxy::squid());
    let (address, certificate) = server.over_tls.clone().expect("nginx has one");
    let trusting = || Client::builder().root_certificates_pem(certificate.as_bytes()).expect("a certificate");
    let client = trusting().proxy(squid.url("http")).expect("a proxy").build();
    let peer = Peer { publish: vec![server.publish], subscribe: address, scheme: "https", path: "subscribe", client };
    every_event_arrives_once_and_in_order_across_two_cuts(peer).await;
    let stranger = trusting().proxy(format!("http://{}", squid.address)).expect("a proxy").build();
    refuses(&stranger, &format!("https://{address}/subscribe")).await;
}

#[tokio::test]
#[ignore = "needs microsocks and node; run by .ci/run"]
async fn every_event_arrives_through_a_socks_proxy_with_a_password() {
    let (server, microsocks) = (Server::node(), Proxy::microsocks());
    let client = Client::builder().proxy(microsocks.url("socks5h")).expect("a proxy").build();
    let peer =
        Peer { publish: vec![server.publish], subscribe: server.subscribe, scheme: "http", path: "subscribe", client };
    every_event_arrives_once_and_in_order_across_two_cuts(peer).await;
    let stranger = Client::builder().proxy(format!("socks5h://{}", microsocks.address)).expect("a proxy").build();
    refuses(&stranger, &format!("http://{}/subscribe", server.subscribe)).await;
}

/// A name that the proxy can resolve and the client cannot.
#[tokio::test]
#[ignore = "needs microsocks and node; run by .ci/run"]
async fn every_event_arrives_through_a_socks_proxy_that_looks_up_the_name() {
    let (server, microsocks) = (Server::node(), Proxy::microsocks());
    let relay = Relay::start_at("localhost", server.subscribe).await;
    let lost = |name: String| std::future::ready(Err(format!("{name} is for the proxy to look up")));
    let client = Client::builder().proxy(microsocks.url("socks5h")).expect("a proxy").resolver(lost).build();
    let stream = client.stream(format!("http://localhost:{}/subscribe", relay.address.port()));
    every_event_arrives_although_a_relay_cuts_twice(&relay, stream, &[server.publish]).await;
}

#[tokio::test]
#[ignore = "needs squid and nginx with nchan; run by .ci/run"]
async fn every_event_arrives_in_a_tunnel_that_is_cut_on_the_way_to_squid() {
    let (server, squid) = (Server::nchan(), Proxy::squid());
    let (address, certificate) = server.over_tls.clone().expect("nginx has one");
    let relay = Relay::start(squid.address).await;
    let client = Client::builder().root_certificates_pem(certificate.as_bytes()).expect("a certificate");
    let client = client.proxy(squid.url_by_way_of(relay.address, "http")).expect("a proxy").build();
    let stream = client.stream(format!("https://{address}/subscribe"));
    every_event_arrives_although_a_relay_cuts_twice(&relay, stream, &[server.publish]).await;
}

/// Two servers that share no state. Only the cookie of the first response leads back to the same
/// one.
#[cfg(feature = "cookies")]
#[tokio::test]
#[ignore = "needs haproxy and node; run by .ci/run"]
async fn a_cookie_leads_every_reconnection_to_the_same_server_behind_haproxy() {
    let servers = [Server::node(), Server::node()];
    let haproxy = Proxy::haproxy(servers.each_ref().map(|server| server.subscribe));
    let peer = Peer {
        publish: servers.iter().map(|server| server.publish).collect(),
        subscribe: haproxy.address,
        scheme: "http",
        path: "subscribe",
        client: Client::builder().cookies(true).build(),
    };
    every_event_arrives_once_and_in_order_across_two_cuts(peer).await;
    for (number, server) in servers.iter().enumerate() {
        let mut publisher = Publisher::connect(server.publish).await;
        publisher.publish("name", ["one", "two"][number]).await;
    }
    // Four clients keep cookies. One does not, and alternates between the servers.
    for (keeps, clients) in [(true, 4), (false, 1)] {
        for _ in 0..clients {
            let names = names_of_servers(&Client::builder().cookies(keeps).build(), haproxy.address).await;
            assert_eq!(names.iter().all(|name| *name == names[0]), keeps, "{names:?}");
        }
    }
}

/// The servers that answer over six reconnections.
#[cfg(feature = "cookies")]
async fn names_of_servers(client: &Client, address: SocketAddr) -> Vec<String> {
    let handle = client.stream(format!("http://{address}/subscribe")).build().expect("a valid stream");
    let mut events = handle.subscribe("name");
    handle.connect();
    let mut names = Vec::new();
    while names.len() < 7 {
        let delivery = timeout(PATIENCE, events.recv()).await.expect("events come");
        if let Some(Delivery::Event(event)) = delivery {
            names.push(event.data().to_owned());
            handle.reconnect_from(Resume::Fresh).expect("an open stream");
        }
    }
    names
}

/// Asserts that the proxy refuses, and that the error names the proxy.
async fn refuses(client: &Client, url: &str) {
    let error = client.stream(url).open(Filter::all()).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Proxy, "{error}");
}

/// A server, and how clients reach it.
struct Peer {
    publish: Vec<SocketAddr>,
    subscribe: SocketAddr,
    scheme: &'static str,
    path: &'static str,
    client: Client,
}

async fn in_clear(publish: SocketAddr, subscribe: SocketAddr) {
    let peer = Peer { publish: vec![publish], subscribe, scheme: "http", path: "subscribe", client: Client::new() };
    assert_eq!(every_event_arrives_once_and_in_order_across_two_cuts(peer).await, Version::HTTP_11);
}

async fn over_tls(publish: SocketAddr, subscribe: SocketAddr, certificate: &str) -> Version {
    let client = Client::builder().root_certificates_pem(certificate.as_bytes()).expect("a certificate").build();
    every_event_arrives_once_and_in_order_across_two_cuts(Peer {
        publish: vec![publish],
        subscribe,
        scheme: "https",
        path: "subscribe",
        client,
    })
    .await
}

/// The HTTP version of the response.
async fn every_event_arrives_once_and_in_order_across_two_cuts(peer: Peer) -> Version {
    let relay = Relay::start(peer.subscribe).await;
    let stream = peer.client.stream(format!("{}://{}/{}", peer.scheme, relay.address, peer.path));
    every_event_arrives_although_a_relay_cuts_twice(&relay, stream, &peer.publish).await
}

/// The relay may be anywhere between the client and the server.
async fn every_event_arrives_although_a_relay_cuts_twice(
    relay: &Relay,
    stream: StreamBuilder,
    publish: &[SocketAddr],
) -> Version {
    let handle = stream.reconnection_time(Duration::from_millis(50)).build().expect("a valid stream");
    let recorders =
        [Recorder::start(handle.subscribe([TYPES[0], TYPES[1]])), Recorder::start(handle.subscribe(TYPES[2]))];
    handle.connect();
    let mut publishers = Publishers::connect(publish).await;
    let story = tell_the_story(relay, &mut publishers, async |number| received(&recorders, number).await);
    if timeout(PATIENCE, story).await.is_err() {
        let latest = recorders.map(|recorder| recorder.latest());
        panic!("at event {latest:?} after {PATIENCE:?}: {:?}", handle.state());
    }
    let State::Open { response, .. } = handle.state() else { panic!("{:?}", handle.state()) };
    let last_event_id = handle.last_event_id();
    let reason = handle.shutdown().await;
    assert!(matches!(reason, CloseReason::Shutdown), "{reason:?}");

    let [two_types, third_type] = recorders;
    let recordings = [two_types.finish().await, third_type.finish().await];
    check_events(&recordings[0], |number| number % 3 != 2);
    check_events(&recordings[1], |number| number % 3 == 2);
    check_gaps(&recordings);
    assert_eq!(last_event_id, latest(&recordings.concat()).expect("events").1);
    response.version()
}

/// Publishes all events and cuts the connection twice, both times inside an event: once with FIN,
/// like a server that shuts down, and once with RST, like a crash. (nchan's responses end with FIN
/// only, so that cut looks like a normal end.) The relay lets the client through again after at
/// least fifty more events.
async fn tell_the_story(relay: &Relay, publisher: &mut Publishers, received: impl AsyncFn(usize)) {
    for (start, cut) in [(0, Cut::Close), (400, Cut::Reset)] {
        publish(publisher, start..start + 300).await;
        // The client has recovered from the cut before, and this one comes while events are in
        // flight.
        received(start + 250).await;
        let (outage, ()) = tokio::join!(relay.sever(cut), publish(publisher, start + 300..start + 350));
        publish(publisher, start + 350..start + 400).await;
        outage.end();
    }
    publish(publisher, 800..EVENTS).await;
    received(EVENTS - 2).await;
    received(EVENTS - 1).await;
}

async fn publish(publishers: &mut Publishers, numbers: Range<usize>) {
    for number in numbers {
        for publisher in &mut publishers.0 {
            publisher.publish(TYPES[number % 3], &data(number)).await;
        }
    }
}

/// The test publishes each event at all of them.
struct Publishers(Vec<Publisher>);

impl Publishers {
    async fn connect(addresses: &[SocketAddr]) -> Self {
        let mut publishers = Vec::new();
        for address in addresses {
            publishers.push(Publisher::connect(*address).await);
        }
        Self(publishers)
    }
}

/// Waits until an event has arrived at the subscription for its type.
async fn received([two_types, third_type]: &[Recorder; 2], number: usize) {
    let recorder = if number % 3 == 2 { third_type } else { two_types };
    recorder.reached(number).await;
}

/// Asserts that a recording has each event of its types once, in order and whole.
fn check_events(recording: &[Delivery], belongs: impl Fn(usize) -> bool) {
    let events: Vec<&Event> = recording.iter().filter_map(event).collect();
    for (place, number) in (0..EVENTS).filter(|&number| belongs(number)).enumerate() {
        let found = events.get(place).map(|event| number_of(event));
        assert_eq!(found, Some(number), "at place {place} of {}", events.len());
    }
    assert_eq!(events.len(), (0..EVENTS).filter(|&number| belongs(number)).count());
    for event in events {
        assert_eq!(event.event_type(), TYPES[number_of(event) % 3]);
        assert_eq!(event.data(), data(number_of(event)));
        assert_eq!(event.id(), Some(event.last_event_id()), "an id of its own");
    }
}

/// Asserts that each recording has two gaps and no loss: the stream resumed after the last whole
/// event.
fn check_gaps(recordings: &[Vec<Delivery>]) {
    let parts: Vec<_> = recordings.iter().map(|recording| parts(recording)).collect();
    for (cut, start) in [0, 400].into_iter().enumerate() {
        let before_the_cut = parts.iter().map(|(parts, _)| parts[cut].clone()).collect::<Vec<_>>().concat();
        let (number, id) = latest(&before_the_cut).expect("events before the cut");
        assert!((start + 250..start + 350).contains(&number), "cut after event {number}");
        for (_, gaps) in &parts {
            assert_eq!(gaps[cut], Gap::reconnected(Some(id.clone())));
            assert!(!gaps[cut].is_loss());
        }
    }
}

/// The events before, between and after the two gaps, and the gaps.
fn parts(recording: &[Delivery]) -> (Vec<Vec<Delivery>>, Vec<Gap>) {
    let gaps: Vec<Gap> = recording.iter().filter_map(gap).cloned().collect();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    let parts = recording.split(|delivery| gap(delivery).is_some()).map(<[_]>::to_vec).collect();
    (parts, gaps)
}

/// The number and the last event ID of the newest event.
fn latest(recording: &[Delivery]) -> Option<(usize, String)> {
    let events = recording.iter().filter_map(event);
    events.map(|event| (number_of(event), event.last_event_id().to_owned())).max()
}

fn event(delivery: &Delivery) -> Option<&Event> {
    match delivery {
        Delivery::Event(event) => Some(event),
        Delivery::Gap(_) => None,
    }
}

fn gap(delivery: &Delivery) -> Option<&Gap> {
    match delivery {
        Delivery::Event(_) => None,
        Delivery::Gap(gap) => Some(gap),
    }
}

/// Two lines, one of them not ASCII.
fn data(number: usize) -> String {
    format!("{number}\nÄnderung №{number}")
}

fn number_of(event: &Event) -> usize {
    let line = event.data().lines().next().expect("a first line");
    line.parse().expect("the number of the event")
}

/// Reads a subscription to its end, and publishes its progress.
struct Recorder {
    latest: watch::Receiver<Option<usize>>,
    task: JoinHandle<Vec<Delivery>>,
}

impl Recorder {
    fn start(mut subscription: Subscription) -> Self {
        let (progress, latest) = watch::channel(None);
        let task = tokio::spawn(async move {
            let mut recording = Vec::new();
            while let Some(delivery) = subscription.recv().await {
                if let Some(event) = event(&delivery) {
                    progress.send_replace(Some(number_of(event)));
                }
                recording.push(delivery);
            }
            recording
        });
        Self { latest, task }
    }

    fn latest(&self) -> Option<usize> {
        *self.latest.borrow()
    }

    /// Waits for the event with this number or a later one. The recording shows which are missing.
    async fn reached(&self, number: usize) {
        let mut latest = self.latest.clone();
        latest.wait_for(|latest| *latest >= Some(number)).await.expect("the subscription goes on");
    }

    async fn finish(self) -> Vec<Delivery> {
        self.task.await.expect("the recorder read to the end")
    }
}
