//! [`Config`]: the command line.

use std::fs;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::process;
use std::time::{Duration, SystemTime};

use sseclient::Client;
use sseclient::http::{HeaderMap, HeaderName, HeaderValue};

use crate::{jetstream, redis_streams};

pub const USAGE: &str = "\
usage: bridge --to URL [--stream NAME=URL]... [options]

Follows event streams, and appends each event exactly once to an engine.

  --to URL           redis://HOST:PORT/ or nats://HOST:PORT
  --stream NAME=URL  a stream to follow, with a name for the consumers; may be repeated. Without
                     one, a small server inside the program is followed, under the name demo
  --headers NAME=FILE
                     a file of lines like `Authorization: Bearer TOKEN`, which every request for
                     the stream NAME carries. It is read once, at the start
  --idle SECONDS     drop a connection on which nothing has come for so long, and connect anew.
                     Set it where the servers send something in regular intervals (default: never)
  --group NAME       bridges of one group stand by for each other, so they follow the same streams
                     (default: default)
  --lease SECONDS    how long a leader may be silent before another bridge takes over (default: 5)
  --keep NUMBER      how many of its newest entries a stream keeps at least (default: 1000000)
  --listen ADDRESS   serve /health, /metrics and a page of the state at IP:PORT; port 0 takes a free
                     one. There is no authentication and no TLS (default: not served)

Names have letters, digits, - and _. SIGTERM and SIGINT append what has been read, and stop.
";

/// NATS keeps no message for a shorter time.
const LEASE: RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(3600);

const IDLE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(86_400);

#[derive(Debug, Clone)]
pub struct Config {
    /// The URL of the engine.
    pub to: String,
    pub sources: Vec<Source>,
    pub group: String,
    pub lease: Duration,
    pub keep: u64,
    /// How long a connection may be silent.
    pub idle: Option<Duration>,
    /// Where the state is served.
    pub listen: Option<SocketAddr>,
    /// The name of this bridge, which no other has.
    pub owner: String,
}

#[derive(Debug, Clone)]
pub struct Source {
    pub name: String,
    pub url: String,
    /// What every request carries.
    pub headers: HeaderMap,
}

impl Source {
    pub fn new(name: &str, url: &str) -> Self {
        Self { name: name.to_owned(), url: url.to_owned(), headers: HeaderMap::new() }
    }
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
            idle: None,
            listen: None,
            owner: owner(),
        }
    }

    /// Reads the arguments of the program.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut config, mut header_files) = (Self::new(""), Vec::new());
        while let Some(option) = args.next() {
            let value = args.next().ok_or_else(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--to" => config.to = value,
                "--stream" => config.sources.push(source(&value)?),
                "--group" => config.group = name(&value)?,
                "--lease" => config.lease = seconds(&value, LEASE)?,
                "--headers" => header_files.push(value),
                "--idle" => config.idle = Some(seconds(&value, IDLE)?),
                "--keep" => config.keep = keep(&value)?,
                "--listen" => config.listen = Some(value.parse().map_err(|_| format!("not IP:PORT: {value}"))?),
                _ => return Err(format!("unknown option {option}")),
            }
        }
        if config.to.is_empty() {
            return Err("--to is missing".to_owned());
        }
        config.engine_address()?;
        for value in header_files {
            config.read_headers(&value)?;
        }
        // Checks what the requests are made of, before anything waits for it.
        for Source { name, url, headers } in &config.sources {
            let stream = Client::new().stream(url).headers(headers.clone());
            stream.build().map_err(|error| format!("stream {name}: {error}"))?;
        }
        let mut names: Vec<_> = config.sources.iter().map(|source| &source.name).collect();
        names.sort();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("two streams are named {}", pair[0])),
            None => Ok(config),
        }
    }

    /// Returns true if the engine is NATS.
    pub fn is_nats(&self) -> bool {
        self.to.starts_with("nats://")
    }

    /// Returns where the engine is, without user and password.
    ///
    /// # Errors
    ///
    /// If the URL is not valid. The sentence does not have it, since it may hold a password.
    pub fn engine_address(&self) -> Result<String, String> {
        let mistake = |reason: String| format!("--to is not redis://HOST:PORT/ or nats://HOST:PORT: {reason}");
        match self.is_nats() {
            true => jetstream::address(&self.to).map_err(|error| mistake(error.to_string())),
            false => redis_streams::address(&self.to).map_err(|error| mistake(error.to_string())),
        }
    }

    fn read_headers(&mut self, value: &str) -> Result<(), String> {
        let (name, file) = value.split_once('=').ok_or_else(|| format!("not NAME=FILE: {value}"))?;
        let source = self.sources.iter_mut().find(|source| source.name == name);
        let source = source.ok_or_else(|| format!("no stream is named {name}"))?;
        source.headers = headers(file)?;
        Ok(())
    }
}

