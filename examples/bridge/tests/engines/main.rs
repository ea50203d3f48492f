//! Do two real engines get each event once, in order, even if bridges and engines are killed, and
//! is the state told? Most tests need `redis-server` or `nats-server`. All run the programs as a
//! user does.

mod demo;
mod fences;
mod kills;
mod losses;
mod outages;
mod servers;
mod standby;
mod state;
mod support;
