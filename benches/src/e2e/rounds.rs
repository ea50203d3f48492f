//! Runs clients in turn, and compares their results round by round.

use crate::args::Args;
use crate::report::median;

use super::processes::Ran;

/// The results of each client's processes: a row per client, a column per round.
pub struct Rounds {
    pub clients: Vec<&'static str>,
    pub ran: Vec<Vec<Ran>>,
}

/// One number per client and round.
pub struct Values<'a> {
    clients: &'a [&'static str],
    rows: Vec<Vec<f64>>,
}

impl Rounds {
    /// Runs each wanted client once per round, a different one first in each round. The first round
    /// only warms up.
    pub fn run(args: &Args, clients: &[&'static str], run: impl Fn(&str) -> Ran) -> Self {
        let wanted = clients.iter().copied().filter(|client| args.wants("contender", client));
        let clients: Vec<&'static str> = wanted.collect();
        let mut ran: Vec<Vec<Ran>> = clients.iter().map(|_| Vec::new()).collect();
        for round in 0..=count(args) {
            for turn in 0..clients.len() {
                let at = (turn + round) % clients.len();
                let result = run(clients[at]);
                if round > 0 {
                    ran[at].push(result);
                }
            }
        }
        Self { clients, ran }
    }

    pub fn values(&self, of: impl Fn(&Ran) -> f64) -> Values<'_> {
        let rows = self.ran.iter().map(|ran| ran.iter().map(&of).collect()).collect();
        Values { clients: &self.clients, rows }
    }
}

/// Returns the number of rounds.
pub fn count(args: &Args) -> usize {
    args.get("rounds", 7)
}

impl Values<'_> {
    /// Returns the values of one client, if it took part.
    pub fn of(&self, client: &str) -> Option<&[f64]> {
        let at = self.clients.iter().position(|name| *name == client)?;
        Some(&self.rows[at])
    }

    pub fn median(&self, client: &str) -> f64 {
        self.of(client).map_or(f64::NAN, median)
    }

    /// Returns the median over the rounds of one client's value by another's in the same round.
    pub fn ratio(&self, one: &str, other: &str) -> Option<f64> {
        self.ratio_to_most(one, &[other])
    }

    /// Returns the median over the rounds of one client's value by the largest of the others in the
    /// same round.
    pub fn ratio_to_most(&self, one: &str, others: &[&str]) -> Option<f64> {
        let others: Vec<&[f64]> = others.iter().filter_map(|other| self.of(other)).collect();
        let most = |round: usize| others.iter().map(|values| values[round]).reduce(f64::max);
        let rounds = self.of(one)?.iter().enumerate();
        let ratios: Vec<f64> = rounds.filter_map(|(round, value)| Some(value / most(round)?)).collect();
        (!ratios.is_empty()).then(|| median(&ratios))
    }
}
