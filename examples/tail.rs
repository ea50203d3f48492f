//! Follows an event stream from a shell, as curl would, but reconnects and resumes.
//!
//! `cargo run --release --example tail -- [URL] [options]`. Without a URL it starts a small server
//! inside itself and follows that. `--help` lists the options, and so does
//! `examples/tail/README.md`; `--json` is for programs.
//!
//! Exit status: 0 after `--max-events`, a 204, an interrupt, or a clean end with `--no-reconnect`;
//! 1 when the connection closed for good on an error, which is one line on standard error; 2 for
//! wrong usage.

#[path = "tail/advice.rs"]
mod advice;
#[path = "tail/args.rs"]
mod args;
#[path = "tail/follow.rs"]
mod follow;
#[path = "tail/json.rs"]
mod json;
#[path = "tail/people.rs"]
mod people;
#[path = "tail/server.rs"]
mod server;

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::args::Args;
use crate::follow::{Failure, follow};

/// How long an interrupted follower may take to print its last line. It needs longer only when a
/// write blocks because the reader of the output has stopped.
const GRACE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let args = args::parse();
    let outcome = runtime().and_then(|runtime| runtime.block_on(until_done_or_interrupted(args)));
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => complain(&failure.to_string(), failure.exit_status()),
        Err(error) => complain(&format!("cannot start: {error}"), 1),
    }
}

/// Runs the follower on a thread of its own and watches for Ctrl-C on this one.
///
/// The follower's writes block, so that a slow reader of the output slows the stream down instead
/// of losing events. Ctrl-C must work then, too.
async fn until_done_or_interrupted(args: Args) -> io::Result<Result<(), Failure>> {
    let (stop, stopped) = oneshot::channel();
    let (finished, mut outcome) = oneshot::channel();
    let start_and_wait = async {
        // Polled after `ctrl_c`, so that an interrupt right after the first line is not missed.
        thread::spawn(move || {
            let result = runtime().map(|runtime| runtime.block_on(follow(args, stopped)));
            // The receiver is gone when the grace period is over.
            let _ = finished.send(result);
        });
        (&mut outcome).await
    };
    let result = tokio::select! {
        biased;
        Ok(()) = tokio::signal::ctrl_c() => None,
        result = start_and_wait => Some(result),
    };
    let result = match result {
        Some(result) => result,
        None => {
            // The follower may have ended by itself.
            let _ = stop.send(());
            timeout(GRACE, outcome).await.unwrap_or(Ok(Ok(Ok(()))))
        }
    };
    result.unwrap_or_else(|_| Err(io::Error::other("the follower panicked")))
}

/// Returns a runtime of one thread, so that every turn of the connection task is printed before the
/// next.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn complain(message: &str, exit_status: u8) -> ExitCode {
    // Standard error may be closed. The exit status still says what happened.
    let _ = writeln!(io::stderr(), "tail: {}", people::one_line(message));
    ExitCode::from(exit_status)
}
