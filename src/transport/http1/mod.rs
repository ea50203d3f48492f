//! HTTP/1.1 on a connection of the stream's own. hyper sends the request and reads the response
//! head; [`Http1Body`] reads the body.
//!
//! hyper passes a body on chunk by chunk, through a channel between two futures. A server that
//! flushes each event sends one chunk per event, and that channel (its atomics, and the reference
//! count of each piece) was two thirds of a stream's CPU time, even with both futures in one task.
//! Here all chunks of one read become one piece, in place; `benches/README.md` has the figures.
//!
//! ```text
//! socket ─┬─ HeadGate ── hyper            until the head is complete
//!         └─ Framing ─── Http1Body        from then on
//! ```
//!
//! `head_gate` gives hyper the bytes of response heads and not one byte of a body. It finds the end
//! of a head with the parser that hyper uses (`received_head`), and the two results are compared:
//! hyper has to wait for the last byte of the head, and to read the same fields. `body_framing`
//! takes over only from a head that hyper accepted.
//!
//! `plain` does without all this: hyper reads the body as well. The tests compare the two readers,
//! and `--cfg sseclient_plain_hyper` puts the plain one into use.

#![cfg_attr(sseclient_plain_hyper, allow(dead_code, reason = "only hyper is in use then"))]

mod body_framing;
#[cfg(any(test, fuzzing))]
mod comparison;
mod exchange;
mod head_gate;
mod http1_body;
#[cfg(any(test, fuzzing, sseclient_plain_hyper))]
mod plain;
mod received_head;
mod request_sender;

#[cfg(fuzzing)]
pub use self::comparison::compare;
#[cfg(not(sseclient_plain_hyper))]
pub(super) use self::exchange::send;
#[cfg(not(sseclient_plain_hyper))]
pub(super) use self::http1_body::Http1Body;
#[cfg(sseclient_plain_hyper)]
pub(super) use self::plain::{PlainBody as Http1Body, send};
pub(super) use self::received_head::builder;
#[cfg(feature = "http2")]
pub(super) use self::received_head::no_answer;

#[cfg(test)]
mod tests;
