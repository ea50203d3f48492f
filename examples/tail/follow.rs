//! Builds the stream that the command line describes, and prints it until it ends.

#[cfg(feature = "tls")]
use std::path::Path;
use std::time::Duration;
use std::{fmt, io};

#[cfg(feature = "tls")]
use sseclient::ClientBuilder;
use sseclient::{
    Client, CloseReason, Error, Handle, ReconnectPolicy, Redirects, State, StreamBuilder, Transcript, TranscriptItem,
};
use tokio::sync::oneshot;

use crate::args::Args;
use crate::json::Json;
use crate::people::People;
use crate::{advice, server};

/// How many transcript items may be queued, so that bursts do not stop the stream.
const CAPACITY: usize = 4096;

/// Follows the stream until it closes, enough events are printed, or `stopped` completes.
pub(crate) async fn follow(args: Args, stopped: oneshot::Receiver<()>) -> Result<(), Failure> {
    let mut printer = Printer::new(args.json);
    let url = match &args.url {
        Some(url) => url.clone(),
        None => embedded_server(&mut printer).await?,
    };
    let handle = open(&args, url)?;
    let mut transcript = handle.transcript();
    handle.connect();
    tokio::select! {
        result = print_all(&mut transcript, &mut printer, &args) => {
            handle.shutdown().await;
            result
        }
        _ = stopped => {
            let reason = handle.shutdown().await;
            quiet_if_unread(printer.print(&TranscriptItem::State(State::Closed(reason))))
        }
    }
}

