//! `docs/FAULTS.md`: its rows are numbered, its outcomes list them, and each row names the tests
//! that hold it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::words::files;

struct Row {
    number: usize,
    outcome: &'static str,
    /// Each as `binary::name`; the unit tests are in the binary `lib`.
    tests: Vec<&'static str>,
}

fn rows() -> Vec<Row> {
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix("| ")?.splitn(4, " | ");
        let number = cells.next()?.parse().ok()?;
        let outcome = cells.nth(1)?.trim_matches('*');
        let (_, comment) = cells.next()?.split_once("<!-- tests: ").unwrap_or_default();
        let (names, _) = comment.split_once(" -->").unwrap_or_default();
        Some(Row { number, outcome, tests: names.split(", ").filter(|name| !name.is_empty()).collect() })
    };
    include_str!("../../docs/FAULTS.md").lines().filter_map(row).collect()
}

#[test]
fn faults_are_numbered_in_order_and_listed_by_their_outcome() {
    let mut outcomes = BTreeMap::<_, Vec<Vec<usize>>>::new();
    for (Row { number, outcome, .. }, expected) in rows().into_iter().zip(1..) {
        assert_eq!(number, expected);
        let runs = outcomes.entry(outcome).or_default();
        match runs.last_mut().filter(|run| run.last() == Some(&(number - 1))) {
            Some(run) => run.push(number),
            None => runs.push(vec![number]),
        }
    }
    assert!(!outcomes.is_empty());
    for (outcome, runs) in outcomes {
        let run = |run: &Vec<usize>| match run[..] {
            [one] => one.to_string(),
            _ => format!("{}-{}", run[0], run[run.len() - 1]),
        };
        let line = format!("| {outcome} | {} |", runs.iter().map(run).collect::<Vec<_>>().join(", "));
        assert!(include_str!("../../docs/FAULTS.md").contains(&line), "the outcomes have no line {line}");
    }
}

#[test]
fn each_fault_names_tests_that_exist() {
    let mut known = BTreeMap::new();
    for Row { number, tests, .. } in rows() {
        assert!(!tests.is_empty(), "row {number} names no test: add <!-- tests: binary::name --> to its last cell");
        for test in tests {
            let (binary, name) = test.split_once("::").unwrap_or_else(|| panic!("row {number}: {test} has no binary"));
            let tests = known.entry(binary).or_insert_with(|| tests_of(binary));
            assert!(tests.contains(name), "row {number}: there is no test {test}");
        }
    }
}

/// The names of the tests of a binary.
fn tests_of(binary: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    for file in files(&if binary == "lib" { root.join("src") } else { root.join("tests").join(binary) }) {
        let mut is_test = false;
        for line in String::from_utf8_lossy(&fs::read(file).unwrap()).lines().map(str::trim_start) {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            if let Some((_, name)) = line.split_once("fn ").filter(|_| is_test && !line.starts_with("//")) {
                names.extend(name.split_once('(').map(|(name, _)| name.to_owned()));
                is_test = false;
            }
        }
    }
    names
}
