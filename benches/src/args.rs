//! Command lines of the form `mode --key value --key value`.

use std::fmt::Display;
use std::str::FromStr;

/// The arguments of a benchmark program.
pub struct Args {
    words: Vec<String>,
}

impl Args {
    /// Returns the arguments of this process.
    pub fn from_env() -> Self {
        Self { words: std::env::args().skip(1).collect() }
    }

    /// Returns the mode: the first argument, unless it is an option.
    pub fn mode(&self) -> Option<&str> {
        self.words.first().map(String::as_str).filter(|word| !word.starts_with("--"))
    }

    /// Returns every value given for `--key`.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.words.windows(2).filter(move |pair| pair[0].strip_prefix("--") == Some(key)).map(|pair| pair[1].as_str())
    }

    /// Returns the last value given for `--key`, or `default`.
    ///
    /// # Panics
    ///
    /// Panics if the value cannot be parsed: a benchmark has no caller that could handle an error.
    pub fn get<T: FromStr<Err: Display>>(&self, key: &str, default: T) -> T {
        self.all(key).last().map_or(default, |value| match value.parse() {
            Ok(value) => value,
            Err(error) => panic!("--{key} {value}: {error}"),
        })
    }

    /// Returns true if `--key name` was given, or no `--key` at all.
    pub fn wants(&self, key: &str, name: &str) -> bool {
        self.all(key).next().is_none() || self.all(key).any(|value| value == name)
    }
}
