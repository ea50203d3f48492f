//! The `tail` example from the outside: its options, its output, its exit status.

#![cfg(feature = "client")]

#[path = "../support/folder.rs"]
mod folder;
mod options;
mod outcomes;
mod output;
mod people;
mod pipes;
mod program;
mod server;
#[cfg(unix)]
mod stopped;
#[cfg(feature = "tls")]
mod tls;

use serde_json::Value;

use crate::program::{Finished, Tail};
use crate::server::Server;

/// Runs `tail` against a server that answers the first connection with `text` and closes it.
fn answered_once(args: &[&str], text: &str) -> (Server, Tail) {
    let server = Server::start();
    let tail = Tail::start(&[&[server.url.as_str()], args].concat());
    server.accept_and_open().send(text);
    (server, tail)
}

/// The output of `tail` for one raw HTTP response.
fn after_response(args: &[&str], head: &str, body: &str) -> Finished {
    let server = Server::start();
    let tail = Tail::start(&[&[server.url.as_str()], args].concat());
    server.accept().respond(head, body);
    tail.finish()
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}
