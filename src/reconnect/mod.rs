//! When to reconnect: [`ReconnectPolicy`] makes a [`Decision`] about each [`Failure`].
//!
//! Pure: no IO, no clock, no randomness of its own; times and random numbers are arguments. Which
//! statuses and kinds of error are retried by default is listed in `error/kind.rs`; the policy
//! ([`ReconnectPolicy::decide`]) turns that into a wait or a stop.

mod failure;
mod policy;

pub use self::failure::{Decision, Failure};
pub use self::policy::ReconnectPolicy;
