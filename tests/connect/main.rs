//! From a request to an open response, and what a user sees of one connection.

#![cfg(feature = "client")]

mod addresses;
mod blocked;
mod compression;
mod connection;
mod connectors;
mod cookies;
#[cfg(feature = "tls")]
mod echo;
mod errors;
mod http1;
mod http2;
mod peers;
mod proxies;
mod redirects;
mod requests;
#[cfg(feature = "tls")]
mod site;
mod tls;
mod tls_identity;
mod transports;
mod verdicts;

#[path = "../support/mod.rs"]
mod support;
