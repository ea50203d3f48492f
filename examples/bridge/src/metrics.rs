//! `/metrics`: the bridge in numbers, as Prometheus text (exposition format 0.0.4).
//!
//! The names are stable. Labels are names from the command line, which need no escaping.

use std::fmt::{Display, Write as _};
use std::time::{Duration, SystemTime};

use sseclient::Stats;
use tokio::time::Instant;

use crate::status::{Now, Role, Source};

pub fn metrics(now: &Now) -> String {
    let mut text = Exposition { text: String::new(), group: &now.group };
    group(&mut text, now);
    appended(&mut text, &now.sources);
    streams(&mut text, &now.sources);
    text.text
}

fn group(text: &mut Exposition, now: &Now) {
    let age = |since: Option<Instant>| since.map_or(0.0, |since| since.elapsed().as_secs_f64());
    let is_leading = matches!(now.role, Role::Leading | Role::Stopping);
    let help = "1 while this bridge leads, as far as it knows. One that is cut off (engine_up 0) cannot write.";
    text.one("leading", "gauge", help, u8::from(is_leading));
    text.one("engine_up", "gauge", "0 while the engine takes nothing.", u8::from(now.away.is_none()));
    let away = age(now.away.as_ref().map(|away| away.since));
    text.one("engine_away_seconds", "gauge", "For how long the engine has taken nothing; 0 while it is up.", away);
    let behind = age(now.waiting_since);
    text.one("behind_seconds", "gauge", "For how long the oldest batch has waited to be appended; 0 for none.", behind);
    text.head("append_seconds", "summary", "Appends that succeeded, and how long they took in all.");
    text.sample("append_seconds_sum", None, now.append_time.as_secs_f64());
    text.sample("append_seconds_count", None, now.appends);
}

/// What this bridge has appended, as long as it runs.
fn appended(text: &mut Exposition, sources: &[Source]) {
    text.head("entries_total", "counter", "Entries that this bridge has appended, gaps included.");
    for source in sources {
        text.sample("entries_total", Some(&source.name), source.entries);
    }
    text.head("gaps_total", "counter", "Gaps that this bridge has appended.");
    for source in sources {
        text.sample("gaps_total", Some(&source.name), source.gaps);
    }
    text.head("source_last_failure_timestamp_seconds", "gauge", "When an attempt or a response failed last.");
    for source in sources {
        let Some(failure) = &source.last_failure else { continue };
        let at = failure.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        text.sample("source_last_failure_timestamp_seconds", Some(&source.name), at.as_secs_f64());
    }
}

/// What the streams do, while this bridge leads.
fn streams(text: &mut Exposition, sources: &[Source]) {
    let followed = |source: &Source| {
        let stream = source.stream.as_ref()?;
        // An alert on a source that has ended would fire until the bridge restarts.
        let is_open = (!source.has_ended()).then(|| stream.state().is_open());
        Some((source.name.to_string(), is_open, stream.stats()))
    };
    let streams: Vec<(String, Option<bool>, Stats)> = sources.iter().filter_map(followed).collect();
    text.head(
        "source_open",
        "gauge",
        "1 while the connection to the server is open. A source that has ended has none.",
    );
    for (source, is_open, _) in &streams {
        let Some(is_open) = *is_open else { continue };
        text.sample("source_open", Some(source), u8::from(is_open));
    }
    text.head("source_queued_events", "gauge", "Events that have been read and are in no batch yet.");
    for (source, _, stats) in &streams {
        text.sample("source_queued_events", Some(source), stats.lag);
    }
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    text.head("source_held_back_seconds", "gauge", "For how long the server has been held back; 0 if it is not.");
    for (source, _, stats) in &streams {
        text.sample("source_held_back_seconds", Some(source), seconds(stats.stalled_for).unwrap_or_default());
    }
    text.head("source_last_byte_age_seconds", "gauge", "How long ago the last byte came, if one did.");
    for (source, _, stats) in &streams {
        let Some(age) = seconds(stats.last_byte) else { continue };
        text.sample("source_last_byte_age_seconds", Some(source), age);
    }
}

/// The text of all metrics.
struct Exposition<'a> {
    text: String,
    group: &'a str,
}

impl Exposition<'_> {
    /// Writes what is known of a metric before its samples.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.text, "# HELP sse_bridge_{name} {help}\n# TYPE sse_bridge_{name} {kind}\n");
    }

    fn sample(&mut self, name: &str, source: Option<&str>, value: impl Display) {
        let source = source.map(|source| format!(",source=\"{source}\"")).unwrap_or_default();
        let _ = writeln!(self.text, "sse_bridge_{name}{{group=\"{}\"{source}}} {value}", self.group);
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.sample(name, None, value);
    }
}
