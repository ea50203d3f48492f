//! The page and a real `EventSource`, in Chromium.

#[path = "support/browser.rs"]
mod browser;
mod support;

use std::fs;
use std::path::Path;

use sseclient::http::StatusCode;
use sseclient::testing::{Script, Server};
use sseclient::{Event, EventBuilder};

use browser::Browser;
use support::{Relay, sends};

/// Follows the stream in the page, and keeps the IDs of what comes.
const FOLLOW: &str = "window.got = [];
    const source = new EventSource('/events');
    source.onmessage = (event) => got.push(Number(event.lastEventId));";

/// A type that is markup, for a page that would take it for its own.
const MARKUP: &str = "<img src=x onerror='window.fooled = 1'>";

fn markup() -> EventBuilder {
    Event::builder().event_type(MARKUP).data("x")
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn a_page_comes_back_after_a_restart_and_misses_nothing() {
    let refusal = Script::answer(StatusCode::SERVICE_UNAVAILABLE).header("retry-after", "30");
    let scripts = [sends(1..=3), sends(4..=5).expect_resumed_from("3").event(markup()), refusal];
    let upstream = Server::start(scripts).await;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{}", std::process::id()));
    let arguments = [upstream.url(), "--resume-file", file.to_str().unwrap()];
    let relay = Relay::start(&arguments);
    let address = relay.address().to_owned();

    let mut page = Browser::open(&relay.url).await;
    page.eval(FOLLOW).await;
    page.until("String(got) === '1,2,3' && byId('name').textContent === 'Open'").await;
    relay.stop().await;
    page.until("byId('name').textContent === 'Relay not reachable' && byId('reconnect').disabled").await;

    let relay = Relay::start_at(&address, &arguments);
    page.until("String(got) === '1,2,3,4,5' && byId('name').textContent === 'Open'").await;
    page.until("byId('types').textContent.includes('onerror') && byId('clients').rows.length === 2").await;
    assert_eq!(page.eval("window.fooled === undefined && !document.querySelector('img')").await, true);

    page.eval("byId('reconnect').click()").await;
    page.until("byId('name').textContent === 'Waiting' && byId('why').textContent.includes('503')").await;
    page.until("/^next attempt in (2\\d|3\\d|4\\d) s$/.test(byId('countdown').textContent)").await;
    page.until("byId('answer').textContent === 'reconnecting'").await;
    take_pictures(&mut page).await;
    page.close().await;
    drop(relay);
    fs::remove_file(file).unwrap();
    upstream.finish().await;
}

/// Leaves a picture of each look in the target folder, and checks that nothing is cut off.
async fn take_pictures(page: &mut Browser) {
    for (width, scheme) in [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")] {
        page.look(width, scheme).await;
        let overflow = page.eval(&format!("document.documentElement.scrollWidth - {width}")).await;
        assert!(overflow.as_i64() <= Some(0), "{overflow} px too wide for {width}");
        let picture = page.picture().await;
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("relay-{width}-{scheme}.png"));
        fs::write(&path, picture).unwrap();
        println!("{}", path.display());
    }
}

/// Takes the pictures of a page that is already open somewhere, for the README: `PAGE` is its URL.
#[tokio::test]
#[ignore = "needs chromium, and a relay that runs"]
async fn pictures_of_a_running_relay() {
    let url = std::env::var("PAGE").unwrap();
    let mut page = Browser::open(&url).await;
    page.until("byId('name').textContent !== 'loading'").await;
    take_pictures(&mut page).await;
    page.close().await;
}
