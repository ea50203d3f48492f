//! The command line.

use std::convert::Infallible;

use clap::Parser;
use http::Method;

/// Follow a Server-Sent Events stream.
///
/// Reconnects for as long as it makes sense, and resumes where it was. Exit status: 0 after
/// --max-events, a 204, an interrupt, or a clean end with --no-reconnect; 1 when the connection closed for good on an error; 2 for
/// wrong usage.
#[derive(Parser)]
#[command(name = "tail")]
pub(crate) struct Args {
    /// What to follow; without it, a small server inside this program.
    pub(crate) url: Option<String>,

    /// Print only events of this type; may be given more than once.
    #[arg(short, long = "event", value_name = "TYPE")]
    pub(crate) events: Vec<String>,

    /// Send this header; may be given more than once.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,

    /// Ask with this method, instead of GET, or POST with --data.
    #[arg(short = 'X', long, value_name = "METHOD", value_parser = method)]
    pub(crate) method: Option<Method>,

    /// Send this body with every request, by POST unless --method says otherwise. What it is, -H 'Content-Type: …' says.
    #[arg(short, long, value_name = "BODY")]
    pub(crate) data: Option<String>,

    /// Resume after this event.
    #[arg(long, value_name = "ID")]
    pub(crate) last_event_id: Option<String>,

    /// Reconnection time in milliseconds, until the server sends its own.
    #[arg(long, value_name = "MS")]
    pub(crate) retry: Option<u64>,

    /// Give up after so many retries in a row.
    #[arg(long, value_name = "N")]
    pub(crate) max_retries: Option<u32>,

    /// Follow one response only: do not reconnect, whatever else is said about that.
    #[arg(long)]
    pub(crate) no_reconnect: bool,

    /// Reconnect as the standard says: at a constant pace, and not after any status but 200.
    #[arg(long)]
    pub(crate) standard: bool,

    /// Give up an attempt to connect after this many milliseconds.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) connect_timeout: Option<u64>,

    /// Reconnect when nothing, not even a heartbeat, came for this many milliseconds.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) idle_timeout: Option<u64>,

    /// Exit after this many events were printed.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_events: Option<u64>,

    /// Basic authentication.
    #[arg(long, value_name = "USER:PASS", value_parser = user, conflicts_with = "bearer")]
    pub(crate) user: Option<(String, String)>,

    /// Bearer authentication.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) bearer: Option<String>,

    /// Append this to the URL's query, encoded; may be given more than once.
    #[arg(long, value_name = "K=V", value_parser = pair)]
    pub(crate) query: Vec<(String, String)>,

    /// Go through this proxy, whatever the environment says: http://, https:// or socks5://[USER:PASS@]HOST[:PORT].
    #[arg(short = 'x', long, value_name = "URL")]
    pub(crate) proxy: Option<String>,

    /// Follow no redirects: one that comes is an error.
    #[arg(long)]
    pub(crate) no_follow: bool,

    /// Speak HTTP/2 to http servers without asking whether they can.
    #[cfg(feature = "http2")]
    #[arg(long)]
    pub(crate) http2_prior_knowledge: bool,

    /// Connect to this Unix socket, whatever the URL's host.
    #[cfg(unix)]
    #[arg(long, value_name = "PATH", conflicts_with = "proxy")]
    pub(crate) unix_socket: Option<std::path::PathBuf>,

    /// Send this cookie; may be given more than once.
    #[arg(long = "cookie", value_name = "K=V", value_parser = pair)]
    pub(crate) cookies: Vec<(String, String)>,

    /// Ask for a compressed stream.
    #[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
    #[arg(long)]
    pub(crate) compressed: bool,

    /// Trust the certificates in this PEM file instead of the platform's.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<std::path::PathBuf>,

    /// Show servers that ask for one the client certificate in this PEM file.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<std::path::PathBuf>,

    /// The private key of --cert, in PEM; without it, it is in the same file.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<std::path::PathBuf>,

    /// Accept any certificate from servers: whoever is in between can then read along.
    #[cfg(feature = "tls")]
    #[arg(short = 'k', long)]
    pub(crate) insecure: bool,

    /// Skip events larger than this.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(crate) max_event_size: Option<usize>,

    /// Print comments, too.
    #[arg(long)]
    pub(crate) comments: bool,

    /// Print one JSON object per line, for programs: events, gaps, states and comments.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Args {
    /// Whether events of this type are asked for; as everywhere, no type means `message`.
    pub(crate) fn wants(&self, event_type: &str) -> bool {
        let matches = |wanted: &String| match wanted.as_str() {
            "" => event_type == "message",
            wanted => event_type == wanted,
        };
        self.events.is_empty() || self.events.iter().any(matches)
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected 'Name: value'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn method(text: &str) -> Result<Method, String> {
    text.parse().map_err(|_| "HTTP has no such method".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected K=V")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// No colon, no password.
fn user(text: &str) -> Result<(String, String), Infallible> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    Ok((user.to_owned(), password.to_owned()))
}

fn bytes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(format!("{error}")),
    }
}
