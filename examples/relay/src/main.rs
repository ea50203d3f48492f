//! Follows one event stream and serves it to any number of browsers and services.
//!
//! This file reads the arguments, starts the parts, and stops them in order. `README.md` says what
//! the relay does.

mod args;
mod clients;
#[path = "../../tail/server.rs"]
mod demo;
mod downstream;
mod gap;
mod health;
mod journal;
mod metrics;
mod observer;
mod page;
mod pieces;
mod reconnect;
mod relay;
mod snapshot;
mod status;
mod upstream;

use std::error::Error;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use clap::Parser as _;
use sseclient::{CloseReason, Drain};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{Level, info, warn};

use crate::args::Args;
use crate::relay::Relay;

/// How long connections may take to end, after their subscriptions have ended; and then the disk.
const GRACE: Duration = Duration::from_secs(2);

/// How many files may be open beside those of the clients: mainly connections of pages, and those
/// on which no request has come.
const OTHER_FILES: u64 = 200;

#[tokio::main]
async fn main() -> ExitCode {
    let log = tracing_subscriber::fmt().with_max_level(Level::INFO).with_writer(io::stderr);
    // A log that cannot be written, on a disk that is full for example, must not end the relay.
    log.with_ansi(io::stderr().is_terminal()).log_internal_errors(false).init();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(mut args: Args) -> Result<(), Box<dyn Error>> {
    // Before anything starts that has to be stopped in order.
    let signals = signals()?;
    args.clients = clients_within_file_limit(args.clients);
    // First: a port that is taken must not disturb the relay that runs there.
    let listener = TcpListener::bind(args.listen).await.map_err(|error| format!("{}: {error}", args.listen))?;
    let address = listener.local_addr()?;
    if args.url.is_none() {
        args.url = Some(demo::start().await?);
    }
    let relay = Relay::start(args)?;
    let journal = journal::start(&relay)?;
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(serve(listener, Arc::clone(&relay), stopped));
    // The output may be closed.
    let _ = writeln!(io::stdout(), "page: http://{address}/   stream: http://{address}/events");

    tokio::select! {
        signal = signals => info!("stopping: {signal}"),
        reason = relay.handle.closed() => info!("stopping: the stream is over: {reason}"),
    }
    // Whether the server has ended by itself is seen below.
    let _ = stop.send(());
    stop_in_order(&relay, server, journal).await?.into_result().map_err(Into::into)
}

/// Raises the limit on open files, and returns how many clients there may be with it. If clients
/// took all files, the upstream connection could not be made again.
fn clients_within_file_limit(clients: u64) -> u64 {
    let wanted = clients + OTHER_FILES;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(limit) if limit < wanted => {
            let fewer = limit.saturating_sub(OTHER_FILES).max(1);
            warn!("the system allows {limit} open files, enough for {fewer} clients instead of {clients}");
            fewer
        }
        Ok(_) => clients,
        Err(error) => {
            warn!("the limit on open files is not known, so they may run out: {error}");
            clients
        }
    }
}

/// Serves clients until it is told to stop, and then until their responses have ended.
async fn serve(listener: TcpListener, relay: Arc<Relay>, stop: oneshot::Receiver<()>) -> io::Result<()> {
    let routes = Router::new()
        .route("/", get(page::page))
        .route("/events", get(downstream::events).options(downstream::preflight))
        .route("/health", get(health::health))
        .route("/metrics", get(metrics::metrics))
        .route("/reconnect", axum::routing::post(reconnect::reconnect))
        .route("/status", get(status::status))
        .with_state(relay);
    // Without it the system would hold events back to collect larger packets.
    let listener = listener.tap_io(|tcp| drop(tcp.set_nodelay(true)));
    axum::serve(listener, routes.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async { drop(stop.await) })
        .await
}

/// Stops what is left, from upstream to downstream: no new clients come any more.
async fn stop_in_order(
    relay: &Relay,
    server: JoinHandle<io::Result<()>>,
    journal: Option<oneshot::Receiver<bool>>,
) -> Result<CloseReason, Box<dyn Error>> {
    info!(clients = relay.clients.len(), "no new clients; those that read get what is queued");
    let drained = relay.handle.shutdown_with(Drain::new(relay.args.drain)).await;
    info!(delivered = drained.delivered, dropped = drained.dropped, "the upstream connection is closed");
    match timeout(GRACE, server).await {
        Ok(served) => served??,
        Err(_) => warn!(clients = relay.clients.len(), "cutting off clients that do not read"),
    }
    if let Some(journal) = journal {
        match timeout(GRACE, journal).await {
            Ok(Ok(true)) => info!("the resume file is complete"),
            _ => warn!("the resume file is not complete: the next run asks the server for more"),
        }
    }
    Ok(drained.reason)
}

/// Returns a future that waits for a request to stop, and has its name. From now on such a request
/// does not end the process.
fn signals() -> io::Result<impl Future<Output = &'static str>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(async move {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "ctrl-c",
            }
        })
    }
    #[cfg(windows)]
    {
        let mut pressed = tokio::signal::windows::ctrl_c()?;
        Ok(async move {
            pressed.recv().await;
            "ctrl-c"
        })
    }
}
