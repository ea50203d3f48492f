//! The fan-out without a network: our hub beside tokio's broadcast channel, gated so that nobody loses anything.
//!
//! `hub [--rounds 7] [--deliveries 2000000] [--subscribers N]… [--batch N]…`

use sseclient_benches::args::Args;
use sseclient_benches::hub;

fn main() {
    hub::run(&Args::from_env());
}
