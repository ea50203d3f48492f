//! Our client as a daemon uses it: through the connection task and a subscription.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use sseclient::{Apply, Client, Delivery, Event, Filter, SubscribeOptions, Subscription};

use super::{Reader, Sink};

/// Reads with one subscriber to everything. A gap fails the measurement, which counts only if no
/// event was missed.
pub async fn consume(client: Client, url: &str, capacity: usize, sink: Sink<'_>) {
    let handle = client.stream(url).build().expect("the URL from e2e");
    let mut subscription = handle.subscribe_with(Filter::all(), SubscribeOptions::default().capacity(capacity));
    handle.connect();
    while let Some(event) = next(&mut subscription).await {
        if sink(event.data().as_bytes()).is_break() {
            break;
        }
    }
    handle.shutdown().await;
}

/// A client with reqwest as its transport, as in the guide.
pub fn over_reqwest() -> Client {
    let builder = reqwest::Client::builder().connect_timeout(Duration::from_secs(5));
    let http = builder.redirect(reqwest::redirect::Policy::none()).build().expect("no setting fails");
    let transport = move |request: Request<Bytes>| {
        let sending = reqwest::Request::try_from(request).map(|request| http.execute(request));
        async { sending?.await.map(Response::<reqwest::Body>::from) }
    };
    Client::builder().transport(transport).build()
}

/// # Panics
///
/// Panics at a gap.
pub async fn next(subscription: &mut Subscription) -> Option<Event> {
    match subscription.recv().await? {
        Delivery::Event(event) => Some(event),
        Delivery::Gap(gap) => panic!("a gap: {gap}"),
    }
}

/// Opens streams with one `Client`, and a handle and a reading task per stream.
pub async fn open_idle(url: &str, readers: impl Iterator<Item = Reader>) {
    let client = match url.split_once('#') {
        Some((_, certificate)) => {
            let pem = std::fs::read(certificate).expect("the server has written it");
            Client::builder().root_certificates_pem(&pem).expect("a certificate").build()
        }
        None => Client::new(),
    };
    for mut reader in readers {
        let handle = client.stream(url).build().expect("the URL from e2e");
        let mut subscription = handle.subscribe(Filter::all());
        handle.connect();
        handle.opened().await.expect("the server answers");
        tokio::spawn(async move {
            reader.took(0);
            while next(&mut subscription).await.is_some() {
                reader.took(1);
            }
        });
    }
}

/// Replaces the response of a silent stream, `count` times, each time without a hole.
pub async fn hand_over(url: &str, count: usize) {
    let handle = Client::new().stream(url).build().expect("the URL from e2e");
    let _subscription = handle.subscribe(Filter::all());
    handle.connect();
    handle.opened().await.expect("the server answers");
    for number in 0..count {
        let change = handle.update(|request| request.header("x-number", number.to_string()), Apply::MakeBeforeBreak);
        change.await.expect("the server accepts");
    }
}
