//! `/`: the state for people. A plain page, which the browser loads again every two seconds.

use std::fmt::Write as _;

use sseclient::{State, Stats};
use tokio::time::Instant;

use crate::health::Health;
use crate::status::{Now, Source};

/// How many sources are listed: those that are not open come first.
const MAX_SOURCES: usize = 200;

const HEAD: &str = include_str!("page_head.html");

pub fn page(now: &Now) -> String {
    let Health { is_good, state, reason } = Health::of(now);
    let mood = if is_good { "good" } else { "bad" };
    let (group, engine) = (&now.group, escape(&now.engine));
    let entries: u64 = now.sources.iter().map(|source| source.entries).sum();
    let gaps: u64 = now.sources.iter().map(|source| source.gaps).sum();
    let latency = now.append_time.as_secs_f64() * 1000.0 / now.appends.max(1) as f64;
    let behind = now.waiting_since.map(|since| format!(" A batch has waited for {:.1?}.", since.elapsed()));
    let behind = behind.unwrap_or_default();
    let mut html = format!(
        "{HEAD}<h1>bridge, group {group}</h1>\n\
         <p class=\"state {mood}\"><strong>{state}</strong> {}</p>\n\
         <p>Engine: {engine}. This bridge has appended {entries} entries, of which {gaps} are gaps. An append took \
         {latency:.1} ms on average.{behind}</p>\n\
         <table>\n<tr><th>source<th>state<th>queued<th>held back<th>entries<th>gaps<th>last failure\n",
        escape(&reason)
    );
    let mut sources: Vec<_> = now.sources.iter().map(|source| (source, Stream::of(source))).collect();
    sources.sort_by_key(|(_, stream)| stream.is_open);
    for (source, stream) in sources.iter().take(MAX_SOURCES) {
        row(&mut html, source, stream);
    }
    html.push_str("</table>\n");
    if sources.len() > MAX_SOURCES {
        let more = sources.len() - MAX_SOURCES;
        let _ = writeln!(html, "<p>and {more} more, which <a href=\"/metrics\">/metrics</a> has</p>");
    }
    html
}

fn row(html: &mut String, source: &Source, stream: &Stream) {
    let class = if stream.is_open { "" } else { " class=\"bad\"" };
    let failure = source.last_failure.as_ref().map(|failure| {
        let ago = failure.at.elapsed().unwrap_or_default().as_secs();
        format!("{ago} s ago: {}", escape(&failure.text))
    });
    let Source { name, entries, gaps, .. } = source;
    let Stream { text, queued, held_back, .. } = stream;
    let failure = failure.unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = writeln!(
        html,
        "<tr><td>{name}<td{class}>{text}<td>{queued}<td>{held_back}<td>{entries}<td>{gaps}<td>{failure}"
    );
}

/// The stream of a source, in words.
struct Stream {
    is_open: bool,
    text: String,
    queued: u64,
    held_back: String,
}

impl Stream {
    fn of(source: &Source) -> Self {
        let Some(stream) = &source.stream else {
            return Self { is_open: true, text: "not followed".to_owned(), queued: 0, held_back: String::new() };
        };
        let (state, Stats { lag, stalled_for, .. }) = (stream.state(), stream.stats());
        let held_back = stalled_for.map(|time| format!("{} s", time.as_secs())).unwrap_or_default();
        let text = match state {
            State::Open { .. } => "open".to_owned(),
            State::Waiting { until, .. } => {
                format!("tries again in {} s", until.saturating_duration_since(Instant::now()).as_secs())
            }
            State::Closed(_) => "ended".to_owned(),
            _ => "connecting".to_owned(),
        };
        Self { is_open: state.is_open(), text, queued: lag, held_back }
    }
}

/// Servers and other bridges write a part of what is shown.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::status::{Role, Status};

    #[test]
    fn names_of_other_bridges_are_text_and_no_tags() {
        let status = Status::new(&Config::new("redis://host/"));
        status.set_role(Role::StandingBy { leader: "<b>R&D".to_owned() });
        assert!(page(&status.now()).contains("<strong>standing by</strong> &lt;b&gt;R&amp;D leads"));
    }
}
