//! Follows event streams and appends each event exactly once to Redis Streams or NATS JetStream.
//!
//! `bridge --help` lists the options, and the README has the rest. Logs go to standard error.
//!
//! Exit status: 0 after SIGTERM or SIGINT, or when every server has ended its stream by a 204; 1 when
//! the engine did not take what had been read before that, or when it cannot listen; 2 for wrong
//! usage.

#[path = "../../tail/server.rs"]
mod server;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use bridge::bridge::Bridge;
use bridge::config::{Config, Source, USAGE};
use bridge::http;
use bridge::jetstream::JetStream;
use bridge::redis_streams::RedisStreams;
use bridge::status::Status;
use tokio::net::TcpListener;
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

/// Logs what the bridge and the library do, and the warnings of the engines' clients. The failures
/// that async-nats logs are errors as well, which the bridge logs once.
fn log_to_standard_error() {
    let of_interest = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_targets(["bridge", "sseclient"].map(|target| (target, LevelFilter::INFO)))
        .with_target("async_nats", LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false).with_ansi(false);
    tracing_subscriber::registry().with(lines.with_filter(of_interest)).init();
}

async fn bridge(mut config: Config) -> Result<(), Box<dyn Error + Send + Sync>> {
    let stop = stop_on_signals()?;
    if config.sources.is_empty() {
        config.sources.push(Source::new("demo", &server::start().await?));
    }
    let status = Arc::new(Status::new(&config));
    if let Some(address) = config.listen {
        serve(address, &status).await?;
    }
    info!("this is {}, of the group {}; the engine is at {}", config.owner, config.group, status.engine());
    if config.is_nats() {
        Bridge::new(JetStream::new(&config), config, status, stop).run().await
    } else {
        Bridge::new(RedisStreams::new(&config)?, config, status, stop).run().await
    }
}

/// Serves the state as long as the program runs.
async fn serve(address: SocketAddr, status: &Arc<Status>) -> Result<(), String> {
    let listener = TcpListener::bind(address).await.map_err(|error| format!("--listen {address}: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    info!("the state is at http://{address}/");
    tokio::spawn(http::serve(listener, Arc::clone(status)));
    Ok(())
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
