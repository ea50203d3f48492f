//! The fan-out without a network: our hub beside tokio's broadcast channel, with a gate so that no
//! event is lost.
//!
//! `hub [--rounds 7] [--deliveries 2000000] [--subscribers N]… [--batch N]…`

use sseclient_benches::args::Args;
use sseclient_benches::hub;

fn main() {
    hub::run(&Args::from_env());
}
