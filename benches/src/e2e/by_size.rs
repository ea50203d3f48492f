//! Tables about growth: a row per size, a column per series.

use std::fmt::Display;

use crate::args::Args;
use crate::report::{head, row, significant};

use super::processes::Ran;
use super::rounds::{self, Rounds, Values};

/// What was measured at each size.
pub struct BySize {
    rows: Vec<(usize, Rounds)>,
}

impl BySize {
    /// Measures every series at every size, in several rounds.
    pub fn measure(args: &Args, sizes: &[usize], series: &[&'static str], run: impl Fn(usize, &str) -> Ran) -> Self {
        let measure = |&size: &usize| (size, Rounds::run(args, series, |series| run(size, series)));
        Self { rows: sizes.iter().map(measure).collect() }
    }

    /// Prints a table of medians. `unit` is what the sizes count.
    pub fn print(&self, args: &Args, title: impl Display, unit: &str, of: impl Fn(usize, &Ran) -> f64) {
        println!("\n### {title}, median of {} rounds\n", rounds::count(args));
        head(self.rows.iter().take(1).flat_map(|(_, rounds)| &rounds.clients));
        for (size, rounds) in &self.rows {
            let values = rounds.values(|ran| of(*size, ran));
            row(&format!("{size} {unit}"), rounds.clients.iter().map(|series| significant(values.median(series))));
        }
    }

    /// Returns one number per series and round, at one size.
    pub fn at(&self, size: usize, of: impl Fn(&Ran) -> f64) -> Option<Values<'_>> {
        let (_, rounds) = self.rows.iter().find(|(row, _)| *row == size)?;
        Some(rounds.values(of))
    }
}

/// Returns the CPU time of a run by event, in microseconds.
pub fn per_event(ran: &Ran, events: usize) -> f64 {
    ran.cpu.as_secs_f64() * 1e6 / events as f64
}
