//! What clients of the relay see, with a scripted server upstream.

mod support;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use sseclient::http::StatusCode;
use sseclient::testing::{Script, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use support::{Body, LIMIT, Relay, numbered, sends, text, texts, wait_for};

#[tokio::test]
async fn events_pass_unchanged_and_late_clients_get_what_is_retained() {
    let events = "id: 1\ndata: one\n\nevent: price\nid: 2\nretry: 700\ndata: a\ndata:  b\n\ndata: no ID\n\n";
    let upstream = Server::start([Script::open().bytes(events)]).await;
    let relay = Relay::start(&[upstream.url()]);
    let mut first = relay.events().await;
    for (name, value) in
        [("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")]
    {
        assert_eq!(first.response.headers()[name], value);
    }
    assert_eq!(first.until("no ID\n\n").await, events);
    assert_eq!(relay.events().await.until("no ID\n\n").await, events);
    let prices = &mut Body::new(relay.get("/events?type=price").await);
    assert_eq!(prices.until("b\n\n").await, "event: price\nid: 2\nretry: 700\ndata: a\ndata:  b\n\n");
    let head = reqwest::Client::new().head(format!("{}/events", relay.url)).send().await.unwrap();
    assert_eq!(head.headers()["content-type"], "text/event-stream");
    upstream.finish().await;
}

#[tokio::test]
async fn a_client_that_comes_back_gets_the_rest_or_a_gap() {
    let upstream = Server::start([sends(1..=9)]).await;
    let relay = Relay::start(&[upstream.url(), "--retain", "5"]);
    relay.events().await.until(&text(9)).await;
    assert_eq!(relay.resume("7").await.until(&text(9)).await, texts(8..=9));
    let unknown = relay.resume("2").await.until(&text(9)).await;
    let (gap, events) = unknown.split_once("\n\n").unwrap();
    assert!(gap.starts_with("event: relay-gap\ndata: {\"cause\":\"not_retained\",\"events\":null,"), "{gap}");
    assert_eq!(events, texts(5..=9));
    upstream.finish().await;
}

#[tokio::test]
async fn a_loss_upstream_becomes_an_event() {
    let cut = Script::open().bytes("retry: 1\ndata: no ID\n\n").reset();
    let upstream = Server::start([cut, Script::open().bytes("data: later\n\n")]).await;
    let relay = Relay::start(&[upstream.url()]);
    let all = relay.events().await.until("later\n\n").await;
    assert!(all.starts_with("retry: 1\ndata: no ID\n\nevent: relay-gap\ndata: {\"cause\":\"reconnected\","), "{all}");
    upstream.finish().await;
}

/// A relay of one page that is behind must not hold up the others.
#[tokio::test]
async fn a_client_that_does_not_read_loses_alone_and_is_told() {
    const LAST: u64 = 1000;
    let large = |id: u64| numbered(id).data("x".repeat(40_000));
    let begin = Script::open().event(numbered(0)).stall(Duration::from_millis(300));
    let script = (1..LAST).fold(begin, |script, id| script.event(large(id)).stall(Duration::from_millis(1)));
    let upstream = Server::start([script.event(numbered(LAST))]).await;
    let relay = Relay::start(&[upstream.url(), "--retain", "1", "--queue", "64"]);
    let mut slow = TcpStream::connect(relay.address()).await.unwrap();
    slow.write_all(b"GET /events HTTP/1.1\r\nhost: relay\r\n\r\n").await.unwrap();
    wait_for_slow(&relay).await;
    let mut quick = relay.events().await;
    let got = quick.until(&text(LAST)).await;
    assert!(!got.contains("relay-gap"), "the client that reads has lost events");
    assert_eq!(got.matches("\ndata: x").count() as u64, LAST - 1);

    let mut late = Vec::new();
    tokio::time::timeout(LIMIT, async {
        while !late.ends_with(format!("{}\r\n", text(LAST)).as_bytes()) {
            assert_ne!(slow.read_buf(&mut late).await.unwrap(), 0);
        }
    })
    .await
    .unwrap();
    let late = String::from_utf8_lossy(&late);
    let events = late.matches("data: x").count() as u64;
    let missed = late.split("\"cause\":\"lagged\",\"events\":").skip(1);
    let missed: u64 = missed.map(|gap| gap.split(',').next().unwrap().parse::<u64>().unwrap()).sum();
    assert!(missed > 0 && events + missed == LAST - 1, "{events} events and {missed} missed");
    let metrics = relay.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains(&format!("sse_relay_missed_events_total {missed}\n")), "{metrics}");
    upstream.finish().await;
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn clients_that_do_not_read_share_a_large_event() {
    let large = numbered(1).data("x".repeat(8 << 20));
    let upstream = Server::start([Script::open().event(large.clone())]).await;
    let relay = Relay::start(&[upstream.url()]);
    let mut clients = Vec::new();
    for _ in 0..30 {
        clients.push(relay.events().await);
    }
    relay.wait_for("/metrics", "sse_relay_delivered_events_total 30\n").await;
    let status = fs::read_to_string(format!("/proc/{}/status", relay.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
    assert!(peak.parse::<u64>().unwrap() < 100_000, "{peak} kB");
    let whole = large.build().unwrap().encode();
    assert!(clients[0].until("x\n\n").await == whole, "not the event");
    upstream.finish().await;
}

/// Waits until the client has its place.
async fn wait_for_slow(relay: &Relay) {
    relay.wait_for("/metrics", "sse_relay_clients 1\n").await;
}

#[tokio::test]
async fn a_restart_misses_nothing_that_was_retained() {
    let file = Scratch::new("restart");
    for is_killed in [false, true] {
        let scripts = [sends(1..=5), sends(6..=8).expect_resumed_from("5")];
        let upstream = Server::start(scripts).await;
        let arguments = [upstream.url(), "--resume-file", file.path(), "--retain", "6"];
        let relay = Relay::start(&arguments);
        let mut client = relay.events().await;
        client.until(&text(5)).await;
        file.wait_for(&text(5)).await;
        let address = relay.address().to_owned();
        if is_killed {
            relay.kill();
            // As if it had been killed while it wrote.
            file.append("id: 6\ndata: num");
        } else {
            relay.stop().await;
        }
        let relay = Relay::start_at(&address, &arguments);
        assert_eq!(relay.resume("4").await.until(&text(8)).await, texts(5..=8));
        assert_eq!(relay.events().await.until(&text(8)).await, texts(3..=8));
        relay.stop().await;
        upstream.finish().await;
        file.remove();
    }
}

#[tokio::test]
async fn a_restart_without_ids_is_a_gap() {
    let file = Scratch::new("without-ids");
    let upstream = Server::start([Script::open().bytes("data: a\n\n"), Script::open().bytes("data: b\n\n")]).await;
    let arguments = [upstream.url(), "--resume-file", file.path()];
    let relay = Relay::start(&arguments);
    relay.events().await.until("data: a\n\n").await;
    relay.stop().await;
    let relay = Relay::start(&arguments);
    for path in ["/events", "/events?type=message"] {
        let all = Body::new(relay.get(path).await).until("data: b\n\n").await;
        assert!(all.starts_with("data: a\n\nevent: relay-gap\ndata: {\"cause\":\"restarted\","), "{all}");
    }
    upstream.finish().await;
}

#[tokio::test]
async fn the_resume_file_stays_small() {
    let file = Scratch::new("small");
    let large = |id: u64| numbered(id).data("x".repeat(40_000));
    // More than the file may grow by.
    let first = (1..=99).fold(Script::open(), |script, id| script.event(large(id))).event(numbered(100));
    let upstream = Server::start([first, sends([101]).expect_resumed_from("100")]).await;
    let arguments = [upstream.url(), "--resume-file", file.path(), "--retain", "3"];
    let relay = Relay::start(&arguments);
    file.wait_for(&text(100)).await;
    assert!(fs::metadata(file.path()).unwrap().len() < 2_000_000);
    relay.kill();
    let relay = Relay::start(&arguments);
    let all = relay.events().await.until(&text(101)).await;
    // With the one before if the client was there before the last.
    assert!(all.ends_with(&(large(99).build().unwrap().encode() + &texts(100..=101))), "{all:.100}");
    assert!(all.starts_with("id: 98\n") || all.starts_with("id: 99\n"), "{all:.100}");
    upstream.finish().await;
}

#[tokio::test]
async fn events_without_an_id_of_their_own_resume_after_the_last() {
    let file = Scratch::new("inherited");
    let first = Script::open().bytes("id: 7\ndata: a\n\ndata: b\n\ndata: c\n\n");
    let later = || Script::open().expect_resumed_from("7");
    let upstream = Server::start([first, later(), later()]).await;
    for run in 0..3 {
        let relay = Relay::start(&[upstream.url(), "--resume-file", file.path(), "--retain", "2"]);
        let events = if run == 0 { 3 } else { 0 };
        relay.wait_for("/metrics", &format!("sse_relay_upstream_events_total {events}\n")).await;
        assert_eq!(relay.events().await.until("data: c\n\n").await, "data: b\n\ndata: c\n\n");
        relay.wait_for("/metrics", "sse_relay_upstream_open 1\n").await;
        relay.stop().await;
    }
    upstream.finish().await;
}

#[tokio::test]
async fn an_id_in_a_block_without_data_is_resumed_after() {
    let file = Scratch::new("id-alone");
    let first = Script::open().bytes("id: 7\ndata: a\n\nid: 9\n\ndata: b\n\n");
    let upstream = Server::start([first, Script::open().expect_resumed_from("9").bytes("data: c\n\n")]).await;
    let arguments = [upstream.url(), "--resume-file", file.path()];
    let relay = Relay::start(&arguments);
    file.wait_for("data: b\n\n").await;
    relay.kill();
    let relay = Relay::start(&arguments);
    assert_eq!(relay.events().await.until("c\n\n").await, "id: 7\ndata: a\n\ndata: b\n\ndata: c\n\n");
    relay.stop().await;
    upstream.finish().await;
}

#[tokio::test]
async fn a_silent_upstream_is_left_if_the_user_wishes() {
    let silent = Script::open().bytes("retry: 1\n\n").event(numbered(1)).stall(Duration::from_secs(3600));
    let upstream = Server::start([silent, sends([2]).expect_resumed_from("1")]).await;
    let relay = Relay::start(&[upstream.url(), "--idle-timeout", "2"]);
    assert_eq!(relay.events().await.until(&text(2)).await, texts(1..=2));
    drop(relay);
    upstream.finish().await;
}

#[tokio::test]
async fn a_file_of_others_is_not_overwritten() {
    let file = Scratch::new("foreign");
    fs::write(file.path(), "data: mine\n\n").unwrap();
    let command = Relay::command(&["http://127.0.0.1:1/", "--listen", "127.0.0.1:0", "--resume-file", file.path()]);
    let mut command = tokio::process::Command::from(command);
    let ran = tokio::time::timeout(LIMIT, command.kill_on_drop(true).output()).await.unwrap().unwrap();
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("this is not a resume file"));
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "data: mine\n\n");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_said_and_tried_again() {
    let folder = Scratch::new("folder");
    fs::create_dir(folder.path()).unwrap();
    let file = format!("{}/events", folder.path());
    let upstream = Server::start([sends([1])]).await;
    let relay = Relay::start(&[upstream.url(), "--resume-file", &file]);
    wait_for("the file", || fs::read_to_string(&file).is_ok_and(|found| found.contains(&text(1)))).await;
    upstream.finish().await;
    relay.stop().await;
    // The file is there, and cannot be replaced.
    fs::create_dir(format!("{file}.new")).unwrap();
    let upstream = Server::start([Script::open().expect_resumed_from("1")]).await;
    let relay = Relay::start(&[upstream.url(), "--resume-file", &file]);
    relay.wait_for("/metrics", "sse_relay_resume_file_failures_total 1\n").await;
    Body::new(relay.get("/status").await).until("\"resume_file_fails\":true").await;
    fs::remove_dir(format!("{file}.new")).unwrap();
    Body::new(relay.get("/status").await).until("\"resume_file_fails\":false").await;
    fs::remove_dir_all(folder.path()).unwrap();
    upstream.finish().await;
}

#[tokio::test]
async fn a_stop_tries_for_the_last_time_to_write_the_resume_file() {
    let folder = Scratch::new("last-time");
    fs::create_dir(folder.path()).unwrap();
    let file = format!("{}/events", folder.path());
    let blocked = format!("{file}.new");
    // Without a file, one that cannot be written would be an error at the start.
    fs::write(&file, ": events retained by relay\n").unwrap();
    let upstream = Server::start([sends([1]), sends([2]).expect_resumed_from("1")]).await;
    for (id, is_writable) in [(1, true), (2, false)] {
        fs::create_dir(&blocked).unwrap();
        let relay = Relay::start(&[upstream.url(), "--resume-file", &file]);
        relay.wait_for("/metrics", "sse_relay_resume_file_failures_total 1\n").await;
        relay.events().await.until(&text(id)).await;
        if is_writable {
            fs::remove_dir(&blocked).unwrap();
        }
        let log = relay.stop().await;
        assert_eq!(log.contains("the resume file is complete"), is_writable, "{log}");
        assert_eq!(log.contains("the resume file is not complete"), !is_writable, "{log}");
        assert_eq!(fs::read_to_string(&file).unwrap().ends_with(&text(id)), is_writable);
    }
    fs::remove_dir_all(folder.path()).unwrap();
    upstream.finish().await;
}

#[tokio::test]
#[cfg(unix)]
async fn the_resume_file_is_private_and_a_failed_start_leaves_none() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = Scratch::new("private");
    let mut command = tokio::process::Command::from(Relay::command(&["no-scheme", "--resume-file", file.path()]));
    let ran = command.args(["--listen", "127.0.0.1:0"]).kill_on_drop(true).output();
    assert!(!tokio::time::timeout(LIMIT, ran).await.unwrap().unwrap().status.success());
    let new = format!("{}.new", file.path());
    assert!(!fs::exists(&new).unwrap());
    // Left by a run that was killed, in a folder that all can write to.
    fs::write(&new, "").unwrap();
    let upstream = Server::start([sends([1])]).await;
    let relay = Relay::start(&[upstream.url(), "--resume-file", file.path()]);
    file.wait_for(&text(1)).await;
    assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
    relay.stop().await;
    upstream.finish().await;
}

#[tokio::test]
async fn a_stop_gives_clients_what_is_queued_and_ends_in_order() {
    // More than the buffers of the sockets hold.
    let large = |id: u64| numbered(id).data("x".repeat(100_000));
    let upstream = Server::start([(1..=200).fold(Script::open(), |script, id| script.event(large(id)))]).await;
    let relay = Relay::start(&[upstream.url()]);
    let client = relay.events().await;
    let metrics = relay.wait_for("/metrics", "sse_relay_upstream_events_total 200\n").await;
    assert!(!metrics.contains("sse_relay_queued_events 0\n"), "{metrics}");
    relay.terminate();
    relay.wait_until_closed().await;
    let rest = client.rest().await;
    assert_eq!(rest.matches("\ndata: x").count(), 200);
    let (status, log) = relay.ended().await;
    assert!(status.success(), "{status}: {log}");
    let order = ["stopping: SIGTERM", "no new clients", "the upstream connection is closed"];
    let places: Vec<_> = order.iter().map(|line| log.find(line).unwrap_or_else(|| panic!("{line}: {log}"))).collect();
    assert!(places.is_sorted(), "{log}");
    upstream.finish().await;
}

#[tokio::test]
async fn a_relay_can_be_stopped_as_soon_as_it_serves() {
    for _ in 0..20 {
        Relay::start(&["http://127.0.0.1:1/"]).stop().await;
    }
}

#[tokio::test]
async fn a_204_of_the_server_ends_the_relay() {
    let upstream = Server::start([Script::answer(StatusCode::NO_CONTENT)]).await;
    let (status, log) = Relay::start(&[upstream.url()]).ended().await;
    assert!(status.success() && log.contains("no more content (204)"), "{status}: {log}");
    upstream.finish().await;
}

#[tokio::test]
async fn health_and_metrics_say_how_it_stands() {
    let refused = Script::answer(StatusCode::SERVICE_UNAVAILABLE).header("retry-after", "1");
    let upstream = Server::start([refused, sends(1..=3).stall(Duration::from_millis(500)).reset()]).await;
    let relay = Relay::start(&[upstream.url(), "--health-window", "0.2"]);
    let health = relay.wait_for("/health", "503").await;
    assert!(health.contains("\"healthy\":false") && health.contains("\"next_attempt_seconds\":"), "{health}");
    assert_eq!(relay.get("/health").await.status(), 503);
    let mut client = relay.events().await;
    client.until(&text(3)).await;
    assert_eq!(relay.get("/health").await.status(), 200);
    let metrics = relay.get("/metrics").await;
    assert_eq!(metrics.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let metrics = metrics.text().await.unwrap();
    check_exposition(&metrics);
    for sample in [
        "sse_relay_upstream_open 1",
        "sse_relay_upstream_events_total 3",
        "sse_relay_upstream_failures_total{kind=\"status\"} 1",
        "sse_relay_clients 1",
        "sse_relay_delivered_events_total 3",
        "sse_relay_client_queued_events{slot=\"0\",policy=\"drop-oldest\"} 0",
    ] {
        assert!(metrics.lines().any(|line| line == sample), "no {sample} in {metrics}");
    }
    relay.wait_for("/health", "\"healthy\":true").await;
    relay.wait_for("/health", "\"lost_seconds_ago\":0.").await;
    let health = relay.wait_for("/health", "\"healthy\":false").await;
    assert!(health.contains("\"state\":\"waiting\""), "{health}");
    drop(upstream);
}

/// Checks each line by the grammar of the format, and that each metric is described before it is
/// used, once.
fn check_exposition(text: &str) {
    assert!(text.ends_with('\n'));
    let mut described = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge"].contains(&kind) && !described.contains(&name), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            described.push(name);
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            assert_eq!(described.last(), Some(&name), "{line}");
            let labels = labels.strip_suffix('}').unwrap();
            let is_label = |label: &str| label.split_once("=\"").is_some_and(|(_, value)| value.ends_with('"'));
            assert!(labels.is_empty() || labels.split(',').all(is_label), "{line}");
        }
    }
}

