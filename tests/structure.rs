//! The layers of `src/`: imports point down, and only down.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The folders of `src/`, from the bottom up. Each may use those before it.
const LAYERS: &[&str] = &[
    "error",        // what went wrong
    "event",        // events, gaps
    "wire",         // the event stream format
    "state",        // how a connection stands
    "reconnect",    // when to try again
    "resume",       // where the last event ID is kept
    "transport",    // from a request to an open response
    "hub",          // the fan-out
    "event_stream", // the decoder over one HTTP body
    "connection",   // the actor
    "subscription", // what users read from
    "handle",       // what users steer with
    "client",       // what users build streams with
    "blocking",     // the same without a runtime
    "bench",        // for this repository's benches
];

#[test]
fn modules_use_only_the_layers_below_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if module == "lib" {
            continue;
        }
        let rank = rank(&module).unwrap_or_else(|| panic!("{module} has no layer"));
        for used in uses(&path) {
            let below = self::rank(&used).is_some_and(|used| used <= rank);
            assert!(below, "{module} must not use {used}");
        }
        seen.insert(module);
    }
    assert_eq!(seen.len(), LAYERS.len(), "a layer without a module");
}

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| *layer == module)
}

/// The modules of this crate that a file, or the files of a folder, name.
fn uses(path: &Path) -> BTreeSet<String> {
    // Tests use what they like.
    if path.file_stem().is_some_and(|name| name == "tests" || name == "loom_tests") {
        return BTreeSet::new();
    }
    if path.is_dir() {
        return fs::read_dir(path).unwrap().flat_map(|entry| uses(&entry.unwrap().path())).collect();
    }
    let text = fs::read_to_string(path).unwrap();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1).map(first_word).collect::<Vec<_>>()).collect()
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}
