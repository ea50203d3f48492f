//! [`Bridge`]: the program, as a process; [`consumed`]: what the consumer prints.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
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
        Self::start_to(&engine.url(), url, options)
    }

    /// Starts a bridge to the engine of a URL, whether or not one is there.
    pub(crate) fn start_to(engine: &str, url: &str, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bridge"));
        command.args(["--to", engine, "--stream", &format!("demo={url}"), "--listen", "127.0.0.1:0"]).args(options);
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

    /// Returns what it answers to a GET: the whole response. Empty if it does not answer.
    pub(crate) async fn get(&self, path: &str) -> String {
        self.ask(path).await.unwrap_or_default()
    }

    async fn ask(&self, path: &str) -> io::Result<String> {
        let log = self.log();
        let address = log.split("the state is at http://").nth(1).and_then(|rest| rest.split('/').next());
        let mut socket = TcpStream::connect(address.unwrap_or_default()).await?;
        socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: bridge\r\n\r\n").as_bytes()).await?;
        let mut response = String::new();
        timeout(DEADLINE, socket.read_to_string(&mut response)).await??;
        Ok(response)
    }

    /// Waits until `/health` has this status, and a text that begins like this.
    pub(crate) async fn is(&self, status: u16, state: &str) {
        let (head, body) = (format!("HTTP/1.1 {status} "), format!("\r\n\r\n{state}"));
        let is_so = |health: String| health.starts_with(&head) && health.contains(&body);
        until(&format!("/health is {status} {state}"), async || is_so(self.get("/health").await)).await;
    }

    /// Returns a metric of the group, or of a source if the name ends in it, as `entries_total demo` does.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (name, source) = name.split_once(' ').unwrap_or((name, ""));
        let source = if source.is_empty() { String::new() } else { format!(",source=\"{source}\"") };
        let series = format!("sse_bridge_{name}{{group=\"default\"{source}}} ");
        let metrics = self.get("/metrics").await;
        let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
        value.unwrap_or_else(|| panic!("no {series}: {metrics}")).parse().unwrap()
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
