//! Throughput of parsers: all contenders in one process, interleaved, against the bars.
//!
//! `parsers [--mib 16] [--rounds 9] [--corpus NAME]… [--chunk BYTES]… [--contender NAME]…`

use std::collections::HashMap;

use bytes::Bytes;
use sseclient_benches::args::Args;
use sseclient_benches::contenders::{self, Contender, Input, OURS, OURS_WITH_COMMENTS, SSE_CORE, Side};
use sseclient_benches::corpora::{self, Corpus, chunks};
use sseclient_benches::measure::thread_cpu;
use sseclient_benches::report::{at_least, geometric_mean, head, least, median, row};

/// The sizes of a TCP segment, of hyper's usual read, and of a large read.
const CHUNK_SIZES: [usize; 3] = [1448, 16_384, 65_536];

/// The bar by the best other parser, on each corpus and chunking.
const BAR: f64 = 1.0;

/// The bar for the geometric mean of all corpora in chunks of this size.
fn mean_bar(size: usize) -> f64 {
    if size < 16_384 { 1.2 } else { 1.35 }
}

/// MB/s per contender and round.
type Rates = HashMap<&'static str, Vec<f64>>;

fn main() {
    let args = Args::from_env();
    let contenders: Vec<Contender> =
        contenders::ALL.iter().copied().filter(|contender| args.wants("contender", contender.name)).collect();
    let corpora: Vec<(Corpus, Bytes)> = corpora::ALL
        .into_iter()
        .filter(|corpus| args.wants("corpus", corpus.name))
        .map(|corpus| (corpus, corpus.render(args.get("mib", 16) << 20)))
        .collect();
    let rounds = args.get("rounds", 9);

    let mut verdicts = Vec::new();
    for size in CHUNK_SIZES.into_iter().filter(|size| args.wants("chunk", &size.to_string())) {
        let measured: Vec<Rates> = corpora
            .iter()
            .map(|(corpus, input)| {
                check_counts(corpus.name, input, size, &contenders);
                measure(input, size, rounds, &contenders)
            })
            .collect();
        println!("\n### Chunks of {size} bytes: MB/s, median (min) of {rounds} rounds\n");
        head(corpora.iter().map(|(corpus, _)| corpus.name));
        for contender in &contenders {
            row(contender.name, measured.iter().map(|rates| cell(&rates[contender.name])));
        }
        verdicts.push((size, measured));
    }
    if contenders.len() == contenders::ALL.len() {
        print_verdicts(&corpora, &verdicts);
    }
}

/// Runs all contenders `rounds` times, a different one first each time. The first round only warms
/// up.
fn measure(input: &Bytes, size: usize, rounds: usize, contenders: &[Contender]) -> Rates {
    let mut rates = Rates::new();
    for round in 0..=rounds {
        for turn in 0..contenders.len() {
            let contender = contenders[(turn + round) % contenders.len()];
            let given = Input { whole: input.clone(), chunks: chunks(input, size) };
            let start = thread_cpu();
            std::hint::black_box((contender.run)(given));
            let took = thread_cpu() - start;
            if round > 0 {
                let rate = input.len() as f64 / took.as_secs_f64() / 1e6;
                rates.entry(contender.name).or_default().push(rate);
            }
        }
    }
    rates
}

/// Checks that all parsers count the same events: a parser must not be fast by losing some.
fn check_counts(corpus: &str, input: &Bytes, size: usize, contenders: &[Contender]) {
    let count = |contender: &Contender| (contender.run)(Input { whole: input.clone(), chunks: chunks(input, size) });
    let parsers: Vec<_> = contenders.iter().filter(|contender| contender.side != Side::Limit).collect();
    let counts: Vec<usize> = parsers.iter().map(|contender| count(contender)).collect();
    for (parser, events) in parsers.iter().zip(&counts) {
        assert_eq!(Some(events), counts.last(), "{}: {corpus} in chunks of {size}", parser.name);
    }
    println!("{corpus}, {} bytes in chunks of {size}: all count {} events", input.len(), counts.last().unwrap_or(&0));
}

fn cell(rates: &[f64]) -> String {
    format!("{:.0} ({:.0})", median(rates), least(rates))
}

/// Prints our rate by the best other parser's: a row per chunk size.
fn print_verdicts(corpora: &[(Corpus, Bytes)], measured: &[(usize, Vec<Rates>)]) {
    println!("\n### Ours / best peer, median of the rounds' ratios (bar: {BAR}x)\n");
    println!("Comments are skipped. The last column: heartbeats with comments wanted, against sse-core.\n");
    head(corpora.iter().map(|(corpus, _)| corpus.name).chain(["geometric mean", "comments wanted"]));
    for (size, rates) in measured {
        let (cells, ratios): (Vec<_>, Vec<_>) = rates.iter().map(verdict).unzip();
        let mean = at_least(geometric_mean(&ratios), mean_bar(*size));
        let heartbeats = corpora.iter().zip(rates).find(|((corpus, _), _)| corpus.name == "heartbeats");
        let wanted = heartbeats.map(|(_, rates)| paired(rates, OURS_WITH_COMMENTS, SSE_CORE));
        let wanted = wanted.map_or_else(String::new, |ratio| format!("{ratio:.2}x"));
        row(&format!("chunks of {size}"), cells.into_iter().chain([mean, wanted]));
    }
}

/// Returns the text of a cell, and its ratio.
fn verdict(rates: &Rates) -> (String, f64) {
    let (ratio, best) = contenders::ALL
        .iter()
        .filter(|contender| contender.side == Side::Peer)
        .map(|peer| (paired(rates, OURS, peer.name), peer.name))
        .min_by(|one, other| one.0.total_cmp(&other.0))
        .expect("there are peers");
    let by = best.split(' ').next().unwrap_or_default();
    (format!("{} ({by})", at_least(ratio, BAR)), ratio)
}

/// Returns the median over the rounds of our rate by the other parser's in the same round. A
/// machine that changes its speed between rounds changes both.
fn paired(rates: &Rates, ours: &str, peer: &str) -> f64 {
    let ratios: Vec<f64> = rates[ours].iter().zip(&rates[peer]).map(|(ours, peer)| ours / peer).collect();
    median(&ratios)
}
