//! An example from outside: what it prints, and how it fails.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use crate::support::within;

/// What an example printed, and what it said about a failure.
#[derive(Debug)]
pub struct Outcome {
    pub printed: String,
    pub failure: String,
}

/// Runs an example, which `cargo test` builds next to the test's own binary, without a proxy.
pub async fn run(name: &str, args: &[&str]) -> Outcome {
    let test = std::env::current_exe().unwrap();
    let mut program = PathBuf::from(test.parent().and_then(|deps| deps.parent()).unwrap());
    program.push("examples");
    program.push(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "run `cargo build --all-features --examples` before this test");
    let mut command = Command::new(program);
    command.args(args).env("NO_PROXY", "127.0.0.1").stdin(Stdio::null()).kill_on_drop(true);
    let output = within(command.output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let outcome = Outcome { printed: text(output.stdout), failure: text(output.stderr) };
    assert_eq!(output.status.success(), outcome.failure.is_empty(), "{outcome:?}");
    outcome
}
