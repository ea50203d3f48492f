//! [`Engine`]: a real server, in a folder of its own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use bridge::jetstream::{stream_name, subject};
use bridge::redis_streams::stream_key;
use futures_util::StreamExt as _;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::until;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Redis,
    Nats,
}

pub(crate) struct Engine {
    kind: Kind,
    pub(crate) port: u16,
    folder: PathBuf,
    settings: Vec<String>,
    process: Option<Child>,
}

impl Engine {
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[]).await
    }

    /// Starts it with more settings on its command line.
    pub(crate) async fn start_with(kind: Kind, settings: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("engine-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        // Free at this moment. Engines are started again on the same port.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = settings.iter().map(ToString::to_string).collect();
        let mut engine = Self { kind, port, folder, settings, process: None };
        engine.restart().await;
        engine
    }

    pub(crate) async fn restart(&mut self) {
        let port = self.port.to_string();
        let mut command = match self.kind {
            Kind::Redis => {
                let mut command = Command::new("redis-server");
                // With `always` an answer means that the entries are in the file.
                command.args(["--port", &port, "--bind", "127.0.0.1", "--save", ""]);
                command.args(["--appendonly", "yes", "--appendfsync", "always"]);
                command.arg("--dir").arg(&self.folder);
                command
            }
            Kind::Nats => {
                let mut command = Command::new("nats-server");
                command.args(["--addr", "127.0.0.1", "--port", &port, "--jetstream"]);
                command.arg("--store_dir").arg(&self.folder);
                command
            }
        };
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        command.args(&self.settings).stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
        self.process = Some(command.kill_on_drop(true).spawn().expect("the engine must be installed"));
        until("the engine listens", async || TcpStream::connect(("127.0.0.1", self.port)).await.is_ok()).await;
    }

    /// Kills it as `kill -9` does.
    pub(crate) async fn kill(&mut self) {
        self.process.take().unwrap().kill().await.unwrap();
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.kind == Kind::Redis { "redis" } else { "nats" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Returns the folder of its files, which is removed with it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns how many entries the source `demo` has; 0 if the engine does not answer.
    pub(crate) async fn entries(&self) -> u64 {
        self.entries_of("demo").await
    }

    pub(crate) async fn entries_of(&self, source: &str) -> u64 {
        match self.kind {
            Kind::Redis => self.length(source).await.unwrap_or(0),
            Kind::Nats => self.messages(source).await.unwrap_or(0),
        }
    }

    async fn length(&self, source: &str) -> Result<u64, redis::RedisError> {
        let mut connection = redis::Client::open(self.url())?.get_multiplexed_async_connection().await?;
        redis::cmd("XLEN").arg(stream_key("default", source)).query_async(&mut connection).await
    }

    async fn messages(&self, source: &str) -> Result<u64, async_nats::Error> {
        let context = async_nats::jetstream::new(async_nats::connect(self.url()).await?);
        let stream = context.get_stream(stream_name("default")).await?;
        let mut subjects = stream.info_with_subjects(subject("default", source)).await?;
        Ok(subjects.next().await.transpose()?.map_or(0, |(_, messages)| messages as u64))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The process is killed with its handle. Its log stays if the test has failed.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
