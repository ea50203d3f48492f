//! [`Config`]: the command line.

use std::fs;
use std::process;
use std::time::{Duration, SystemTime};

use sseclient::Client;

pub const USAGE: &str = "\
usage: bridge --to URL [--stream NAME=URL]... [options]

Follows event streams, and appends each event exactly once to an engine.

  --to URL           redis://HOST:PORT/ or nats://HOST:PORT
  --stream NAME=URL  a stream to follow, with a name for the consumers; may be repeated. Without
                     one, a small server inside the program is followed, under the name demo
  --group NAME       bridges of one group stand by for each other, so they follow the same streams
                     (default: default)
  --lease SECONDS    how long a leader may be silent before another bridge takes over (default: 5)
  --keep NUMBER      how many of its newest entries a stream keeps at least (default: 1000000)

Names have letters, digits, - and _. SIGTERM and SIGINT append what has been read, and stop.
";

/// The shortest lease. NATS keeps no message for a shorter time.
const MIN_LEASE: Duration = Duration::from_millis(200);
const MAX_LEASE: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone)]
pub struct Config {
    /// The URL of the engine.
    pub to: String,
    pub sources: Vec<Source>,
    pub group: String,
    pub lease: Duration,
    pub keep: u64,
    /// The name of this bridge, which no other has.
    pub owner: String,
}

#[derive(Debug, Clone)]
pub struct Source {
    pub name: String,
    pub url: String,
}

impl Config {
    /// Returns a configuration without streams, with the default settings.
    pub fn new(to: &str) -> Self {
        let lease = Duration::from_secs(5);
        Self {
            to: to.to_owned(),
            sources: Vec::new(),
            group: "default".to_owned(),
            lease,
            keep: 1_000_000,
            owner: owner(),
        }
    }

    /// Reads the arguments of the program.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut config = Self::new("");
        while let Some(option) = args.next() {
            let value = args.next().ok_or_else(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--to" => config.to = value,
                "--stream" => config.sources.push(source(&value)?),
                "--group" => config.group = name(&value)?,
                "--lease" => config.lease = lease(&value)?,
                "--keep" => config.keep = keep(&value)?,
                _ => return Err(format!("unknown option {option}")),
            }
        }
        if config.to.is_empty() {
            return Err("--to is missing".to_owned());
        }
        let mut names: Vec<_> = config.sources.iter().map(|source| &source.name).collect();
        names.sort();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("two streams are named {}", pair[0])),
            None => Ok(config),
        }
    }
}

fn source(value: &str) -> Result<Source, String> {
    let (its_name, url) = value.split_once('=').ok_or_else(|| format!("not NAME=URL: {value}"))?;
    // Checks the URL, before anything waits for it.
    Client::new().stream(url).build().map_err(|error| format!("stream {its_name}: {error}"))?;
    Ok(Source { name: name(its_name)?, url: url.to_owned() })
}

/// Accepts what can stand in the keys of Redis and the subjects of NATS.
fn name(value: &str) -> Result<String, String> {
    let is_valid = !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if is_valid { Ok(value.to_owned()) } else { Err(format!("not a name: {value:?}")) }
}

fn lease(value: &str) -> Result<Duration, String> {
    let lease = value.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    lease
        .filter(|lease| (MIN_LEASE..=MAX_LEASE).contains(lease))
        .ok_or_else(|| format!("a lease has between {MIN_LEASE:?} and {MAX_LEASE:?}: {value}"))
}

fn keep(value: &str) -> Result<u64, String> {
    let keep = value.parse().ok().filter(|keep| (1..=i64::MAX as u64).contains(keep));
    keep.ok_or_else(|| format!("not a number of entries: {value}"))
}

/// Returns a name that no other bridge has, and that tells people where this one runs.
fn owner() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}-{:x}", host.trim(), process::id(), started.as_nanos())
}
