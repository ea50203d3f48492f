//! Writes the seed corpora: conformance vectors for `chunked_equals_whole`, and responses of all
//! kinds for `http1_equals_hyper`.

#[path = "../tests/wire/vectors.rs"]
mod vectors;

use std::path::Path;
use std::{fs, io};

/// Longer vectors would only slow the fuzzer down.
const MAX_LENGTH: usize = 2_000;

/// The bytes in front of a stream: settings, limit, chunks. See `Plan` in the target.
const PLANS: [[u8; 4]; 3] = [[1, 0, 0, 0], [3, 9, 0, 0], [0, 0, 3, 5]];

/// The bytes in front of a response: the lengths of pieces.
const LENGTHS: [[u8; 2]; 3] = [[0, 0], [1, 1], [7, 20]];

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n";

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    event_streams(root)?;
    responses(root)
}

fn event_streams(root: &Path) -> io::Result<()> {
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

fn responses(root: &Path) -> io::Result<()> {
    let corpus = root.join("corpus/http1_equals_hyper");
    fs::create_dir_all(&corpus)?;
    let after = |head: &str, rest: &str| format!("{head}{rest}");
    let responses = [
        ("close", "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: x\n\n".to_owned()),
        ("close_1_0", "HTTP/1.0 200 OK\r\n\r\ndata: x\n\n".to_owned()),
        ("length", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ndata: x\n\nmore".to_owned()),
        ("both_lengths", after(CHUNKED, "content-length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n")),
        ("two_lengths", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!".to_owned()),
        ("same_length_twice", "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello!".to_owned()),
        ("chunked", after(CHUNKED, "\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n")),
        ("chunked_1_0", "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("chunked_list", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, , identity\r\n\r\n1\r\nx\r\n".to_owned()),
        ("chunked_not_last", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n1\r\nx\r\n".to_owned()),
        ("extensions", after(CHUNKED, "\r\n5;a=b\r\nhello\r\n5 \t; c=\"d;e\"\r\nworld\r\n0;f\r\n\r\n")),
        ("extension_with_lf", after(CHUNKED, "\r\n5;a\nb\r\nhello\r\n0\r\n\r\n")),
        ("zeros", after(CHUNKED, "\r\n00000000000000005\r\nhello\r\n000\r\n\r\n")),
        ("huge_chunk", after(CHUNKED, "\r\nfffffffffffffffff\r\nhello")),
        ("trailers", after(CHUNKED, "trailer: x\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\nz:\r\n\r\nrest")),
        ("odd_trailers", after(CHUNKED, "\r\n5\r\nhello\r\n0\r\nx: y\nz : w\r\n folded\r\n\r\n")),
        ("cut_off", after(CHUNKED, "\r\n5\r\nhel")),
        (
            "interim",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\na: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx".to_owned(),
        ),
        ("switch", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\nx".to_owned()),
        ("no_content", "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello".to_owned()),
        ("not_modified", "HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n".to_owned()),
        ("obs_fold", "HTTP/1.1 200 OK\r\na: b\r\n\tc\r\nd:\r\n e\r\n \r\n\r\nx".to_owned()),
        ("bare_lf", "HTTP/1.1 200 OK\ncontent-length: 1\n\nxy".to_owned()),
        ("mixed_line_ends", "\r\n\nHTTP/1.1 200\na: b\r\n\nx\r\n\r\n".to_owned()),
        ("cr_cr_lf", "HTTP/1.1 200 OK\r\na: b\r\n\r\r\nx".to_owned()),
        (
            "printed_lines",
            "HTTP/1.1 200 OK\r\nPHP Warning:  x in y\r\nX-Powered-By : PHP\r\nno field\r\n\r\nx".to_owned(),
        ),
        ("no_http", "SSH-2.0-OpenSSH_9.2\r\n".to_owned()),
        ("many_fields", format!("HTTP/1.1 200 OK\r\n{}\r\nx", "a: b\r\n".repeat(120))),
    ];
    for (name, response) in &responses {
        for (number, lengths) in LENGTHS.iter().enumerate() {
            fs::write(corpus.join(format!("{name}-{number}")), [lengths, response.as_bytes()].concat())?;
        }
    }
    println!("{} seeds in {}", responses.len() * LENGTHS.len(), corpus.display());
    Ok(())
}
