//! One encoder for each content coding that this build decodes.

use std::io::Write;

/// A coding that this build decodes.
pub struct Coding {
    pub name: &'static str,
    pub encoder: fn() -> Box<dyn Encoder>,
}

/// All codings that this build decodes, in the order of `Accept-Encoding`.
pub const CODINGS: &[Coding] = &[
    #[cfg(feature = "gzip")]
    Coding {
        name: "gzip",
        encoder: || Box::new(Some(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best()))),
    },
    #[cfg(feature = "brotli")]
    Coding { name: "br", encoder: || Box::new(Some(brotli::CompressorWriter::new(Vec::new(), 4096, 5, 18))) },
    #[cfg(feature = "zstd")]
    Coding { name: "zstd", encoder: || Box::new(Some(zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap())) },
];

pub trait Encoder: Send {
    /// Encodes `text`, and returns all bytes that are needed to decode it.
    fn flush(&mut self, text: &str) -> Vec<u8>;

    /// Ends the encoding, and returns the rest of the bytes.
    fn finish(&mut self) -> Vec<u8>;
}

/// A writer that is finished by value, as in all three libraries.
trait Writer: Write + Send {
    fn written(&mut self) -> &mut Vec<u8>;
    fn end(self) -> Vec<u8>;
}

#[cfg(feature = "gzip")]
impl Writer for flate2::write::GzEncoder<Vec<u8>> {
    fn written(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn end(self) -> Vec<u8> {
        self.finish().unwrap()
    }
}

#[cfg(feature = "brotli")]
impl Writer for brotli::CompressorWriter<Vec<u8>> {
    fn written(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn end(self) -> Vec<u8> {
        self.into_inner()
    }
}

#[cfg(feature = "zstd")]
impl Writer for zstd::stream::write::Encoder<'static, Vec<u8>> {
    fn written(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn end(self) -> Vec<u8> {
        self.finish().unwrap()
    }
}

impl<W: Writer> Encoder for Option<W> {
    fn flush(&mut self, text: &str) -> Vec<u8> {
        let writer = self.as_mut().unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        Write::flush(writer).unwrap();
        std::mem::take(writer.written())
    }

    fn finish(&mut self) -> Vec<u8> {
        self.take().unwrap().end()
    }
}

impl Coding {
    /// Encodes a whole body.
    pub fn encode(&self, text: &str) -> Vec<u8> {
        let mut encoder = (self.encoder)();
        let mut body = encoder.flush(text);
        body.extend(encoder.finish());
        body
    }

    /// The head of an open stream with this coding.
    pub fn open(&self) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: {}\r\n\r\n", self.name)
    }
}