#[tokio::test]
async fn a_reconnection_needs_a_header_that_other_sites_cannot_send() {
    let upstream = Server::start([sends([1]), sends([2]).expect_resumed_from("1")]).await;
    let relay = Relay::start(&[upstream.url()]);
    let mut client = relay.events().await;
    client.until(&text(1)).await;
    let post = || reqwest::Client::new().post(format!("{}/reconnect", relay.url));
    assert_eq!(post().send().await.unwrap().status(), 403);
    assert_eq!(relay.get("/reconnect").await.status(), 405);
    assert_eq!(post().header("x-relay", "reconnect").send().await.unwrap().status(), 202);
    assert_eq!(client.until(&text(2)).await, text(2));
    assert_eq!(post().header("x-relay", "reconnect").send().await.unwrap().status(), 429);
    upstream.finish().await;
}

#[tokio::test]
async fn clients_are_limited_and_quiet_ones_get_heartbeats() {
    let upstream = Server::start([Script::open()]).await;
    let relay = Relay::start(&[upstream.url(), "--clients", "1", "--heartbeat", "0.05", "--allow-origin", "*"]);
    let mut client = relay.events().await;
    assert_eq!(client.response.headers()["access-control-allow-origin"], "*");
    assert_eq!(client.until(":\n\n:\n\n").await, ":\n\n:\n\n");
    let refused = relay.get("/events").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.text().await.unwrap(), "too many clients; try again later\n");
    let types = |count| format!("/events?{}", "type=a&".repeat(count));
    for (path, status) in [("/events?overflow=wait", 400), (&*types(101), 400), (&*types(100), 503)] {
        assert_eq!(relay.get(path).await.status(), status, "{path}");
    }
    let mut pages = Vec::new();
    for _ in 0..100 {
        pages.push(relay.get("/status").await);
    }
    assert!(pages.iter().all(|page| page.status() == 200));
    assert_eq!(relay.get("/status").await.status(), 503);
    drop(client);
    relay.wait_for("/metrics", "sse_relay_clients 0\n").await;
    // In the slot of the first.
    let again = relay.get("/events").await;
    relay.wait_for("/metrics", "sse_relay_client_queued_events{slot=\"0\",").await;
    drop(again);
    upstream.finish().await;
}

