//! Follows event streams and appends each event exactly once to Redis Streams or NATS JetStream.
//!
//! `bridge --help` lists the options, and the README has the rest. Logs go to standard error.
//!
//! Exit status: 0 after SIGTERM or SIGINT, or when every server has ended its stream by a 204; 1 when the engine did not take what had been read before
//! that; 2 for wrong usage.

#[path = "../../tail/server.rs"]
mod server;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use bridge::bridge::Bridge;
use bridge::config::{Config, Source, USAGE};
use bridge::jetstream::JetStream;
use bridge::redis_streams::RedisStreams;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::args().any(|arg| arg == "--help") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    log_to_standard_error();
    let config = match Config::parse(std::env::args().skip(1)) {
        Ok(config) => config,
        Err(mistake) => {
            eprint!("bridge: {mistake}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match bridge(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Logs what the bridge and the library do, and the warnings of the engines' clients.
fn log_to_standard_error() {
    let of_interest = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_targets(["bridge", "sseclient"].map(|target| (target, LevelFilter::INFO)));
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false).with_ansi(false);
    tracing_subscriber::registry().with(lines.with_filter(of_interest)).init();
}

async fn bridge(mut config: Config) -> Result<(), Box<dyn Error + Send + Sync>> {
    let stop = stop_on_signals()?;
    if config.sources.is_empty() {
        config.sources.push(Source::new("demo", &server::start().await?));
    }
    info!("this is {}, of the group {}", config.owner, config.group);
    match config.to.split_once("://").map(|(scheme, _)| scheme) {
        Some("nats") => Bridge::new(JetStream::new(&config), config, stop).run().await,
        // Its client refuses URLs of other schemes.
        _ => Bridge::new(RedisStreams::new(&config)?, config, stop).run().await,
    }
}

fn stop_on_signals() -> io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let on_signal = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping");
        on_signal.cancel();
    });
    Ok(stop)
}
