//! [`Health`]: whether the bridge does its part, in a word and a sentence.

use std::time::Duration;

use crate::status::{Now, Role, Source};

/// How long a source may be down before that counts. Many servers end their responses now and then,
/// and the next attempt begins after up to 15 s.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How many sources are named that are down.
const MAX_NAMED: usize = 3;

#[derive(Debug, PartialEq, Eq)]
pub struct Health {
    /// True for a standby, and for a leader with a source that is not down.
    pub is_good: bool,
    pub state: &'static str,
    pub reason: String,
}

impl Health {
    pub fn of(now: &Now) -> Self {
        let (is_good, state, reason) = match (&now.away, &now.role) {
            (Some(away), _) => {
                let seconds = away.since.elapsed().as_secs_f64();
                (false, "engine away", format!("for {seconds:.1} s, and the streams wait: {}", away.error))
            }
            (None, Role::Asking) => (false, "starting", format!("{} has not answered yet", now.engine)),
            (None, Role::StandingBy { leader }) => (true, "standing by", format!("{leader} leads")),
            (None, Role::Stopping) => (false, "stopping", "it appends what it has read".to_owned()),
            (None, Role::Leading) => sources(now),
        };
        Self { is_good, state, reason }
    }
}

/// Returns the health of a leader, which depends on its sources.
fn sources(now: &Now) -> (bool, &'static str, String) {
    let is_down = |source: &&Source| source.down_since.is_some_and(|since| since.elapsed() >= PATIENCE);
    let followed = || now.sources.iter().filter(|source| !source.has_ended());
    let down: Vec<&Source> = followed().filter(is_down).collect();
    let (count, all) = (down.len(), followed().count());
    if count == 0 {
        let is_open = |source: &&Source| source.stream.as_ref().is_some_and(|stream| stream.state().is_open());
        let open = followed().filter(is_open).count();
        return (true, "ready", format!("leads the group {}; {open} of {all} sources are open", now.group));
    }
    let named: Vec<String> = down.iter().take(MAX_NAMED).map(|source| describe(source)).collect();
    let more = if count > MAX_NAMED { "; …" } else { "" };
    (count < all, "source down", format!("{count} of {all}: {}{more}", named.join("; ")))
}

fn describe(source: &Source) -> String {
    let failure = source.last_failure.as_ref().map_or("no answer yet", |failure| &failure.text);
    format!("{} ({failure})", source.name)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::time::Instant;

    use super::*;
    use crate::config::{self, Config};
    use crate::status::{Away, Failure, Status};

    fn leader() -> Now {
        let sources = ["a", "b"].map(|name| config::Source::new(name, "http://host/")).into();
        let mut now = Status::new(&Config { sources, ..Config::new("redis://host/") }).now();
        now.role = Role::Leading;
        now
    }

    fn is_down(source: &mut Source, duration: Duration) {
        source.down_since = Instant::now().checked_sub(duration);
        source.last_failure = Some(Failure { at: SystemTime::now(), text: "refused".to_owned() });
    }

    #[test]
    fn a_leader_is_good_until_all_its_sources_have_been_down_for_long() {
        let mut now = leader();
        let health = |now: &Now| {
            let Health { is_good, state, reason } = Health::of(now);
            (is_good, format!("{state}: {reason}"))
        };
        let ready = (true, "ready: leads the group default; 0 of 2 sources are open".to_owned());
        assert_eq!(health(&now), ready);
        is_down(&mut now.sources[0], PATIENCE / 2);
        assert_eq!(health(&now), ready);
        is_down(&mut now.sources[0], PATIENCE);
        assert_eq!(health(&now), (true, "source down: 1 of 2: a (refused)".to_owned()));
        is_down(&mut now.sources[1], PATIENCE);
        assert_eq!(health(&now), (false, "source down: 2 of 2: a (refused); b (refused)".to_owned()));
    }

    #[tokio::test]
    async fn a_source_that_has_ended_counts_neither_as_open_nor_as_down() {
        let mut now = leader();
        let handle = sseclient::Client::new().stream("http://127.0.0.1:1/").build().unwrap();
        handle.shutdown().await;
        now.sources[0].stream = Some(handle.monitor());
        assert_eq!(Health::of(&now).reason, "leads the group default; 0 of 1 sources are open");
        assert!(!crate::metrics::metrics(&now).contains("source_open{"));
        is_down(&mut now.sources[1], PATIENCE);
        assert_eq!((Health::of(&now).is_good, &*Health::of(&now).reason), (false, "1 of 1: b (refused)"));
    }

    #[test]
    fn an_outage_of_the_engine_comes_before_all_else() {
        for role in [Role::Asking, Role::StandingBy { leader: "x".to_owned() }, Role::Leading, Role::Stopping] {
            let away = Away { since: Instant::now(), error: "refused".to_owned() };
            let now = Now { role, away: Some(away), ..leader() };
            let expected = "for 0.0 s, and the streams wait: refused".to_owned();
            assert_eq!(Health::of(&now), Health { is_good: false, state: "engine away", reason: expected });
        }
    }
}
