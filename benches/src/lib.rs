//! Code that the benchmark programs share: inputs, contenders, clocks and tables.
//!
//! `README.md` says how to run them, and has the results.

pub mod args;
pub mod contenders;
pub mod corpora;
pub mod e2e;
pub mod hub;
pub mod measure;
pub mod report;
