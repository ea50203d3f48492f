//! Medians, geometric means, and Markdown tables.

use std::fmt::Display;

/// Returns the median; of two middle values the lower one.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// Returns the value below which `percent` of the values lie.
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * percent / 100.0) as usize).copied().unwrap_or(f64::NAN)
}

/// Returns the smallest value.
pub fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Returns the geometric mean of ratios.
pub fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// Formats a number with three significant digits.
pub fn significant(value: f64) -> String {
    let digits = (2.0 - value.abs().log10().floor()).clamp(0.0, 4.0) as usize;
    format!("{value:.digits$}")
}

/// Prints the head of a table. The first column has no title.
pub fn head(columns: impl IntoIterator<Item = impl Display>) {
    let columns: Vec<String> = columns.into_iter().map(|column| column.to_string()).collect();
    println!("| | {} |", columns.join(" | "));
    println!("|---|{}", "---|".repeat(columns.len()));
}

/// Prints one row.
pub fn row(title: &str, cells: impl IntoIterator<Item = impl Display>) {
    let cells: Vec<String> = cells.into_iter().map(|cell| cell.to_string()).collect();
    println!("| {title} | {} |", cells.join(" | "));
}

/// Formats a ratio and its bar: `1.43x ok`, or `1.02x MISSED (1.2x)`.
pub fn at_least(ratio: f64, bar: f64) -> String {
    verdict(ratio, bar, ratio >= bar)
}

/// Formats a ratio and its bar where less is better.
pub fn at_most(ratio: f64, bar: f64) -> String {
    verdict(ratio, bar, ratio <= bar)
}

fn verdict(ratio: f64, bar: f64, met: bool) -> String {
    if met { format!("{ratio:.2}x ok") } else { format!("**{ratio:.2}x MISSED** ({bar}x)") }
}
