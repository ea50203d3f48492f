//! What the benchmark programs share: the inputs, the contenders, the clocks and the tables.
//!
//! `README.md` says how to run them and what came out.

pub mod args;
pub mod contenders;
pub mod corpora;
pub mod e2e;
pub mod hub;
pub mod measure;
pub mod report;
