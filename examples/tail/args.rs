//! The command line.

use std::convert::Infallible;

use clap::Parser;
use clap::error::{ContextKind, ContextValue};
use http::Method;

/// Follow a Server-Sent Events stream.
///
/// Reconnects after failures that can pass, and resumes after the last event. Exit status: 0 after
/// --max-events, a 204, an interrupt, a clean end with --no-reconnect, or when the reader of the
/// output has gone; 1 when the connection closed for good on an error, which is one line on
/// standard error; 2 for wrong usage.
#[derive(Parser)]
#[command(name = "tail")]
pub(crate) struct Args {
    /// The stream to follow. Without a URL, tail starts a small server inside itself and follows
    /// that.
    pub(crate) url: Option<String>,

    /// Print only events of this type. May be given more than once.
    #[arg(short, long = "event", value_name = "TYPE")]
    pub(crate) events: Vec<String>,

    /// Send this header. May be given more than once.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,

    /// Use this method instead of GET (or of POST, with --data).
    #[arg(short = 'X', long, value_name = "METHOD", value_parser = method)]
    pub(crate) method: Option<Method>,

    /// Send this body with every request, as POST unless --method is given. Set its type with
    /// -H 'Content-Type: …'.
    #[arg(short, long, value_name = "BODY")]
    pub(crate) data: Option<String>,

    /// Resume after the event with this ID.
    #[arg(long, value_name = "ID")]
    pub(crate) last_event_id: Option<String>,

    /// Wait this many milliseconds before a reconnection, until the server sends a `retry`; 3000 by
    /// default. Further waits in a row double, up to a minute.
    #[arg(long, value_name = "MS")]
    pub(crate) retry: Option<u64>,

    /// Give up after this many retries in a row. Without this option or --standard, a request whose
    /// method is not idempotent, such as POST, is sent once.
    #[arg(long, value_name = "N")]
    pub(crate) max_retries: Option<u32>,

    /// Follow one response only. Overrides all other options about reconnection.
    #[arg(long)]
    pub(crate) no_reconnect: bool,

    /// Reconnect as browsers do: after a constant time, and never after a status other than 200.
    #[arg(long)]
    pub(crate) standard: bool,

    /// Give up an attempt to connect after this many milliseconds; 10000 by default.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) connect_timeout: Option<u64>,

    /// Give up an attempt when there is no response head after this many milliseconds; 300000 by
    /// default.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) response_timeout: Option<u64>,

    /// Reconnect when the server has sent nothing, not even a heartbeat, for this many
    /// milliseconds. Off by default.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) idle_timeout: Option<u64>,

    /// Exit after printing this many events.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_events: Option<u64>,

    /// Send basic authentication.
    #[arg(long, value_name = "USER:PASS", value_parser = user, conflicts_with = "bearer")]
    pub(crate) user: Option<(String, String)>,

    /// Send bearer authentication.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) bearer: Option<String>,

    /// Append this parameter to the URL's query, percent-encoded. May be given more than once.
    #[arg(long, value_name = "K=V", value_parser = pair)]
    pub(crate) query: Vec<(String, String)>,

    /// Use this proxy instead of those in the environment: http://, https:// or
    /// socks5://[USER:PASS@]HOST[:PORT].
    #[arg(short = 'x', long, value_name = "URL")]
    pub(crate) proxy: Option<String>,

    /// Do not follow redirects: a redirect is an error.
    #[arg(long)]
    pub(crate) no_follow: bool,

    /// Speak HTTP/2 to http servers without negotiation.
    #[cfg(feature = "http2")]
    #[arg(long)]
    pub(crate) http2_prior_knowledge: bool,

    /// Connect to this Unix socket instead of the URL's host.
    #[cfg(unix)]
    #[arg(long, value_name = "PATH", conflicts_with = "proxy")]
    pub(crate) unix_socket: Option<std::path::PathBuf>,

    /// Send this cookie. May be given more than once.
    #[arg(long = "cookie", value_name = "K=V", value_parser = pair)]
    pub(crate) cookies: Vec<(String, String)>,

    /// Ask the server for a compressed stream.
    #[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
    #[arg(long)]
    pub(crate) compressed: bool,

    /// Trust the certificates in this PEM file instead of the platform's.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<std::path::PathBuf>,

    /// Present the client certificate in this PEM file to servers that ask for one.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<std::path::PathBuf>,

    /// Read the private key of --cert from this PEM file. By default it is in the file of --cert.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<std::path::PathBuf>,

    /// Accept any server certificate. Dangerous: others on the network can then read and change the
    /// stream.
    #[cfg(feature = "tls")]
    #[arg(short = 'k', long)]
    pub(crate) insecure: bool,

    /// Skip events larger than this; 16777216 (16 MiB) by default.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(crate) max_event_size: Option<usize>,

    /// Print comments too.
    #[arg(long)]
    pub(crate) comments: bool,

    /// Print one JSON object per line, for programs: events, gaps and states, and with --comments
    /// comments.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Reads the command line, and exits if it cannot be used. The message repeats no value: one that
/// is in the wrong place or form may be a secret, a header's for example.
pub(crate) fn parse() -> Args {
    Args::try_parse().unwrap_or_else(|mut error| {
        for kind in [ContextKind::InvalidValue, ContextKind::InvalidArg] {
            // Options, which begin with a hyphen, are no secrets; clap shows them without a value.
            let is_value =
                |value: &ContextValue| kind == ContextKind::InvalidValue || !value.to_string().starts_with('-');
            if error.get(kind).is_some_and(is_value) {
                error.insert(kind, ContextValue::String("…".to_owned()));
            }
        }
        error.exit()
    })
}

impl Args {
    /// Returns true if events of this type are to be printed. The empty type means `message`.
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

/// Splits at the first colon. Without a colon the password is empty.
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