/// Why `tail` ends with a status other than 0.
pub(crate) enum Failure {
    /// The command line cannot be used.
    Usage(String),
    /// The connection closed for good on an error.
    Closed(Error),
    /// The connection closed for good, without an error.
    Ended(CloseReason),
    /// The embedded server could not start, or the output cannot be written.
    Io(&'static str, io::Error),
}

impl Failure {
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Closed(_) | Self::Ended(_) | Self::Io(..) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => write!(f, "{message}; see --help"),
            Self::Closed(error) => f.write_str(&advice::complaint(error)),
            Self::Ended(reason) => write!(f, "{}", advice::reason(reason)),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

async fn embedded_server(printer: &mut Printer) -> Result<String, Failure> {
    let url = server::start().await.map_err(|error| Failure::Io("cannot start the embedded server", error))?;
    printer.note(&format!("no URL given: following {url}, a server inside this program"));
    Ok(url)
}

/// Builds the stream. An error before the first dial is an error of the command line.
fn open(args: &Args, url: String) -> Result<Handle, Failure> {
    let mut stream = client(args)?.stream(url).capacity(CAPACITY);
    if let Some(policy) = policy(args) {
        stream = stream.reconnect_policy(policy);
    }
    let stream = limits(request(stream, args), args);
    stream.build().map_err(|error| Failure::Usage(advice::chain(&error)))
}

/// Applies the options that describe the request.
fn request(mut stream: StreamBuilder, args: &Args) -> StreamBuilder {
    if let Some(method) = &args.method {
        stream = stream.method(method.clone());
    }
    if let Some(body) = &args.data {
        stream = stream.body(body.clone());
    }
    for (name, value) in &args.headers {
        stream = stream.header(name.as_str(), value.as_str());
    }
    for (key, value) in &args.query {
        stream = stream.query(key, value);
    }
    for (name, value) in &args.cookies {
        stream = stream.cookie(name, value);
    }
    #[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
    {
        stream = stream.compression(args.compressed);
    }
    if let Some((user, password)) = &args.user {
        stream = stream.basic_auth(user, password);
    }
    if let Some(token) = &args.bearer {
        stream = stream.bearer_auth(token);
    }
    if let Some(id) = &args.last_event_id {
        stream = stream.last_event_id(id.as_str());
    }
    if args.no_follow {
        stream = stream.redirects(Redirects::none());
    }
    stream
}

/// Applies the options that set times and sizes.
fn limits(mut stream: StreamBuilder, args: &Args) -> StreamBuilder {
    if let Some(ms) = args.retry {
        stream = stream.reconnection_time(Duration::from_millis(ms));
    }
    if let Some(ms) = args.connect_timeout {
        stream = stream.connect_timeout(Duration::from_millis(ms));
    }
    if let Some(ms) = args.response_timeout {
        stream = stream.response_timeout(Duration::from_millis(ms));
    }
    if let Some(ms) = args.idle_timeout {
        stream = stream.idle_timeout(Duration::from_millis(ms));
    }
    if let Some(bytes) = args.max_event_size {
        stream = stream.max_event_size(bytes);
    }
    stream
}

/// Returns the policy that the options choose. Without one the method decides: a POST is sent once.
fn policy(args: &Args) -> Option<ReconnectPolicy> {
    match *args {
        // Overrides all other options about retries.
        Args { no_reconnect: true, .. } => Some(ReconnectPolicy::never()),
        Args { standard: true, max_retries: Some(retries), .. } => {
            Some(ReconnectPolicy::standard().max_retries(retries))
        }
        Args { standard: true, .. } => Some(ReconnectPolicy::standard()),
        Args { max_retries: Some(retries), .. } => Some(ReconnectPolicy::daemon().max_retries(retries)),
        _ => None,
    }
}

fn client(args: &Args) -> Result<Client, Failure> {
    let mut builder = Client::builder();
    if let Some(proxy) = &args.proxy {
        // The error does not contain the URL, which may hold a password.
        builder = builder.proxy(proxy).map_err(|error| Failure::Usage(advice::chain(&error)))?;
    }
    #[cfg(feature = "http2")]
    {
        builder = builder.http2_prior_knowledge(args.http2_prior_knowledge);
    }
    #[cfg(unix)]
    if let Some(path) = &args.unix_socket {
        builder = builder.unix_socket(path);
    }
    #[cfg(feature = "tls")]
    {
        builder = tls(builder, args)?;
    }
    Ok(builder.build())
}

#[cfg(feature = "tls")]
fn tls(builder: ClientBuilder, args: &Args) -> Result<ClientBuilder, Failure> {
    let mut builder = builder.danger_accept_invalid_certificates(args.insecure);
    if let Some(path) = &args.cacert {
        let given = builder.root_certificates_pem(&read("--cacert", path)?);
        builder = given.map_err(|error| unusable("--cacert", path, &advice::chain(&error)))?;
    }
    if let Some(path) = &args.cert {
        let key = args.key.as_ref().unwrap_or(path);
        let given = builder.identity_pem(&read("--cert", path)?, &read("--key", key)?);
        builder = given.map_err(|error| unusable("--cert", path, &advice::chain(&error)))?;
    }
    Ok(builder)
}

#[cfg(feature = "tls")]
fn read(option: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| unusable(option, path, &error))
}

#[cfg(feature = "tls")]
fn unusable(option: &str, path: &Path, error: &dyn fmt::Display) -> Failure {
    Failure::Usage(format!("cannot use {option} {}: {error}", path.display()))
}

/// Prints until the transcript ends or `--max-events` are printed.
async fn print_all(transcript: &mut Transcript, printer: &mut Printer, args: &Args) -> Result<(), Failure> {
    let mut left = args.max_events;
    let mut end = None;
    while let Some(item) = transcript.recv().await {
        match &item {
            TranscriptItem::Event(event) if !args.wants(event.event_type()) => continue,
            TranscriptItem::Comment(_) if !args.comments => continue,
            TranscriptItem::State(State::Closed(reason)) => end = Some(reason.clone()),
            _ => {}
        }
        match printer.print(&item) {
            Ok(()) => {}
            unwritten => return quiet_if_unread(unwritten),
        }
        if matches!(item, TranscriptItem::Event(_)) {
            left = left.map(|left| left - 1);
        }
        if left == Some(0) {
            return Ok(());
        }
    }
    end.map_or(Ok(()), verdict)
}

fn verdict(reason: CloseReason) -> Result<(), Failure> {
    match reason {
        CloseReason::NoContent | CloseReason::EndOfStream | CloseReason::EndMark | CloseReason::Shutdown => Ok(()),
        CloseReason::Failed(error) => Err(Failure::Closed(error)),
        reason => Err(Failure::Ended(reason)),
    }
}

/// Treats a closed output as success: its reader has seen enough (`| head`).
fn quiet_if_unread(printed: io::Result<()>) -> Result<(), Failure> {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Io("cannot write to standard output", error))
        }
        _ => Ok(()),
    }
}

/// The two output formats.
enum Printer {
    Json(Json),
    People(People),
}

impl Printer {
    fn new(json: bool) -> Self {
        if json { Self::Json(Json::new()) } else { Self::People(People::new()) }
    }

    fn print(&mut self, item: &TranscriptItem) -> io::Result<()> {
        match self {
            Self::Json(json) => json.print(item),
            Self::People(people) => people.print(item),
        }
    }

    /// Prints a note for people that is not part of the transcript. JSON output leaves it out.
    fn note(&mut self, text: &str) {
        if let Self::People(people) = self {
            people.note(text);
        }
    }
}
