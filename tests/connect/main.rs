//! From a request to an open response, and what a user sees of one connection.

#![cfg(feature = "client")]

mod addresses;
mod blocked;
mod compression;
mod connection;
mod connectors;
mod cookies;
mod errors;
mod http1;
mod http2;
mod proxies;
mod redirects;
mod requests;
mod tls;
mod tls_identity;
mod transports;
mod verdicts;

#[path = "../support/mod.rs"]
mod support;
