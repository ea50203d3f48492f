//! What a program with a [`FlagSource`] sees on each fault of the stream.

use std::sync::Arc;
use std::time::Duration;

use flag_source::{FlagSource, Status};
use sseclient::http::StatusCode;
use sseclient::testing::{Script, Server};
use sseclient::{CloseReason, ErrorKind, Event, EventBuilder};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

/// A `put` with these flags and their versions.
fn put(flags: &[(&str, u64)]) -> EventBuilder {
    let flags: Vec<String> = flags.iter().map(|(key, version)| format!(r#""{key}":{{"version":{version}}}"#)).collect();
    let data = format!(r#"{{"path":"/","data":{{"flags":{{{}}},"segments":{{}}}}}}"#, flags.join(","));
    Event::builder().event_type("put").data(data)
}

fn patch(key: &str, version: u64) -> EventBuilder {
    let data = format!(r#"{{"path":"/flags/{key}","data":{{"version":{version},"on":true}}}}"#);
    Event::builder().event_type("patch").data(data)
}

fn delete(key: &str, version: u64) -> EventBuilder {
    Event::builder().event_type("delete").data(format!(r#"{{"path":"/flags/{key}","version":{version}}}"#))
}

fn start(server: &Server) -> FlagSource {
    FlagSource::start(server.client().stream(server.url())).unwrap()
}

fn version(flags: &FlagSource, key: &str) -> Option<u64> {
    flags.flag(key).map(|flag| flag.version)
}

/// Waits for what has to come within an hour, which passes at once where the clock is paused.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(3600), future).await.unwrap()
}

async fn valid(flags: &FlagSource) {
    soon(flags.wait_for(|status| matches!(status, Status::Valid))).await;
}

async fn interrupted(flags: &FlagSource) -> sseclient::Error {
    match soon(flags.wait_for(|status| matches!(status, Status::Interrupted(_)))).await {
        Status::Interrupted(cause) => cause,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn flags_follow_puts_patches_and_deletes_of_newer_versions() -> Result {
    let server = Server::in_memory(
        Script::open()
            .event(put(&[("a", 3), ("b", 1)]))
            .event(patch("a", 2)) // older
            .event(delete("b", 2))
            .event(patch("b", 1)) // came late
            .event(patch("new", 7))
            .event(("patch", r#"{"path":"/configs/x","data":{"version":1}}"#)) // of a later protocol
            .event(patch("last", 1)),
    );
    let flags = start(&server);
    let mut last = flags.watch("last");
    soon(flags.initialized()).await.unwrap();
    assert_eq!(soon(last.changed()).await?.map(|flag| flag.fields["on"].clone()), Some(true.into()));
    assert_eq!(["a", "b", "new"].map(|key| version(&flags, key)), [Some(3), None, Some(7)]);
    server.finish().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn after_a_loss_the_next_put_replaces_everything() {
    let half = put(&[("a", 2)]).build().unwrap().encode();
    let half = half.as_bytes()[..half.len() / 2].to_vec();
    let server = Server::in_memory([
        Script::open()
            .event(put(&[("a", 1), ("deleted meanwhile", 1)]))
            .bytes(half)
            .stall(Duration::from_secs(1))
            .reset(),
        Script::open().pieces(put(&[("a", 5)]).build().unwrap().encode().into_bytes().chunks(7).map(<[u8]>::to_vec)),
    ]);
    let flags = start(&server);
    valid(&flags).await;
    let mut watch = flags.watch("a");
    let cause = interrupted(&flags).await;
    assert_eq!(cause.kind(), ErrorKind::Body, "{cause}");
    assert_eq!(version(&flags, "a"), Some(1), "old flags are served meanwhile");
    valid(&flags).await;
    assert_eq!(soon(watch.changed()).await.unwrap().map(|flag| flag.version), Some(5));
    assert_eq!(version(&flags, "deleted meanwhile"), None);
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn before_the_first_put_the_status_tells_what_went_wrong() {
    let server = Server::in_memory([
        Script::refuse(),
        Script::answer(StatusCode::BAD_REQUEST),
        Script::answer(StatusCode::SERVICE_UNAVAILABLE).header("retry-after", "120"),
        Script::open().event(put(&[("a", 1)])),
    ]);
    let flags = start(&server);
    let refused = |status: &Status, expected: u16| match status {
        Status::Initializing(Some(cause)) => cause.status().is_some_and(|status| status.as_u16() == expected),
        _ => false,
    };
    for expected in [400, 503] {
        soon(flags.wait_for(|status| refused(status, expected))).await;
    }
    let begin = tokio::time::Instant::now();
    soon(flags.initialized()).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(120));
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_turns_the_source_off_and_keeps_its_flags() {
    for (status, initial) in [(401, true), (403, true), (401, false)] {
        let refusal = Script::answer(StatusCode::from_u16(status).unwrap()).bytes("no such key");
        let scripts = if initial { vec![refusal] } else { vec![Script::open().event(put(&[("a", 1)])).end(), refusal] };
        let server = Server::in_memory(scripts);
        let flags = start(&server);
        let off = soon(flags.wait_for(|status| matches!(status, Status::Off(_)))).await;
        let Status::Off(CloseReason::Failed(error)) = off else { panic!("{off:?}") };
        assert_eq!(error.status().unwrap().as_u16(), status);
        assert!(soon(flags.initialized()).await.is_err());
        assert_eq!(version(&flags, "a"), (!initial).then_some(1));
        server.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn data_that_cannot_be_read_restarts_the_stream() {
    for bad in ["{", r#"{"path":"/flags/a"}"#, r#"{"path":"/flags/a","data":{"version":"x"}}"#] {
        let server = Server::in_memory([
            Script::open().event(put(&[("a", 1)])).stall(Duration::from_secs(1)).event(("patch", bad)),
            Script::open().stall(Duration::from_secs(1)).event(put(&[("a", 2)])),
        ]);
        let flags = start(&server);
        valid(&flags).await;
        assert_eq!(interrupted(&flags).await.kind(), ErrorKind::Decode);
        valid(&flags).await;
        assert_eq!(version(&flags, "a"), Some(2));
        server.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_sends_nonsense_is_asked_every_five_seconds() {
    let nonsense = (0..4).map(|_| Script::open().event(("put", "nonsense")));
    let server = Server::in_memory(nonsense.chain([Script::open().event(put(&[("a", 1)]))]).collect::<Vec<_>>());
    let begin = tokio::time::Instant::now();
    soon(start(&server).initialized()).await.unwrap();
    // The first restart is at once.
    assert_eq!(begin.elapsed().as_secs(), 15);
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_over_64_mib_is_skipped_and_restarts_the_stream() {
    let large = [b"event: put\ndata: ".to_vec(), vec![b'x'; 65 << 20], b"\n\n".to_vec()].concat();
    let server = Server::in_memory([
        Script::open().event(put(&[("a", 1)])).stall(Duration::from_secs(1)).bytes(large),
        Script::open().stall(Duration::from_secs(1)).event(put(&[("a", 2)])),
    ]);
    let flags = start(&server);
    valid(&flags).await;
    let cause = interrupted(&flags).await;
    assert!(cause.to_string().contains("bytes"), "{cause}");
    valid(&flags).await;
    assert_eq!(version(&flags, "a"), Some(2));
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_left_after_five_minutes() {
    let server = Server::in_memory([
        Script::open()
            .event(put(&[("a", 1)]))
            .stall(Duration::from_secs(180))
            .bytes(":\n")
            .stall(Duration::from_secs(400)),
        Script::open().event(put(&[("a", 2)])),
    ]);
    let flags = start(&server);
    valid(&flags).await;
    let begin = tokio::time::Instant::now();
    assert_eq!(interrupted(&flags).await.kind(), ErrorKind::IdleTimeout);
    assert_eq!(begin.elapsed().as_secs(), 480, "a heartbeat counts");
    valid(&flags).await;
    assert_eq!(version(&flags, "a"), Some(2));
    server.finish().await;
}

#[tokio::test]
async fn many_threads_read_while_flags_change() {
    let patches =
        (2..=500).fold(Script::open().event(put(&[("a", 1)])), |script, version| script.event(patch("a", version)));
    let server = Server::start(patches).await;
    let flags = Arc::new(start(&server));
    soon(flags.initialized()).await.unwrap();
    let readers = (0..4).map(|_| {
        let flags = Arc::clone(&flags);
        tokio::task::spawn_blocking(move || {
            let mut seen = 0;
            while seen < 500 {
                let now = version(&flags, "a").unwrap();
                assert!(now >= seen, "version {now} after {seen}");
                seen = now;
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        tokio::time::timeout(Duration::from_secs(60), reader).await.unwrap().unwrap();
    }
    server.finish().await;
}

/// Each connection has a `put` of the server's flags, and some changes, and ends somewhere.
#[tokio::test(start_paused = true)]
async fn over_any_faults_the_flags_are_the_servers_in_the_end() {
    for seed in 0..50 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut server_has = [1_u64; 3];
        let mut scripts = Vec::new();
        for _ in 0..8 {
            let mut bytes = everything(server_has).build().unwrap().encode();
            for _ in 0..random.usize(0..5) {
                let flag = random.usize(0..3);
                server_has[flag] += 1;
                bytes += &patch(&flag.to_string(), server_has[flag]).build().unwrap().encode();
            }
            let cut = random.usize(0..=bytes.len());
            let script = Script::open().bytes(bytes[..cut].to_owned());
            scripts.push(match random.u8(0..5) {
                0 => script.end(),
                1 => script.hang_up(),
                2 => script.stall(Duration::from_secs(1)).reset(),
                3 => Script::answer(StatusCode::SERVICE_UNAVAILABLE).header("retry-after", "3"),
                _ => script.event(("put", "nonsense")),
            });
        }
        let [zero, one, two] = server_has;
        scripts.push(Script::open().event(put(&[("0", zero), ("1", one), ("2", two), ("end", 1)])));
        let server = Server::in_memory(scripts);
        let flags = start(&server);
        soon(flags.watch("end").changed()).await.unwrap();
        assert_eq!(["0", "1", "2"].map(|key| version(&flags, key)), server_has.map(Some), "seed {seed}");
        server.finish().await;
    }
}

fn everything(versions: [u64; 3]) -> EventBuilder {
    put(&[("0", versions[0]), ("1", versions[1]), ("2", versions[2])])
}
