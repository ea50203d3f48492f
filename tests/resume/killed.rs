//! The `resume` example, killed at any moment and started again, a hundred times.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sseclient::{FileStore, ResumeStore as _};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::folder::Folder;
use crate::support::{OPEN, RawServer, header, until, within};

const RUNS: usize = 100;

/// A server that sends numbers without end, after the last event ID.
async fn endless_numbers() -> RawServer {
    RawServer::start(|_, mut connection| async move {
        let after = header(&connection.request, "last-event-id").and_then(|id| id.parse().ok()).unwrap_or(0_u64);
        connection.send(OPEN).await;
        for first in (after + 1..).step_by(20) {
            let some: String = (first..first + 20).map(|id| format!("id: {id}\ndata: {id}\n\n")).collect();
            if !connection.send(&some).await {
                return;
            }
        }
    })
    .await
}

/// Starts the example, which `cargo test` builds next to the test's own binary.
fn start(url: &str, file: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples").join(format!("resume{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "run `cargo build --example resume` before `cargo test --test resume`");
    let mut command = Command::new(program);
    let mut child = command.arg(url).arg(file).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    (child, BufReader::new(stdout).lines())
}

/// The number of the event that the program reports as processed, if the line is such a report.
fn number(line: &str) -> Option<u64> {
    line.split_once(' ').and_then(|(id, _)| id.parse().ok())
}

/// Runs the program, kills it after `lines` lines, and returns the numbers that it had processed.
async fn killed_after(lines: usize, url: &str, file: &Path) -> Vec<u64> {
    let (mut child, mut output) = start(url, file);
    let mut processed = Vec::new();
    for _ in 0..lines {
        let line = within(output.next_line()).await.unwrap().expect("it runs until it is killed");
        processed.extend(number(&line));
    }
    // On Unix this is SIGKILL.
    child.kill().await.unwrap();
    while let Some(line) = within(output.next_line()).await.unwrap() {
        processed.extend(number(&line));
    }
    processed
}

/// The file of the store is readable after each kill.
#[tokio::test]
async fn a_program_killed_at_any_moment_processes_each_event_at_least_once() {
    let server = endless_numbers().await;
    let folder = Folder::new("restart");
    let file = folder.join("id");
    let mut random = fastrand::Rng::with_seed(17);
    let (mut newest, mut saved_runs, mut before) = (0, 0, None);
    for run in 0..RUNS {
        let most = if run % 10 == 9 { 10_000 } else { 1_000 };
        let processed = killed_after(random.usize(0..most), &server.url, &file).await;
        let saved = FileStore::new(&file).load().await.expect("the file can always be read");
        let saved_number = saved.as_ref().map_or(0, |id| id.parse().unwrap());
        let hole = processed.windows(2).find(|pair| pair[1] > pair[0] + 1);
        assert_eq!(hole, None, "run {run}");
        assert!(
            processed.first().is_none_or(|&first| first <= newest + 1),
            "run {run} left out what came after {newest}"
        );
        newest = processed.into_iter().max().unwrap_or(0).max(newest);
        assert!(saved_number <= newest, "run {run}: {saved_number} was saved before it was processed");
        saved_runs += usize::from(saved != before);
        before = saved;
    }
    println!("{newest} events, {saved_runs} of {RUNS} runs saved something");
    assert!(saved_runs > RUNS / 20, "only {saved_runs} runs saved anything: they show nothing");
}

/// More events than the program's queue and its output hold.
const MORE_THAN_QUEUED: u64 = 1_000;

/// The lines are long, so that a pipe holds few of them.
const SIZE: usize = 4_000;

/// An acknowledging subscription loses nothing when it is slow: the stream waits for it.
#[tokio::test]
async fn a_slow_run_processes_each_event_once_over_one_connection() {
    let sent: Arc<AtomicU64> = Arc::default();
    let progress = Arc::clone(&sent);
    let server = RawServer::start(move |_, mut connection| {
        let progress = Arc::clone(&progress);
        async move {
            connection.send(OPEN).await;
            for id in 1.. {
                if !connection.send(&format!("id: {id}\ndata: {:SIZE$}\n\n", "")).await {
                    return;
                }
                progress.store(id, Ordering::Relaxed);
            }
        }
    })
    .await;
    let folder = Folder::new("slow");
    let (mut child, mut output) = start(&server.url, &folder.join("id"));
    // Nothing reads its output meanwhile, so it stands still.
    until("its queue is full", || sent.load(Ordering::Relaxed) > MORE_THAN_QUEUED).await;
    let mut next = 1;
    while next < 3 * MORE_THAN_QUEUED {
        let line = within(output.next_line()).await.unwrap().expect("it runs until it is killed");
        if let Some(number) = number(&line) {
            assert_eq!(number, next);
            next += 1;
        }
    }
    assert_eq!(server.headers("last-event-id"), [None]);
    child.kill().await.unwrap();
}