fn source(value: &str) -> Result<Source, String> {
    let (its_name, url) = value.split_once('=').ok_or_else(|| format!("not NAME=URL: {value}"))?;
    Ok(Source::new(&name(its_name)?, url))
}

/// Reads a file of headers. Mistakes are told without their text, which may be secret.
fn headers(file: &str) -> Result<HeaderMap, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let mut headers = HeaderMap::new();
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        let (name, mut value) = header(line).ok_or_else(|| format!("{file}, line {number}: not a header"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}

/// Accepts what can stand in the keys of Redis and the subjects of NATS.
fn name(value: &str) -> Result<String, String> {
    let is_valid = !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if is_valid { Ok(value.to_owned()) } else { Err(format!("not a name: {value:?}")) }
}

/// Accepts a time in seconds, which may have a fraction.
fn seconds(value: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let time = value.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let message = || format!("not a time between {:?} and {:?}: {value}", range.start(), range.end());
    time.filter(|time| range.contains(time)).ok_or_else(message)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_named_without_its_password() {
        let table = [
            ("redis://user:secret@host/", Ok("host:6379")),
            ("redis+unix:///run/redis.sock?pass=secret", Ok("/run/redis.sock")),
            ("nats://user:secret@host", Ok("host:4222")),
            ("nats://user:secret@host:port", Err("invalid port number")),
            ("http://user:secret@host/", Err("did not parse")),
            ("host:6379", Err("did not parse")),
        ];
        for (url, expected) in table {
            match (Config::new(url).engine_address(), expected) {
                (Ok(address), Ok(expected)) => assert_eq!(address, expected),
                (Err(mistake), Err(reason)) => assert!(mistake.contains(reason) && !mistake.contains("secret")),
                (address, expected) => panic!("{address:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn mistakes_are_told_without_what_may_be_secret() {
        let file = std::env::temp_dir().join(format!("bridge-headers-{}", owner()));
        fs::write(&file, "X-Tenant: 7\n\nAuthorization Bearer secret\n").unwrap();
        let headers = format!("a={}", file.display());
        let broken = format!("{}, line 3: not a header", file.display());
        let table: [(&[&str], &str); 6] = [
            (&["--headers", &headers], &broken),
            (&["--headers", "b=file"], "no stream is named b"),
            (&["--headers", "file"], "not NAME=FILE: file"),
            (&["--idle", "0"], "not a time between 100ms and 86400s: 0"),
            (&["--listen", "8080"], "not IP:PORT: 8080"),
            (&["--stream", "a=http://host/"], "two streams are named a"),
        ];
        for (args, mistake) in table {
            let args = [&["--to", "redis://host/", "--stream", "a=http://host/"], args].concat();
            let parsed = Config::parse(args.into_iter().map(ToOwned::to_owned));
            assert_eq!(parsed.map(drop), Err(mistake.to_owned()));
        }
        fs::remove_file(file).unwrap();
    }
}
