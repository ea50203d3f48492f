//! What programs use to test themselves: streams without a network, scripted servers, and the
//! values that their own functions take. By the public API alone.

#![cfg(feature = "client")]

#[cfg(feature = "testing")]
mod faults;
#[cfg(feature = "testing")]
mod publisher;
#[cfg(feature = "testing")]
mod server;
mod values;
