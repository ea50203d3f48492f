//! [`Decompressor`] and its implementations, one for each content coding.
//!
//! To add a coding: a feature in `Cargo.toml`, its name in [`CODINGS`], an arm in
//! [`decompressor`], an implementation below, and an encoder in this folder's tests.

#[cfg(feature = "brotli")]
use alloc_stdlib::StandardAlloc;
#[cfg(feature = "brotli")]
use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState};
#[cfg(feature = "gzip")]
use flate2::{Decompress, FlushDecompress, Status};
#[cfg(feature = "zstd")]
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

/// The codings that this build decodes, and asks servers for.
pub(super) const CODINGS: &[&str] = &[
    #[cfg(feature = "gzip")]
    "gzip",
    #[cfg(feature = "brotli")]
    "br",
    #[cfg(feature = "zstd")]
    "zstd",
];

/// A decompressor: bytes in, bytes out, no more of either than the caller gives.
pub(super) trait Decompressor: Send + Sync {
    /// Decodes from `input` into `output` until one of them is used up.
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> DecodeStep;
}

/// Why a decompressor failed, in its own words.
pub(super) type CodecError = Box<dyn std::error::Error + Send + Sync>;

/// The result of one call of a [`Decompressor`]. The counts are valid also if it failed.
pub(super) struct DecodeStep {
    pub(super) read: usize,
    pub(super) written: usize,
    /// True if the body may end here.
    pub(super) outcome: Result<bool, CodecError>,
}

/// Returns the decompressor for a coding, and the coding's proper name.
pub(super) fn decompressor(coding: &str) -> Option<(&'static str, Box<dyn Decompressor>)> {
    match coding.to_ascii_lowercase().as_str() {
        // `x-gzip` is the name from before its registration (RFC 9110, section 8.4.1.3).
        #[cfg(feature = "gzip")]
        "gzip" | "x-gzip" => Some(("gzip", Box::new(gzip_member()))),
        #[cfg(feature = "brotli")]
        "br" => Some(("brotli", Box::new(Brotli::new()))),
        #[cfg(feature = "zstd")]
        "zstd" => Some(("zstd", Box::new(zstd_decoder().ok()?))),
        _ => None,
    }
}

/// Returns the decoder of one gzip member, with the largest window that gzip has: 32 KiB.
#[cfg(feature = "gzip")]
fn gzip_member() -> Decompress {
    Decompress::new_gzip(15)
}

/// gzip (RFC 1952). A body is any number of members in a row, because some servers make one member
/// per flush. Other bytes after a member are an error, where other decoders stop reading: a stream
/// that is not read any more must not look alive.
#[cfg(feature = "gzip")]
impl Decompressor for Decompress {
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> DecodeStep {
        let (read, written) = (self.total_in(), self.total_out());
        let status = self.decompress(input, output, FlushDecompress::None);
        let since = |total: u64, before: u64| usize::try_from(total - before).unwrap_or(usize::MAX);
        let (read, written) = (since(self.total_in(), read), since(self.total_out(), written));
        let ended = matches!(status, Ok(Status::StreamEnd));
        if ended {
            // The next member has a header and a checksum of its own.
            *self = gzip_member();
        }
        DecodeStep { read, written, outcome: status.map(|_| ended).map_err(Into::into) }
    }
}

/// Brotli (RFC 7932).
#[cfg(feature = "brotli")]
struct Brotli {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    ended: bool,
}

#[cfg(feature = "brotli")]
impl Brotli {
    fn new() -> Self {
        let alloc = StandardAlloc::default;
        // Strict: windows of up to 16 MiB, which is all that the coding allows, not of a gigabyte.
        Self { state: Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())), ended: false }
    }
}

#[cfg(feature = "brotli")]
impl Decompressor for Brotli {
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> DecodeStep {
        if self.ended {
            // The library would ignore bytes after the end, and the stream would look alive.
            let outcome = if input.is_empty() { Ok(true) } else { Err("more bytes follow its end".into()) };
            return DecodeStep { read: 0, written: 0, outcome };
        }
        let (mut read, mut written, mut total) = (0, 0, 0);
        let result = BrotliDecompressStream(
            &mut input.len(),
            &mut read,
            input,
            &mut output.len(),
            &mut written,
            output,
            &mut total,
            &mut self.state,
        );
        self.ended = matches!(result, BrotliResult::ResultSuccess);
        let outcome = match result {
            BrotliResult::ResultFailure => Err(format!("{:?}", self.state.error_code).into()),
            _ => Ok(self.ended),
        };
        DecodeStep { read, written, outcome }
    }
}

/// Returns a Zstandard decoder. Fails if there is no memory.
#[cfg(feature = "zstd")]
fn zstd_decoder() -> std::io::Result<Decoder<'static>> {
    let mut decoder = Decoder::new()?;
    // The largest window that servers may ask of a client (RFC 9659, section 3): 8 MiB.
    decoder.set_parameter(DParameter::WindowLogMax(23))?;
    Ok(decoder)
}

/// Zstandard (RFC 8878). A body is any number of frames in a row.
#[cfg(feature = "zstd")]
impl Decompressor for Decoder<'static> {
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> DecodeStep {
        let (mut input, mut output) = (InBuffer::around(input), OutBuffer::around(output));
        let result = self.run(&mut input, &mut output);
        // Zero means that a frame has ended and all of it is written.
        DecodeStep {
            read: input.pos(),
            written: output.pos(),
            outcome: result.map(|hint| hint == 0).map_err(Into::into),
        }
    }
}
