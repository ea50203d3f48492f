//! What the README's first command shows.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::DEADLINE;

/// Runs the script until it has printed an entry, and ends it as Ctrl-C would.
async fn shows_entries(engine: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/run");
    let programs = env!("CARGO_BIN_EXE_bridge").rsplit_once('/').unwrap().0;
    let mut command = Command::new("bash");
    command.args([script, engine]).env("BRIDGE_PROGRAMS", programs).stdout(Stdio::piped());
    let mut run = command.kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    let line = timeout(DEADLINE, lines.next_line()).await.expect("an entry").unwrap().unwrap();
    assert!(line.ends_with("\tmessage\t1\tmessage number 1"), "{line}");
    let end = format!("kill -INT {}", run.id().unwrap());
    assert!(Command::new("sh").arg("-c").arg(end).status().await.unwrap().success());
    assert!(timeout(DEADLINE, run.wait()).await.expect("the script ends").unwrap().success());
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn the_script_shows_entries_of_redis() {
    shows_entries("redis").await;
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn the_script_shows_entries_of_jetstream() {
    shows_entries("nats").await;
}
