//! Writes the seed corpus of `chunked_equals_whole` from the conformance vectors.

#[path = "../tests/wire/vectors.rs"]
mod vectors;

use std::path::Path;
use std::{fs, io};

/// Longer vectors would only slow the fuzzer down.
const MAX_LENGTH: usize = 2_000;

/// The bytes in front of a stream: settings, limit, chunks. See `Plan` in the target.
const PLANS: [[u8; 4]; 3] = [[1, 0, 0, 0], [3, 9, 0, 0], [0, 0, 3, 5]];

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = root.join("corpus/chunked_equals_whole");
    fs::create_dir_all(&corpus)?;
    let mut count = 0;
    for file in ["parser.jsonl", "parser_resume.jsonl"] {
        for vector in vectors::load_path(&root.join("../tests/conformance").join(file)) {
            let stream = vector.input();
            for (number, plan) in PLANS.iter().enumerate().filter(|_| stream.len() <= MAX_LENGTH) {
                fs::write(corpus.join(format!("{}-{number}", vector.name)), [plan, stream.as_ref()].concat())?;
                count += 1;
            }
        }
    }
    println!("{count} seeds in {}", corpus.display());
    Ok(())
}
