//! When to reconnect: [`ReconnectPolicy`] decides about each [`Failure`]. No IO and no clock.

mod failure;
mod policy;

pub use self::failure::{Decision, Failure};
pub use self::policy::ReconnectPolicy;
pub(crate) use self::policy::retry_after;
