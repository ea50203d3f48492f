//! The relay as a process, and helpers that wait for what is expected.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use reqwest::Response;
use sseclient::testing::Script;
use sseclient::{Event, EventBuilder};

/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A relay that runs. It is killed when it is dropped.
pub struct Relay {
    child: Child,
    /// Without a slash at the end.
    pub url: String,
    log: Option<JoinHandle<String>>,
}

impl Relay {
    pub fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
        command.args(arguments);
        command
    }

    /// Starts a relay on a free port.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", arguments)
    }

    /// Starts a relay at an address, and waits until it serves there.
    pub fn start_at(address: &str, arguments: &[&str]) -> Self {
        let mut command = Self::command(arguments);
        command.args(["--listen", address]);
        Self::spawn(command)
    }

    /// Starts a relay that may open so many files.
    pub fn start_within_files(files: u64, arguments: &[&str]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_relay")]);
        command.args(arguments).args(["--listen", "127.0.0.1:0"]);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        // Read all the time: a full pipe would stop the relay.
        let log = thread::spawn(move || {
            let mut log = Vec::new();
            stderr.read_to_end(&mut log).unwrap();
            String::from_utf8_lossy(&log).into_owned()
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.strip_prefix("page: ").and_then(|line| line.split_once("/ "));
        let Some((url, _)) = url else { panic!("no address: {line:?}; {}", log.join().unwrap()) };
        Self { child, url: url.to_owned(), log: Some(log) }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the address that it serves.
    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    pub async fn get(&self, path: &str) -> Response {
        reqwest::get(format!("{}{path}", self.url)).await.unwrap()
    }

    /// Gets the stream, as a browser that has got the event with this ID.
    pub async fn resume(&self, id: &str) -> Body {
        let request = reqwest::Client::new().get(format!("{}/events", self.url)).header("last-event-id", id);
        Body::new(request.send().await.unwrap())
    }

    pub async fn events(&self) -> Body {
        Body::new(self.get("/events").await)
    }

    /// Asks the relay to stop.
    pub fn terminate(&self) {
        let sent = Command::new("kill").arg(self.id().to_string()).status().unwrap();
        assert!(sent.success(), "the relay has gone");
    }

    /// Kills the relay, as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until the relay has ended, and returns how, and its log.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let mut status = None;
        wait_for("the relay to end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        (status.unwrap(), self.log.take().unwrap().join().unwrap())
    }

    /// Stops the relay in order.
    pub async fn stop(self) -> String {
        self.terminate();
        let (status, log) = self.ended().await;
        assert!(status.success(), "{status}: {log}");
        log
    }

    /// Waits until it takes no new clients.
    pub async fn wait_until_closed(&self) {
        let start = Instant::now();
        while std::net::TcpStream::connect(self.address()).is_ok() {
            assert!(start.elapsed() < LIMIT, "it still takes clients");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the text at this path has `text` in it, and returns it all.
    pub async fn wait_for(&self, path: &str, text: &str) -> String {
        let start = Instant::now();
        loop {
            let found = self.get(path).await.text().await.unwrap();
            if found.contains(text) {
                return found;
            }
            assert!(start.elapsed() < LIMIT, "no {text:?} in {found:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so, and panics if it is not in time.
pub async fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The body of a response, as it comes.
pub struct Body {
    pub response: Response,
    text: String,
    /// The greeting has not been taken.
    is_new: bool,
}

impl Body {
    pub fn new(response: Response) -> Self {
        Self { response, text: String::new(), is_new: true }
    }

    /// Waits until the body has `text` in it, and returns what came up to there, without the
    /// greeting of `/events`.
    pub async fn until(&mut self, text: &str) -> String {
        let start = Instant::now();
        let mut searched = 0;
        let end = loop {
            if let Some(place) = self.text[searched..].find(text) {
                break searched + place + text.len();
            }
            // The tests send ASCII only, so each index is one of a character.
            searched = self.text.len().saturating_sub(text.len());
            let left = LIMIT.saturating_sub(start.elapsed());
            let Ok(Ok(Some(chunk))) = tokio::time::timeout(left, self.response.chunk()).await else {
                panic!("no {text:?} in {} bytes: {:.1000}", self.text.len(), self.text)
            };
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        };
        let found: String = self.text.drain(..end).collect();
        let greeting = found.find("\n\n").filter(|_| std::mem::take(&mut self.is_new) && found.starts_with("retry: "));
        greeting.map_or(found.clone(), |end| found[end + 2..].to_owned())
    }

    /// Waits for the end, and returns the rest.
    pub async fn rest(mut self) -> String {
        while let Some(chunk) = tokio::time::timeout(LIMIT, self.response.chunk()).await.unwrap().unwrap() {
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        self.text
    }
}

/// Returns the numbered event that the tests send.
pub fn numbered(id: u64) -> EventBuilder {
    Event::builder().id(id.to_string()).data(format!("number {id}"))
}

/// Returns its text.
pub fn text(id: u64) -> String {
    numbered(id).build().unwrap().encode()
}

/// Returns the text of several.
pub fn texts(ids: impl IntoIterator<Item = u64>) -> String {
    ids.into_iter().map(text).collect()
}

/// A response that sends these events and stays open.
pub fn sends(ids: impl IntoIterator<Item = u64>) -> Script {
    ids.into_iter().fold(Script::open(), |script, id| script.event(numbered(id)))
}
