//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use sseclient::Overflow;

/// Follow one event stream, and serve it to any number of browsers and services.
///
/// Exit status: 0 after SIGTERM, ctrl-c or a 204 of the server; 1 if it cannot start, or if the
/// stream is over for another reason; 2 for wrong usage.
#[derive(Debug, Parser)]
#[command(name = "relay")]
pub(crate) struct Args {
    /// The stream to follow. Without a URL, the relay starts a small server inside itself and
    /// follows that.
    pub(crate) url: Option<String>,

    /// Serve clients at this address. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,

    /// Send this header upstream. May be given more than once.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,

    /// Connect anew when nothing has come from upstream for this many seconds, not even a comment.
    /// By default the relay waits: a stream that is quiet looks the same as one that is dead.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) idle_timeout: Option<Duration>,

    /// Keep this many events for clients that come late or come back, at most 16 MiB of them.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = count(1_048_576))]
    pub(crate) retain: u64,

    /// Keep these events in a file as well, so that a restart misses nothing. Its directory must
    /// exist. A file is for one relay.
    #[arg(long, value_name = "FILE")]
    pub(crate) resume_file: Option<PathBuf>,

    /// Queue this many events for a client that reads slowly.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = count(1_048_576))]
    pub(crate) queue: u64,

    /// What happens when a client's queue is full.
    #[arg(long, value_name = "POLICY", default_value = "drop-oldest")]
    pub(crate) overflow: Policy,

    /// Serve this many clients at a time; a further one gets a 503.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = count(1_000_000))]
    pub(crate) clients: u64,

    /// Let pages of this origin read the events; `*` for any. By default only the relay's own page
    /// and programs that are no browsers can.
    #[arg(long, value_name = "ORIGIN", value_parser = axum::http::HeaderValue::from_str)]
    pub(crate) allow_origin: Option<axum::http::HeaderValue>,

    /// Send a comment to a client that has got nothing for this many seconds.
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    pub(crate) heartbeat: Duration,

    /// Stay healthy for this many seconds after the upstream connection was lost.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) health_window: Duration,

    /// Give clients this many seconds to take what is queued, when the relay stops.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) drain: Duration,
}

/// What happens when a client's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// Drop its oldest events. It never holds up the others.
    DropOldest,
    /// Keep the newest event of each type. It never holds up the others.
    Conflate,
    /// Hold up the stream for all while it reads at all; drop its oldest once it has taken nothing
    /// for a second. For clients that can be trusted.
    Wait,
}

impl Policy {
    pub(crate) fn overflow(self) -> Overflow {
        match self {
            Self::DropOldest => Overflow::DropOldest,
            Self::Conflate => Overflow::Conflate,
            Self::Wait => Overflow::default(),
        }
    }

    /// Returns its name on the command line and in queries.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DropOldest => "drop-oldest",
            Self::Conflate => "conflate",
            Self::Wait => "wait",
        }
    }
}

fn header(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once(':').ok_or("expected 'Name: value'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// From 1 to `max`.
fn count(max: u64) -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=max)
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    // A heartbeat without pause would be a loop, and a year is as good as forever.
    let in_range = Duration::from_millis(10)..=Duration::from_secs(31_536_000);
    seconds.filter(|seconds| in_range.contains(seconds)).ok_or("expected seconds, from 0.01 to a year")
}
