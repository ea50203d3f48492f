//! The nine inputs. Each looks like what servers send, and is the same in every run.

use std::fmt::Write;

use bytes::Bytes;

/// An input that is generated on demand.
#[derive(Clone, Copy)]
pub struct Corpus {
    pub name: &'static str,
    block: fn(&mut Text),
}

/// All corpora, in the order of the tables.
pub const ALL: [Corpus; 9] = [
    Corpus { name: "llm", block: llm },
    Corpus { name: "anthropic", block: anthropic },
    Corpus { name: "wikimedia", block: wikimedia },
    Corpus { name: "ticks", block: ticks },
    Corpus { name: "big", block: big },
    Corpus { name: "multiline", block: multiline },
    Corpus { name: "heartbeats", block: heartbeat },
    Corpus { name: "crlf", block: crlf },
    Corpus { name: "utf8heavy", block: utf8_heavy },
];

impl Corpus {
    /// Returns the corpus with this name.
    pub fn named(name: &str) -> Self {
        *ALL.iter().find(|corpus| corpus.name == name).unwrap_or_else(|| panic!("there is no corpus {name}"))
    }

    /// Returns whole blocks of at least `size` bytes in all.
    pub fn render(&self, size: usize) -> Bytes {
        self.blocks(size).concat().into()
    }

    /// Returns the same blocks one by one.
    pub fn blocks(&self, size: usize) -> Vec<Vec<u8>> {
        let mut text = Text { out: String::new(), random: SEED };
        let (mut blocks, mut total) = (Vec::new(), 0);
        while total < size {
            (self.block)(&mut text);
            let block = std::mem::take(&mut text.out).into_bytes();
            total += block.len();
            blocks.push(block);
        }
        blocks
    }
}

/// Cuts an input into chunks that share its memory, as chunks from hyper do.
pub fn chunks(input: &Bytes, size: usize) -> Vec<Bytes> {
    (0..input.len()).step_by(size).map(|at| input.slice(at..input.len().min(at + size))).collect()
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// Text under construction, and the random generator that varies it (xorshift64).
struct Text {
    out: String,
    random: u64,
}

impl Text {
    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 33) as usize % bound
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.below(WORDS.len())]
    }

    fn push(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.out.write_fmt(arguments).expect("a String takes everything");
    }

    /// Appends `length` bytes of words.
    fn prose(&mut self, length: usize) {
        let end = self.out.len() + length;
        while self.out.len() < end {
            let word = self.word();
            self.push(format_args!("{word} "));
        }
        self.out.truncate(end);
    }
}

const WORDS: [&str; 24] = [
    "a",
    "the",
    "stream",
    "of",
    "events",
    "server",
    "which",
    "keeps",
    "listening",
    "to",
    "an",
    "open",
    "connection",
    "and",
    "reads",
    "everyone",
    "comes",
    "next",
    "in",
    "order",
    "until",
    "somewhat",
    "says",
    "stop",
];

/// Appends one token of a chat completion in OpenAI's shape: about 225 bytes.
fn llm(text: &mut Text) {
    let word = text.word();
    text.push(format_args!(
        "data: {{\"id\":\"chatcmpl-AB9xYzQ1w2E3r4T5y6U7i8O9p0\",\"object\":\"chat.completion.chunk\",\
         \"created\":1732300800,\"model\":\"gpt-4o-mini\",\"system_fingerprint\":\"fp_0ba0d124f1\",\"choices\":\
         [{{\"index\":0,\"delta\":{{\"content\":\" {word}\"}},\"finish_reason\":null}}]}}\n\n"
    ));
}

/// Appends the same event as [`llm`], with CRLF.
fn crlf(text: &mut Text) {
    llm(text);
    text.out = text.out.replace('\n', "\r\n");
}

/// Appends one token in Anthropic's shape, with an event type: about 125 bytes.
fn anthropic(text: &mut Text) {
    let word = text.word();
    text.push(format_args!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
         \"delta\":{{\"type\":\"text_delta\",\"text\":\" {word}\"}}}}\n\n"
    ));
}

/// Appends an edit in Wikimedia's shape, with a type, a long ID, and a few letters outside ASCII:
/// about 1.4 KB.
fn wikimedia(text: &mut Text) {
    let (offset, page) = (text.below(1_000_000), text.below(90_000_000));
    text.push(format_args!(
        "event: message\nid: [{{\"topic\":\"eqiad.mediawiki.recentchange\",\"partition\":0,\"timestamp\":1732300{offset:06}}},\
         {{\"topic\":\"codfw.mediawiki.recentchange\",\"partition\":0,\"offset\":-1}}]\n\
         data: {{\"$schema\":\"/mediawiki/recentchange/1.0.0\",\"meta\":{{\"uri\":\"https://fr.wikipedia.org/wiki/\
         Cat%C3%A9gorie:{page}\",\"request_id\":\"f3b1a5c6-0c3e-4d8e-9a53-2b3c1d9e{page:08}\",\"domain\":\
         \"fr.wikipedia.org\",\"stream\":\"mediawiki.recentchange\",\"topic\":\"eqiad.mediawiki.recentchange\",\
         \"partition\":0,\"offset\":{offset}}},\"id\":{page},\"type\":\"edit\",\"namespace\":14,\"title\":\"Catégorie:Été à "
    ));
    let length = 120 + text.below(160);
    text.prose(length);
    text.push(format_args!("\",\"comment\":\"révision de "));
    text.prose(400);
    text.push(format_args!(
        "\",\"user\":\"Éléonore\",\"bot\":false,\"minor\":true,\"length\":{{\"old\":{page},\"new\":{page}}},\
         \"server_url\":\"https://fr.wikipedia.org\",\"wiki\":\"frwiki\"}}\n\n"
    ));
}

/// Appends a number: 13 bytes.
fn ticks(text: &mut Text) {
    let number = 10_000 + text.below(90_000);
    text.push(format_args!("data: {number}\n\n"));
}

/// Appends one line of 64 KiB.
fn big(text: &mut Text) {
    text.push(format_args!("data: "));
    text.prose(64 << 10);
    text.push(format_args!("\n\n"));
}

/// Appends twenty lines of 60 bytes.
fn multiline(text: &mut Text) {
    for _ in 0..20 {
        text.push(format_args!("data: "));
        text.prose(60);
        text.push(format_args!("\n"));
    }
    text.push(format_args!("\n"));
}

/// Appends a comment: 9 bytes, no event.
fn heartbeat(text: &mut Text) {
    text.push(format_args!(": alive\n\n"));
}

/// Appends Chinese text: about 510 bytes.
fn utf8_heavy(text: &mut Text) {
    const CHARACTERS: [char; 20] = [
        '服', '务', '器', '发', '送', '事', '件', '的', '流', '，', '客', '户', '端', '持', '续', '监', '听', '连',
        '接', '。',
    ];
    text.push(format_args!("data: {{\"delta\":\""));
    for _ in 0..155 + text.below(20) {
        let character = CHARACTERS[text.below(CHARACTERS.len())];
        text.out.push(character);
    }
    text.push(format_args!("\"}}\n\n"));
}
