//! Servers and proxies that send the head of a quiet stream only with its first event, and give up
//! before that.

use std::time::Duration;

use sseclient::{Client, Delivery, ErrorKind, Filter, ReconnectPolicy, State, TranscriptItem};

use crate::support::{OPEN, RawServer, within};

const TIMED_OUT: &str = "HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 0\r\n\r\n";

/// How a request goes without an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum InVain {
    Silence,
    Cut,
    GatewayTimeout,
}

/// A server, or a forwarding proxy, that answers the fourth request, with an event.
async fn late(in_vain: InVain) -> RawServer {
    RawServer::start(move |number, mut connection| async move {
        match in_vain {
            _ if number >= 3 => drop(connection.send(&format!("{OPEN}data: at last\n\n")).await),
            InVain::Cut => return,
            InVain::Silence => {}
            InVain::GatewayTimeout => drop(connection.send(TIMED_OUT).await),
        }
        connection.closed().await;
    })
    .await
}

/// Returns the waits, with their causes, and the deliveries up to the first event.
async fn story(client: &Client, url: &str, policy: ReconnectPolicy) -> (Vec<(u128, ErrorKind)>, Vec<String>) {
    let policy = policy.jitter(0.0).reconnection_time(Duration::from_millis(10));
    let stream = client.stream(url).reconnect_policy(policy).response_timeout(Duration::from_millis(50));
    let handle = stream.build().unwrap();
    let (mut transcript, mut events) = (handle.transcript(), handle.subscribe(Filter::all()));
    handle.connect();
    let mut deliveries = Vec::new();
    while deliveries.last().is_none_or(|last| last != "at last") {
        deliveries.push(match within(events.recv()).await.expect("an event") {
            Delivery::Event(event) => event.data().to_owned(),
            Delivery::Gap(gap) => gap.to_string(),
        });
    }
    let mut waits = Vec::new();
    loop {
        match within(transcript.recv()).await.expect("the event") {
            TranscriptItem::State(State::Waiting { delay, cause, .. }) => {
                waits.push((delay.as_millis(), cause.kind()));
            }
            TranscriptItem::Event(_) => break,
            _ => {}
        }
    }
    within(handle.shutdown()).await;
    (waits, deliveries)
}

/// A response that is open for as long as a policy says is healthy. So is a request that waits as
/// long: the server may have sent events to it.
#[tokio::test]
async fn requests_that_waited_in_vain_cost_a_gap_and_no_longer_waits() {
    const GAP: &str = "reconnected without an ID: what came in between is lost";
    for in_vain in [InVain::Silence, InVain::Cut, InVain::GatewayTimeout] {
        for through_proxy in [false, true] {
            let kind = match in_vain {
                InVain::Silence => ErrorKind::ResponseTimeout,
                InVain::Cut if through_proxy => ErrorKind::Proxy,
                InVain::Cut => ErrorKind::Protocol,
                InVain::GatewayTimeout => ErrorKind::Status,
            };
            for (healthy_after, is_soon) in [(Duration::ZERO, false), (Duration::from_secs(600), true)] {
                let server = late(in_vain).await;
                let (client, url) = if through_proxy {
                    let proxy = Client::builder().proxy(server.url.replace("/stream", "")).unwrap();
                    (proxy.build(), "http://server.invalid/")
                } else {
                    (Client::builder().no_proxy().build(), &*server.url)
                };
                let policy = ReconnectPolicy::daemon().healthy_after(healthy_after);
                let (waits, deliveries) = story(&client, url, policy).await;
                // A server that gives no answer at all is the same for every policy.
                let (expected, missed): ([u128; 3], _) = match in_vain {
                    InVain::Cut | InVain::GatewayTimeout if is_soon => ([10, 20, 40], None),
                    _ => ([10, 10, 10], Some(GAP)),
                };
                let what = format!("{in_vain:?}, proxy: {through_proxy}, healthy after {healthy_after:?}");
                assert_eq!(waits, expected.map(|wait| (wait, kind)), "{what}");
                assert_eq!(deliveries, missed.into_iter().chain(["at last"]).collect::<Vec<_>>(), "{what}");
            }
        }
    }
}
