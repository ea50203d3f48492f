//! Durations and instants for serde, as whole milliseconds.

use std::time::Duration;

use serde::{Serialize as _, Serializer};
use tokio::time::Instant;

pub(crate) fn duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(whole(*duration))
}

pub(crate) fn maybe<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(whole).serialize(serializer)
}

/// An instant means nothing to another process: what counts is how long ago it was.
pub(crate) fn since<S: Serializer>(instant: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
    duration(&instant.elapsed(), serializer)
}

/// How long it is until then.
pub(crate) fn until<S: Serializer>(instant: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
    duration(&instant.saturating_duration_since(Instant::now()), serializer)
}

fn whole(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
