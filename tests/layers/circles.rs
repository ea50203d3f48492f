//! No circle between the files of a folder.
//!
//! A file or folder depends on its neighbour if it names something that the neighbour defines, by
//! any path: through the neighbour, through a re-export of `mod.rs`, or through `crate`. A `mod.rs`
//! stands for its folder: it may use its files, and they may use what it defines itself. Tests use
//! what they like.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{ModulePath, Source};

/// Who uses whom, for the neighbours in each folder.
type Neighbours = BTreeMap<ModulePath, BTreeMap<String, BTreeSet<String>>>;

fn neighbours(source: &Source) -> Neighbours {
    let mut folders = Neighbours::new();
    for user in source.paths() {
        for used in source.uses(user) {
            let common = user.iter().zip(&used).take_while(|(one, other)| one == other).count();
            if let (Some(from), Some(to)) = (user.get(common), used.get(common)) {
                let folder = folders.entry(user[..common].to_vec()).or_default();
                folder.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    folders
}

/// The neighbours that `start` uses, directly or through others.
fn reached<'a>(uses: &'a BTreeMap<String, BTreeSet<String>>, start: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = uses.get(start).into_iter().flatten().map(String::as_str).collect();
    while let Some(name) = next.pop() {
        if reached.insert(name) {
            next.extend(uses.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    reached
}

#[test]
fn no_files_of_a_folder_use_each_other_in_a_circle() {
    let mut circles = Vec::new();
    for (folder, uses) in neighbours(&Source::read()) {
        for (from, targets) in &uses {
            for to in targets.iter().filter(|to| reached(&uses, to).contains(&**from)) {
                circles.push(format!("{}: {from} -> {to}", folder.join("/")));
            }
        }
    }
    assert!(circles.is_empty(), "each of these is part of a circle:\n{}", circles.join("\n"));
}
