//! What the settings of reqwest 0.12 do to streams.

#[path = "settings/server.rs"]
mod server;
#[path = "settings/statements.rs"]
mod statements;

use reqwest_0_12 as reqwest;

/// The timer of a body starts when the body is read, and is dropped with each frame.
const READ_TIMEOUT_RUNS_WITHOUT_READING: bool = false;
