//! What a program with a [`DeltaLoop`] sees on each fault of the stream.

use std::time::Duration;

use delta_loop::{DeltaLoop, Features, Numbering, Status, View};
use sseclient::http::StatusCode;
use sseclient::testing::{Faults, Log, Script, Server};
use sseclient::{CloseReason, Error, ErrorKind, Event};
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// An event with these changes, whose ID is the revision.
fn event(event_type: &str, revision: u64, changes: &[String]) -> Event {
    let data = format!(r#"{{"events":[{}]}}"#, changes.join(","));
    Event::builder().event_type(event_type).id(revision.to_string()).data(data).build().unwrap()
}

fn hydration(revision: u64, features: &[&str]) -> Event {
    let features: Vec<String> = features.iter().map(|name| format!(r#"{{"name":"{name}","at":{revision}}}"#)).collect();
    let features = features.join(",");
    let hydration = format!(r#"{{"type":"hydration","eventId":{revision},"features":[{features}],"segments":[]}}"#);
    event("unleash-connected", revision, &[hydration])
}

fn updated(revision: u64, name: &str) -> String {
    format!(r#"{{"type":"feature-updated","eventId":{revision},"feature":{{"name":"{name}","at":{revision}}}}}"#)
}

fn removed(revision: u64, name: &str) -> String {
    format!(r#"{{"type":"feature-removed","eventId":{revision},"featureName":"{name}","project":"default"}}"#)
}

fn delta(revision: u64, changes: &[String]) -> Event {
    event("unleash-updated", revision, changes)
}

fn start(server: &Server, numbering: Numbering) -> DeltaLoop {
    DeltaLoop::start(server.client().stream(server.url()), numbering, None).unwrap()
}

/// Waits for a view, which has to come within a day. The clock is paused, so that passes at once.
async fn soon(toggles: &DeltaLoop, is_wanted: impl FnMut(&View) -> bool) -> View {
    timeout(86_400 * SECOND, toggles.wait_for(is_wanted)).await.unwrap()
}

async fn at_revision(toggles: &DeltaLoop, revision: u64) -> View {
    soon(toggles, |view| view.features.revision() == Some(revision)).await
}

/// Waits until the toggles are stale, and returns their revision and why.
async fn stale(toggles: &DeltaLoop) -> (Option<u64>, Error) {
    let view = soon(toggles, |view| matches!(view.status, Status::Stale(_))).await;
    let Status::Stale(cause) = view.status else { panic!("{view:?}") };
    (view.features.revision(), cause)
}

/// Returns the revision of each of these toggles.
fn revisions<const N: usize>(features: &Features, names: [&str; N]) -> [Option<u64>; N] {
    names.map(|name| features.feature(name)?.fields["at"].as_u64())
}

#[tokio::test(start_paused = true)]
async fn deltas_are_applied_in_order_and_older_ones_left_out() {
    let segment =
        |at: u64| format!(r#"{{"type":"segment-updated","eventId":{at},"segment":{{"id":9,"name":"beta"}}}}"#);
    let server = Server::in_memory(
        Script::open()
            .event(hydration(5, &["a", "b"]))
            // One revision with several changes, in two deltas; and numbers that are left out.
            .event(delta(8, &[updated(8, "a"), segment(8)]))
            .event(delta(8, &[removed(8, "b")]))
            .event(delta(6, &[updated(6, "a"), removed(6, "a")])) // again
            .event(event("unleash-updated", 8, &[]))
            .event(delta(
                10,
                &[updated(10, "c"), r#"{"type":"segment-removed","eventId":10,"segmentId":9}"#.to_owned()],
            )),
    );
    let toggles = start(&server, Numbering::Increasing);
    let view = at_revision(&toggles, 10).await;
    assert!(matches!(view.status, Status::Current));
    assert_eq!(revisions(&view.features, ["a", "b", "c"]), [Some(8), None, Some(10)]);
    assert_eq!(view.features.segment(9), None);
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_resumes_after_the_revision() {
    let half = delta(6, &[updated(6, "a")]).encode().into_bytes();
    let half = half[..half.len() - 1].to_vec();
    let whole = delta(7, &[updated(6, "a"), updated(7, "b")]).encode().into_bytes();
    let server = Server::in_memory([
        Script::open().event(hydration(5, &["a"])).bytes(half).stall(SECOND).reset(),
        Script::answer(StatusCode::SERVICE_UNAVAILABLE).header("retry-after", "60").expect_resumed_from("5"),
        Script::open().expect_resumed_from("5").pieces(whole.chunks(5).map(<[u8]>::to_vec)),
    ]);
    let toggles = start(&server, Numbering::Consecutive);
    let begin = Instant::now();
    let (revision, cause) = stale(&toggles).await;
    assert_eq!((revision, cause.kind()), (Some(5), ErrorKind::Body));
    let is_refused = |view: &View| matches!(&view.status, Status::Stale(cause) if cause.status().is_some());
    let view = soon(&toggles, is_refused).await;
    assert_eq!(revisions(&view.features, ["a", "b"]), [Some(5), None], "they stay meanwhile");
    let view = at_revision(&toggles, 7).await;
    assert!(matches!(view.status, Status::Current) && begin.elapsed() > 60 * SECOND);
    assert_eq!(revisions(&view.features, ["a", "b"]), [Some(6), Some(7)]);
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_hole_or_a_broken_delta_leads_to_a_hydration() {
    let with_a_hole = delta(8, &[updated(7, "a"), updated(9, "a")]);
    let cases = [
        with_a_hole,
        delta(7, &[updated(7, "a")]),
        event("unleash-updated", 6, &["{".to_owned()]),
        event("unleash-updated", 6, &[r#"{"type":"feature-updated","eventId":6}"#.to_owned()]),
        event("unleash-updated", 6, &[r#"{"type":"of a later version","eventId":6}"#.to_owned()]),
    ];
    for bad in cases {
        // What comes with it is left out, too.
        let together = bad.encode() + &delta(10, &[removed(10, "a")]).encode();
        let server = Server::in_memory([
            Script::open().event(hydration(5, &["a"])).stall(SECOND).bytes(together),
            Script::open().expect_resumed_from("").stall(SECOND).event(hydration(11, &["b"])),
        ]);
        let toggles = start(&server, Numbering::Consecutive);
        at_revision(&toggles, 5).await;
        let (revision, cause) = stale(&toggles).await;
        assert_eq!((revision, cause.kind()), (Some(5), ErrorKind::Decode), "{cause}");
        assert_eq!(revisions(&toggles.view().features, ["a"]), [Some(5)]);
        let view = at_revision(&toggles, 11).await;
        assert!(matches!(view.status, Status::Current));
        assert_eq!(revisions(&view.features, ["a", "b"]), [None, Some(11)]);
        server.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_always_leaves_holes_is_asked_every_five_seconds() {
    let holes = (0..4).map(|_| Script::open().event(hydration(1, &["a"])).event(delta(3, &[updated(3, "a")])));
    let server = Server::in_memory(holes.chain([Script::open().event(hydration(9, &["a"]))]).collect::<Vec<_>>());
    let toggles = start(&server, Numbering::Consecutive);
    let begin = Instant::now();
    at_revision(&toggles, 9).await;
    // The first time it is asked at once.
    assert_eq!(begin.elapsed().as_secs(), 15);
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_id_needs_a_hydration() {
    let server = Server::in_memory([
        Script::open().event(hydration(5, &["a"])).stall(SECOND).event(delta(7, &[updated(7, "a")])),
        // It follows revision 5, but does not begin with everything.
        Script::open().expect_resumed_from("").event(delta(6, &[updated(6, "b")])),
        Script::open().expect_resumed_from("").stall(SECOND).event(hydration(9, &["c"])),
    ]);
    let toggles = start(&server, Numbering::Consecutive);
    at_revision(&toggles, 5).await;
    let view = soon(&toggles, |view| view.features.revision() != Some(5)).await;
    assert_eq!(view.features.revision(), Some(9));
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_reconnection_after_a_broken_delta_does_not_hide_the_hole() {
    let nonsense = |revision| event("unleash-updated", revision, &["{".to_owned()]);
    let server = Server::in_memory([
        Script::open().event(hydration(1, &["a"])).event(nonsense(2)),
        // Broken again, within 5 s, and lost before the stream is begun anew.
        Script::open().bytes("retry: 100\n").event(hydration(5, &["a"])).event(nonsense(6)).stall(SECOND).reset(),
        Script::open().expect_resumed_from("6").event(delta(7, &[updated(7, "b")])),
        Script::open().expect_resumed_from("").stall(SECOND).event(hydration(8, &["a", "b"])),
    ]);
    let toggles = start(&server, Numbering::Increasing);
    at_revision(&toggles, 5).await;
    let view = soon(&toggles, |view| view.features.revision() != Some(5)).await;
    assert_eq!(view.features.revision(), Some(8));
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_delta_without_a_hydration_is_not_applied() {
    let server = Server::in_memory([
        Script::open().event(delta(3, &[updated(3, "a")])),
        Script::open().expect_resumed_from("").stall(SECOND).event(hydration(4, &["b"])),
    ]);
    let toggles = start(&server, Numbering::Increasing);
    let view = soon(&toggles, |view| !matches!(view.status, Status::Connecting(None))).await;
    let Status::Connecting(Some(cause)) = view.status else { panic!("{view:?}") };
    assert_eq!((cause.to_string().as_str(), view.features.revision()), ("revision 3 came before a hydration", None));
    let view = at_revision(&toggles, 4).await;
    assert_eq!(revisions(&view.features, ["a", "b"]), [None, Some(4)]);
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_delta_is_no_hydration() {
    let empty = || event("unleash-connected", 3, &[]);
    let server = Server::in_memory([
        Script::open().event(empty()),
        Script::open()
            .expect_resumed_from("")
            .stall(SECOND)
            .event(hydration(5, &["a"]))
            .stall(SECOND)
            .event(("unleash-updated", "{")),
        // It would hide what was missed, if the next delta were applied to the old toggles.
        Script::open().expect_resumed_from("").event(empty()).event(delta(6, &[updated(6, "b")])),
        Script::open().expect_resumed_from("").stall(SECOND).event(hydration(9, &["c"])),
    ]);
    let toggles = start(&server, Numbering::Increasing);
    let view = soon(&toggles, |view| !matches!(view.status, Status::Connecting(None))).await;
    let Status::Connecting(Some(cause)) = view.status else { panic!("{view:?}") };
    assert_eq!(cause.to_string(), "an empty delta came before a hydration");
    at_revision(&toggles, 5).await;
    let view = soon(&toggles, |view| view.features.revision() != Some(5)).await;
    assert_eq!(view.features.revision(), Some(9));
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn the_largest_revision_has_no_successor() {
    let server = Server::in_memory(
        Script::open().event(hydration(u64::MAX, &["a"])).event(delta(u64::MAX, &[updated(u64::MAX, "b")])),
    );
    let toggles = start(&server, Numbering::Consecutive);
    let view = soon(&toggles, |view| view.features.feature("b").is_some()).await;
    assert!(matches!(view.status, Status::Current));
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn saved_toggles_are_there_at_once_and_the_stream_goes_on_from_them() {
    let server = Server::in_memory([
        Script::open().event(hydration(5, &["a"])),
        Script::open().expect_resumed_from("5").stall(SECOND).event(delta(6, &[updated(6, "b")])).end(),
        Script::answer(StatusCode::GONE).expect_resumed_from("6"),
        Script::open().expect_resumed_from("").event(hydration(2, &["of a new server"])),
    ]);
    let first = start(&server, Numbering::Consecutive);
    let saved = serde_json::to_string(&at_revision(&first, 5).await.features).unwrap();
    drop(first);

    let stream = server.client().stream(server.url());
    let saved = serde_json::from_str(&saved).unwrap();
    let toggles = DeltaLoop::start(stream, Numbering::Consecutive, Some(saved)).unwrap();
    assert_eq!(revisions(&toggles.view().features, ["a"]), [Some(5)]);
    let view = at_revision(&toggles, 6).await;
    assert_eq!(revisions(&view.features, ["a", "b"]), [Some(5), Some(6)]);
    // The server has forgotten revision 6, or never had it.
    let view = at_revision(&toggles, 2).await;
    assert_eq!(revisions(&view.features, ["a", "of a new server"]), [None, Some(2)]);
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_ends_the_stream_and_keeps_the_toggles() {
    let server = Server::in_memory([
        Script::open().event(hydration(5, &["a"])).end(),
        Script::answer(StatusCode::UNAUTHORIZED).bytes("expired"),
    ]);
    let toggles = start(&server, Numbering::Increasing);
    let view = soon(&toggles, |view| matches!(view.status, Status::Stopped(_))).await;
    let Status::Stopped(CloseReason::Failed(error)) = &view.status else { panic!("{view:?}") };
    assert_eq!(error.status(), Some(StatusCode::UNAUTHORIZED));
    assert_eq!(revisions(&view.features, ["a"]), [Some(5)]);
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_left_after_ninety_seconds() {
    let server = Server::in_memory([
        Script::open().event(hydration(5, &["a"])).stall(30 * SECOND).bytes(":\n").stall(200 * SECOND),
        Script::open().expect_resumed_from("5").event(delta(6, &[updated(6, "a")])),
    ]);
    let toggles = start(&server, Numbering::Increasing);
    let begin = Instant::now();
    assert_eq!(stale(&toggles).await.1.kind(), ErrorKind::IdleTimeout);
    assert_eq!(begin.elapsed().as_secs(), 120, "a comment counts");
    at_revision(&toggles, 6).await;
    server.finish().await;
}

/// A loss would show: revisions are consecutive, and the log has but one hydration.
#[tokio::test(start_paused = true)]
async fn over_any_faults_each_delta_is_applied() {
    for seed in 0..20 {
        let deltas = (2..=150).map(|at| delta(at, &[updated(at, &format!("toggle {}", at % 40))]));
        let log = Log::new([hydration(1, &["a"])].into_iter().chain(deltas));
        let server = Server::in_memory(log.faults(Faults::seed(seed).stall(100 * SECOND)));
        let toggles = start(&server, Numbering::Consecutive);
        let view = soon(&toggles, |view| matches!(view.status, Status::Stopped(_))).await;
        assert!(matches!(view.status, Status::Stopped(CloseReason::NoContent)), "seed {seed}: {view:?}");
        assert_eq!(view.features.revision(), Some(150));
        for at in 111..=150 {
            assert_eq!(revisions(&view.features, [&format!("toggle {}", at % 40)]), [Some(at)], "seed {seed}");
        }
        server.finish().await;
    }
}
