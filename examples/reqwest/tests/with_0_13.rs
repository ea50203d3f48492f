//! What the settings of reqwest 0.13 do to streams.

#[path = "settings/server.rs"]
mod server;
#[path = "settings/statements.rs"]
mod statements;

use reqwest_0_13 as reqwest;

/// The timer of a body starts anew with each frame.
const READ_TIMEOUT_RUNS_WITHOUT_READING: bool = true;
