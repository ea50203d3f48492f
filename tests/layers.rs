//! The layers of `src/`: arrows point down, and only down.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Each module, and those of the others that it may use.
const LAYERS: &[(&str, &[&str])] = &[
    // Vocabulary.
    ("error", &[]),
    ("event", &["error", "wire"]), // `Event::encode` is the wire format's
    ("filter", &["event"]),
    ("target", &["error"]),
    ("tls_version", &[]),
    ("redirects", &[]),
    ("response_head", &[]),
    ("retain", &["filter"]),
    ("allowance", &[]),
    ("guard", &[]),
    ("item", &["event"]),
    ("decoded", &["error", "event", "item"]),
    ("state", &["error", "response_head"]),
    ("failure", &["error"]),
    ("drain", &["state"]),
    ("store", &["error", "guard"]),
    ("file_store", &["store"]),
    ("overflow", &["event"]),
    ("subscribe_options", &["config", "overflow"]),
    ("stats", &["error"]),
    ("keepalive", &[]),
    ("connector", &[]),
    ("credentials", &["error"]),
    ("delivery", &["event", "state"]),
    ("config", &["event", "request", "retain", "target", "transport"]),
    // Pure, and IO.
    ("retry", &["error", "failure"]),
    ("wire", &["event"]),
    ("transport", &["connector", "error", "keepalive", "redirects", "response_head", "target", "tls_version"]),
    ("request", &["error", "redirects", "target", "transport"]),
    ("change", &["error", "request", "target", "transport"]),
    ("hub", &["delivery", "error", "event", "filter", "guard", "overflow", "retain", "state"]),
    // The actor: where transport, wire format and hub meet.
    (
        "connection",
        &[
            "change",
            "config",
            "credentials",
            "delivery",
            "error",
            "guard",
            "hub",
            "request",
            "response_head",
            "retry",
            "state",
            "stats",
            "store",
            "target",
            "transport",
            "wire",
        ],
    ),
    ("bench", &["allowance", "event", "filter", "hub", "overflow"]),
    // The public face.
    ("monitor", &["connection", "error", "state", "stats"]),
    ("update", &["change", "error", "monitor"]),
    ("seat", &["connection"]),
    (
        "subscription",
        &["allowance", "connection", "decoded", "delivery", "event", "handle", "hub", "item", "seat", "state"],
    ),
    ("transcript", &["connection", "delivery", "hub", "seat"]),
    (
        "handle",
        &[
            "change",
            "config",
            "connection",
            "decoded",
            "drain",
            "error",
            "filter",
            "hub",
            "monitor",
            "overflow",
            "state",
            "stats",
            "subscribe_options",
            "subscription",
            "transcript",
            "transport",
            "update",
        ],
    ),
    (
        "builder",
        &[
            "config",
            "connection",
            "credentials",
            "error",
            "filter",
            "handle",
            "redirects",
            "retain",
            "retry",
            "store",
            "subscription",
            "target",
            "transport",
        ],
    ),
    ("client", &["builder", "connector", "error", "filter", "keepalive", "subscription", "tls_version", "transport"]),
    // By waiting.
    (
        "blocking",
        &["builder", "client", "delivery", "error", "event", "filter", "handle", "monitor", "state", "subscription"],
    ),
    ("event_stream", &["delivery", "error", "transport", "wire"]),
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
        let (_, allowed) =
            LAYERS.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("{module} has no layer"));
        for used in uses(&path) {
            assert!(used == module || allowed.contains(&&*used), "{module} must not use {used}");
        }
        seen.insert(module);
    }
    assert_eq!(seen.len(), LAYERS.len(), "a layer without a module");
}

/// The modules of this crate that a file, or the files of a folder, name.
fn uses(path: &Path) -> BTreeSet<String> {
    // Tests use what they like.
    if path.file_stem().is_some_and(|name| name == "tests") {
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
