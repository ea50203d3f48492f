//! The decoder as the connection task uses it: in turns with room for some frames, where each chunk
//! is released as soon as it has been read to its end.

use super::{Decoder, Frame};

/// Pieces to make streams of, with line ends of all kinds.
const PIECES: [&str; 16] = [
    "data: a\n",
    "data: bb\r\n",
    "data\r",
    "data: ",
    "id: 7\n",
    "id: 8\r\n",
    "id\n",
    "event: x\n",
    "retry: 5\n",
    "retry: 60",
    ": a comment\n",
    ":",
    "other: y\r\n",
    "\n",
    "\r\n",
    "\r",
];

fn shown(frame: Frame<'_>) -> String {
    format!("{frame:?}")
}

/// Returns all frames of a stream that is pushed in one piece and pulled one by one.
fn at_once(stream: &str) -> Vec<String> {
    let mut decoder = Decoder::new().comments(true);
    decoder.push(stream.to_owned().into());
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next_frame() {
        frames.push(shown(frame));
    }
    frames
}

/// Returns all frames of the chunks, read in turns with room for up to `most` frames.
fn in_turns(chunks: &[&str], most: usize, random: &mut fastrand::Rng) -> Vec<String> {
    let mut decoder = Decoder::new().comments(true);
    let mut taken = Vec::new();
    for chunk in chunks {
        decoder.push((*chunk).to_owned().into());
        let mut drained = false;
        while !drained {
            let room = random.usize(1..=most);
            let mut frames = decoder.frames();
            for _ in 0..room {
                match frames.next_frame() {
                    Some(frame) => taken.push(shown(frame)),
                    None => drained = true,
                }
                if drained {
                    break;
                }
            }
            drop(frames);
            decoder.let_go();
        }
    }
    taken
}

#[test]
fn a_turn_may_end_after_any_frame() {
    let mut random = fastrand::Rng::with_seed(1);
    for case in 0..50_000 {
        let mut stream: String = (0..random.usize(1..14)).map(|_| PIECES[random.usize(..PIECES.len())]).collect();
        if case % 50 == 0 {
            // Too long to be kept for the next chunk.
            stream = stream.replacen("data: a", &format!("data: {}", "a".repeat(random.usize(4000..9000))), 2);
        }
        let mut chunks = Vec::new();
        let mut rest = stream.as_str();
        while !rest.is_empty() {
            let (chunk, others) = rest.split_at(random.usize(1..=rest.len().min(24)));
            chunks.push(chunk);
            rest = others;
        }
        let most = random.usize(1..=3);
        assert_eq!(in_turns(&chunks, most, &mut random), at_once(&stream), "{chunks:?}, {most} at most");
    }
}
