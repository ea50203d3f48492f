//! What programs use to test themselves: streams without a network, scripted servers, and the
//! values that their own functions take. By the public API alone.

#![cfg(feature = "client")]

mod faults;
mod publisher;
mod server;
mod values;