/// A full disk, or a reader that has gone.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn output_that_cannot_be_written_does_not_end_the_relay() {
    use std::process::Stdio;
    let cut = || Script::open().bytes("retry: 1\n\n").reset();
    let end = || Script::answer(StatusCode::NO_CONTENT);
    let upstream = Server::start([cut(), end(), cut(), end()]).await;
    for (stdout, stderr) in [(true, false), (false, true)] {
        let mut command = Relay::command(&[upstream.url(), "--listen", "127.0.0.1:0"]);
        let output = |is_full| match is_full {
            true => Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap()),
            false => Stdio::null(),
        };
        command.stdout(output(stdout)).stderr(output(stderr));
        let mut relay = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let status = tokio::time::timeout(LIMIT, relay.wait()).await.unwrap().unwrap();
        assert!(status.success(), "{status}");
    }
    upstream.finish().await;
}

#[tokio::test]
#[cfg(unix)]
async fn clients_leave_files_for_the_upstream_connection() {
    let cut = sends([1]).stall(Duration::from_millis(300)).reset();
    let upstream = Server::start([cut, sends([2])]).await;
    let relay = Relay::start_within_files(202, &[upstream.url()]);
    let mut clients = Vec::new();
    for status in [200, 200, 503] {
        let client = relay.events().await;
        assert_eq!(client.response.status(), status);
        clients.push(client);
    }
    clients[0].until(&text(2)).await;
    let log = relay.stop().await;
    assert!(log.contains("the system allows 202 open files, enough for 2 clients instead of 10000"), "{log}");
    upstream.finish().await;
}

/// A file of one test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn append(&self, text: &str) {
        let whole = fs::read_to_string(&self.0).unwrap() + text;
        fs::write(&self.0, whole).unwrap();
    }

    async fn wait_for(&self, text: &str) {
        wait_for("the file", || fs::read_to_string(&self.0).is_ok_and(|found| found.contains(text))).await;
    }

    fn remove(&self) {
        for path in [self.0.clone(), self.0.with_added_extension("new")] {
            let _ = fs::remove_file(path);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.remove();
    }
}
