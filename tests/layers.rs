//! The structure of `src/`: imports point down, files do not use each other in circles, and names
//! and prose are plain. And that of `docs/FAULTS.md`, whose rows name their tests.

#[path = "layers/circles.rs"]
mod circles;
#[path = "layers/faults.rs"]
mod faults;
#[path = "layers/source.rs"]
mod source;
#[path = "layers/words.rs"]
mod words;

use std::collections::BTreeSet;

use source::Source;

/// The folders of `src/`, from the bottom up. Each may use those before it.
const LAYERS: &[&str] = &[
    "error",        // what went wrong
    "event",        // events, gaps
    "wire",         // the event stream format
    "response",     // the head of a response, the bytes of its body, and its silence
    "event_stream", // the decoder over one HTTP body
    "state",        // how a connection stands
    "reconnect",    // when to try again
    "resume",       // where the last event ID is kept
    "transport",    // from a request to an open response
    "hub",          // the fan-out
    "connection",   // the actor
    "subscription", // what users read from
    "handle",       // what users steer with
    "client",       // what users build streams with
    "blocking",     // the same without a runtime
    "testing",      // for tests of programs
    "bench",        // for this repository's benches
];

#[test]
fn modules_use_only_the_layers_below_them() {
    let source = Source::read();
    let mut seen = BTreeSet::new();
    // `lib.rs` re-exports from all of them.
    for user in source.paths().filter(|path| !path.is_empty()) {
        let layer = &*user[0];
        let rank = rank(layer).unwrap_or_else(|| panic!("{layer} has no layer"));
        for used in source.uses(user) {
            let name = used.first().unwrap_or_else(|| panic!("{} uses what lib.rs defines", user.join("/")));
            let is_below = self::rank(name).is_some_and(|used| used <= rank);
            assert!(is_below, "{} must not use {}", user.join("/"), used.join("/"));
        }
        seen.insert(layer);
    }
    assert_eq!(seen.len(), LAYERS.len(), "a layer without a module");
}

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| *layer == module)
}
