//! Prints the entries of one source as a consumer finds them, and goes on with what is new:
//! `consume URL SOURCE [--group NAME] [--once]`. With `--once` it ends when it has printed what
//! there is.
//!
//! It ends with status 1 when the engine goes. Another run begins at the first entry.
//!
//! One entry is a line of tab-separated values: the entry's ID in the engine, its event type (or
//! `gap:` and the cause), its event ID, and its data, with line breaks written as `\n`.

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::context::GetStreamErrorKind;
use bridge::entry::{DATA, EVENTS, GAP, ID, LAST_ID, Name, TYPE};
use bridge::{jetstream as nats_names, redis_streams as redis_names};
use futures_util::StreamExt as _;
use tokio::time::sleep;

/// How many entries are asked for at once.
const BATCH: usize = 1000;
const BATCH_BYTES: usize = 8 << 20;

/// How long one `XREAD` waits for an entry.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The pause between two looks for a stream that is not there yet.
const PAUSE: Duration = Duration::from_millis(200);

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("consume: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Failure> {
    let (mut group, mut once, mut positional) = ("default".to_owned(), false, Vec::new());
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--group" => group = args.next().ok_or("--group needs a name")?,
            "--once" => once = true,
            _ => positional.push(arg),
        }
    }
    let [url, source] = &positional[..] else {
        return Err("usage: consume URL SOURCE [--group NAME] [--once]".into());
    };
    match url.starts_with("nats") {
        true => from_nats(url, &group, source, once).await,
        false => from_redis(url, &group, source, once).await,
    }
}

/// Reads by `XREAD`, which needs no state in Redis. Consumers that share the work use `XREADGROUP`.
async fn from_redis(url: &str, group: &str, source: &str, once: bool) -> Result<(), Failure> {
    type Entries = Vec<(String, HashMap<String, String>)>;
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    connection.set_response_timeout(2 * MAX_WAIT);
    let key = redis_names::stream_key(group, source);
    let mut last = "0".to_owned();
    loop {
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(BATCH).arg("BLOCK").arg(if once { 1 } else { MAX_WAIT.as_millis() as u64 });
        let streams: Option<Vec<(String, Entries)>> =
            read.arg("STREAMS").arg(&key).arg(&last).query_async(&mut connection).await?;
        if once && streams.is_none() {
            return Ok(());
        }
        for (id, fields) in streams.into_iter().flatten().flat_map(|(_, entries)| entries) {
            print(&id, |name| fields.get(name.redis).map(String::as_str), &fields[DATA])?;
            last = id;
        }
    }
}

/// Reads by a consumer that NATS forgets soon after. Consumers that share the work use a durable
/// one.
async fn from_nats(url: &str, group: &str, source: &str, once: bool) -> Result<(), Failure> {
    let context = jetstream::new(async_nats::connect(url).await?);
    let stream = loop {
        match context.get_stream(nats_names::stream_name(group)).await {
            // The bridge makes it when it starts.
            Err(error) if !once && matches!(error.kind(), GetStreamErrorKind::JetStream(_)) => sleep(PAUSE).await,
            stream => break stream?,
        }
    };
    let filter_subject = nats_names::subject(group, source);
    let config = pull::Config { filter_subject, ack_policy: AckPolicy::None, ..pull::Config::default() };
    let mut consumer = stream.create_consumer(config).await?;
    let mut pending = consumer.info().await?.num_pending;
    // Without a limit in bytes, the server cuts off a consumer of large entries as too slow.
    let requests = consumer.stream().max_messages_per_batch(BATCH).max_bytes_per_batch(BATCH_BYTES);
    let mut messages = requests.messages().await?;
    while !once || pending > 0 {
        let Some(message) = messages.next().await.transpose()? else { break };
        let info = message.info()?;
        pending = info.pending;
        let get = |name: Name| Some(message.headers.as_ref()?.get(name.nats)?.as_str());
        print(&info.stream_sequence.to_string(), get, &String::from_utf8_lossy(&message.payload))?;
    }
    Ok(())
}

fn print<'a>(entry: &str, get: impl Fn(Name) -> Option<&'a str>, data: &str) -> io::Result<()> {
    let kind = match (get(GAP), get(EVENTS)) {
        (Some(cause), Some(events)) => format!("gap:{cause}:{events}"),
        (Some(cause), None) => format!("gap:{cause}"),
        (None, _) => get(TYPE).unwrap_or_default().to_owned(),
    };
    let id = get(ID).or(get(LAST_ID)).unwrap_or_default();
    writeln!(io::stdout(), "{entry}\t{kind}\t{id}\t{}", data.replace('\n', "\\n"))
}
