//! [`Bridge`]: the program, as a process; [`consumed`]: what the consumer prints.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::engine::Engine;
use super::{DEADLINE, until};

pub(crate) struct Bridge {
    process: Child,
    log: Arc<Mutex<String>>,
}

impl Bridge {
    /// Starts a bridge that follows this URL under the name `demo`.
    pub(crate) fn start(engine: &Engine, url: &str, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bridge"));
        command.args(["--to", &engine.url(), "--stream", &format!("demo={url}")]).args(options);
        let mut process = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let written = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut log = written.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { process, log }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn has_logged(&self, text: &str) -> bool {
        self.log.lock().unwrap().contains(text)
    }

    pub(crate) async fn logs(&self, text: &str) {
        until(&format!("the bridge logs {text:?}"), async || self.has_logged(text)).await;
    }

    /// Kills it as `kill -9` does.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Sends a signal: `STOP`, `CONT` or `TERM`.
    pub(crate) async fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.process.id().unwrap());
        assert!(Command::new("sh").arg("-c").arg(kill).status().await.unwrap().success());
    }

    pub(crate) async fn exit_status(&mut self) -> ExitStatus {
        timeout(DEADLINE, self.process.wait()).await.expect("the bridge ends").unwrap()
    }
}

/// Returns what `consume --once` prints of each entry of a source, without the entry's ID in the
/// engine: type or gap, event ID, data.
pub(crate) async fn consumed(engine: &Engine, source: &str) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consume"));
    let output = command.args([&engine.url(), source, "--once"]).kill_on_drop(true).output();
    let output = timeout(DEADLINE, output).await.expect("the consumer ends").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| line.split_once('\t').unwrap().1.to_owned()).collect()
}
