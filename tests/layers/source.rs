//! The modules of `src/`, and what each imports.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The names of a module and of those around it, from the crate's root: `["hub", "ring"]`. The root
/// has none.
pub type ModulePath = Vec<String>;

/// One module, without its tests.
#[derive(Default)]
struct Module {
    /// Every path in it that begins with `crate`, `self` or `super`, counted from the root.
    uses: BTreeSet<ModulePath>,
    /// Names that it imports from this crate, which other modules can import from it.
    imports: BTreeMap<String, ModulePath>,
    /// Names that it imports by a path which begins elsewhere: with another crate, or with one of
    /// its own files.
    relative_imports: BTreeMap<String, ModulePath>,
}

/// All modules of the crate.
pub struct Source(BTreeMap<ModulePath, Module>);

impl Source {
    pub fn read() -> Self {
        let mut modules = Self(BTreeMap::new());
        modules.read_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &[]);
        let paths: BTreeSet<ModulePath> = modules.0.keys().cloned().collect();
        for (path, module) in &mut modules.0 {
            for (name, target) in std::mem::take(&mut module.relative_imports) {
                if paths.contains(&[&path[..], &target[..1]].concat()) {
                    module.imports.insert(name, [&path[..], &target].concat());
                }
            }
        }
        modules
    }

    fn read_folder(&mut self, folder: &Path, module: &[String]) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let child = [module, std::slice::from_ref(&name)].concat();
            match &*name {
                // Tests use what they like.
                "tests" | "loom_tests" => {}
                _ if path.is_dir() => self.read_folder(&path, &child),
                "mod" | "lib" => self.read_file(&path, module),
                _ => self.read_file(&path, &child),
            }
        }
    }

    fn read_file(&mut self, file: &Path, path: &[String]) {
        let code = code_of(&fs::read_to_string(file).unwrap());
        let module = self.0.entry(path.to_vec()).or_default();
        for root in ["crate", "self", "super"] {
            for (at, _) in code.match_indices(&format!("{root}::")) {
                if !code[..at].ends_with([':', '_']) && !code[..at].ends_with(char::is_alphanumeric) {
                    each_path(&code[at..], &mut |used| {
                        module.uses.insert(from_root(path, used).0);
                    });
                }
            }
        }
        for (at, keyword) in code.match_indices("use ") {
            if at == 0 || code[..at].ends_with(char::is_whitespace) {
                each_path(&code[at + keyword.len()..], &mut |used| {
                    let is_absolute = matches!(used[0], "crate" | "self" | "super");
                    let imports = if is_absolute { &mut module.imports } else { &mut module.relative_imports };
                    let (target, name) = from_root(path, used);
                    imports.insert(name, target);
                });
            }
        }
    }

    pub fn paths(&self) -> impl Iterator<Item = &ModulePath> {
        self.0.keys()
    }

    /// The modules that define what `module` imports, wherever it imports that from.
    pub fn uses(&self, module: &ModulePath) -> BTreeSet<ModulePath> {
        self.0[module].uses.iter().map(|used| self.definition(used, 0)).collect()
    }

    /// The module that defines `path`, behind any number of re-exports.
    fn definition(&self, path: &[String], hops: usize) -> ModulePath {
        let mut known = path.len();
        while !self.0.contains_key(&path[..known]) {
            known -= 1;
        }
        let (module, rest) = path.split_at(known);
        match rest.first().and_then(|name| self.0[module].imports.get(name)) {
            Some(target) if hops < 8 && target != path => self.definition(target, hops + 1),
            _ => module.to_vec(),
        }
    }
}

/// Code without comments, tests, and imports for the documentation alone.
fn code_of(text: &str) -> String {
    let end = text.find("mod tests {").unwrap_or(text.len());
    let lines = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = lines.flat_map(|line| [line, "\n"]).collect();
    let mut parts = code.split("#[cfg(doc)]\n");
    let first = parts.next().unwrap_or_default().to_owned();
    first + &parts.filter_map(|part| part.split_once(';')).map(|(_, rest)| rest).collect::<String>()
}

/// A path as `module` writes it, counted from the root, and the name that it brings into scope.
fn from_root(module: &[String], written: &[&str]) -> (ModulePath, String) {
    let (mut path, mut names) = match written[0] {
        "crate" => (Vec::new(), &written[1..]),
        "self" | "super" => (module.to_vec(), written),
        _ => (Vec::new(), written),
    };
    while let Some((first @ (&"super" | &"self"), rest)) = names.split_first() {
        if *first == "super" {
            path.pop();
        }
        names = rest;
    }
    let mut name = names.last().copied().unwrap_or_default();
    if let [rest @ .., "as", alias] = names {
        (name, names) = (alias, rest);
    }
    path.extend(names.iter().filter(|name| **name != "self").map(|name| (*name).to_owned()));
    (path, name.to_owned())
}

/// Calls `found` with each path of a `use` tree, or with the one path that an expression begins
/// with.
fn each_path<'a>(text: &'a str, found: &mut dyn FnMut(&[&'a str])) {
    tree(text, &mut Vec::new(), found);
}

/// What is left of `text` after the tree.
fn tree<'a>(text: &'a str, path: &mut Vec<&'a str>, found: &mut dyn FnMut(&[&'a str])) -> &'a str {
    let depth = path.len();
    let mut text = text.trim_start();
    loop {
        if let Some(mut inner) = text.strip_prefix('{') {
            loop {
                inner = inner.trim_start();
                if let Some(rest) = inner.strip_prefix('}') {
                    path.truncate(depth);
                    return rest;
                }
                let rest = tree(inner, path, found).trim_start();
                inner = rest.strip_prefix(',').unwrap_or(rest);
                if inner.len() == rest.len() && !rest.starts_with('}') {
                    return rest;
                }
            }
        }
        let length = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
        if length > 0 {
            path.push(&text[..length]);
        }
        text = &text[length..];
        match text.strip_prefix("::") {
            Some(rest) => text = rest,
            None => break,
        }
    }
    if let Some(alias) = text.strip_prefix(" as ") {
        let length = alias.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(alias.len());
        path.extend(["as", &alias[..length]]);
        text = &alias[length..];
    }
    if path.len() > depth || depth > 0 {
        found(path);
    }
    path.truncate(depth);
    text
}
