//! Do two real engines get each event once, in order, even if bridges and engines are killed? The
//! tests need `redis-server` and `nats-server`, and run the programs as a user does.

mod demo;
mod fences;
mod kills;
mod losses;
mod outages;
mod servers;
mod standby;
mod support;
