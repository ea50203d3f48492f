//! Rules for names and prose in `src/`, as CONTRIBUTING.md has them. Each failure names the line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The longest line of prose, in columns.
const MAX_COLUMNS: usize = 100;

/// Words that hide who does what.
const VAGUE_WORDS: &[&str] = &["whoever", "whomever", "somebody", "nobody", "anybody", "everybody", "whatever"];

/// How constants for limits must not begin: they begin with `MAX_` or `MIN_`.
const OTHER_LIMITS: &[&str] = &["MOST_", "LEAST_", "LARGEST_", "LONGEST_"];

/// Folders whose types mirror the public ones.
const MIRRORS: &[&str] = &["blocking"];

/// Calls `check` with each line of `src/`, and panics with the lines for which it returns true.
fn assert_no_line(complaint: &str, check: impl Fn(&str) -> bool) {
    let mut found = Vec::new();
    for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            if check(line) {
                found.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{complaint}:\n{}", found.join("\n"));
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
}

#[test]
fn prose_has_at_most_a_hundred_columns() {
    assert_no_line("too long", |line| line.trim_start().starts_with("//") && is_too_long(line));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = files(&root.join("docs")).into_iter().filter(|file| file.extension().is_some_and(|end| end == "md"));
    for page in pages.chain([root.join("SECURITY.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        // Every other part is code.
        let prose = text.split("```").step_by(2).flat_map(str::lines);
        let found: Vec<_> = prose.filter(|line| is_too_long(line)).collect();
        assert!(found.is_empty(), "too long, in {}:\n{}", page.display(), found.join("\n"));
    }
}

/// Returns true for a line that could be shorter: a URL or a row of a table cannot.
fn is_too_long(line: &str) -> bool {
    line.chars().count() > MAX_COLUMNS && !line.contains("://") && !line.contains('|')
}

#[test]
fn prose_and_names_say_who_does_what() {
    assert_no_line("name who or what it is", |line| {
        words(line).flat_map(|word| word.split('_')).any(|word| VAGUE_WORDS.contains(&&*word.to_lowercase()))
    });
}

#[test]
fn limits_are_named_max_or_min() {
    assert_no_line("call it MAX_ or MIN_", |line| {
        words(line).any(|word| OTHER_LIMITS.iter().any(|prefix| word.starts_with(prefix)))
    });
}

#[test]
fn no_two_types_share_a_name() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut places = BTreeMap::<String, Vec<PathBuf>>::new();
    for file in files(&source) {
        let module = file.strip_prefix(&source).unwrap();
        let is_test = module.components().any(|part| part.as_os_str().to_string_lossy().contains("tests"));
        if is_test || MIRRORS.iter().any(|mirror| module.starts_with(mirror)) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = &text[..text.find("mod tests {").unwrap_or(text.len())];
        // Types inside functions are further to the right.
        for line in code.lines().filter(|line| !line.starts_with("     ") && !line.trim_start().starts_with("//")) {
            let mut words = words(line).filter(|word| !matches!(*word, "" | "pub" | "crate" | "super" | "in"));
            if let (Some("struct" | "enum" | "trait" | "union"), Some(name)) = (words.next(), words.next()) {
                let places = places.entry(name.to_owned()).or_default();
                // A type may be there twice, for builds with a feature and without.
                if places.last().is_none_or(|last| last != module) {
                    places.push(module.to_owned());
                }
            }
        }
    }
    let twice: Vec<_> = places.into_iter().filter(|(_, places)| places.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:#?}");
}
