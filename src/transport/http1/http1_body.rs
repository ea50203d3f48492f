//! [`Http1Body`]: the body of a response, read from the connection as it comes.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, ReadHalf};

use super::super::connector::Io;
use super::body_framing::Framing;
use super::head_gate::{AfterHead, MIN_READ};
use super::request_sender::RequestSender;

/// Maximum size of the buffer for one read. It grows while the server fills it, and is freed when
/// the server falls silent.
///
/// Each read is a system call, after which the kernel lets the server send more. With 64 KiB a
/// flood takes a quarter to a third more processor time. hyper's limit is about 400 KiB.
const MAX_READ: usize = 512 * 1024;

/// The body of a response. Dropping it closes the connection.
pub(in crate::transport) struct Http1Body {
    read: ReadHalf<Box<dyn Io>>,
    buffer: BytesMut,
    read_size: usize,
    framing: Framing,
    /// Present until the whole request is sent: a server may answer before.
    sender: Option<Box<RequestSender>>,
}

impl Http1Body {
    /// Makes the body of a response whose head has come. `sender` is there if the request is not
    /// sent yet.
    pub(super) fn new(received: AfterHead, framing: Framing, sender: Option<Box<RequestSender>>) -> Self {
        let AfterHead { read, rest, .. } = received;
        Self { read, buffer: rest, read_size: MIN_READ, framing, sender }
    }

    /// Polls for the next bytes of the body, as many as have come; `None` at its end. Trailers are
    /// skipped.
    pub(in crate::transport) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        // Checked before the call, which is rare, to keep the common path short.
        if self.sender.is_some() {
            self.send_rest(cx);
        }
        loop {
            match self.framing.take(&mut self.buffer) {
                Ok(data) if !data.is_empty() => return Poll::Ready(Some(Ok(data))),
                Ok(_) if self.framing.is_complete() => return Poll::Ready(None),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match self.poll_read(cx) {
                // The end of the connection completes a body only if its framing says so.
                Poll::Ready(Ok(0)) => return Poll::Ready(self.framing.cut_off_error().map(Err)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => {
                    // Streams are silent most of the time, and hold no buffer then. Only an
                    // unfinished line between chunks, or the trailers so far, are kept.
                    self.buffer = BytesMut::from(&*self.buffer);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Reads into the buffer, as much as fits, and adapts the size of the next read. Zero bytes
    /// mean the end of the connection.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Self { read, buffer, .. } = self;
        let room = self.read_size.saturating_sub(buffer.len()).max(MIN_READ);
        // Takes the memory of the last read again, if it is large enough and the decoder has let go
        // of it. `reserve` would double it instead of replacing it.
        if !buffer.try_reclaim(room) {
            let mut larger = BytesMut::with_capacity(buffer.len() + room);
            larger.extend_from_slice(buffer);
            *buffer = larger;
        }
        let space = buffer.capacity() - buffer.len();
        let count = ready!(pin!(read.read_buf(buffer)).poll(cx))?;
        // A read that fills the buffer has left bytes behind, so the next one may be larger. One
        // that needs less than a quarter is from a server that sends little at a time.
        if count == space {
            self.read_size = (2 * self.read_size).min(MAX_READ);
        } else if count < self.read_size / 4 {
            self.read_size = (self.read_size / 2).max(MIN_READ);
        }
        Poll::Ready(Ok(count))
    }

    /// Sends the rest of the request. Rare: most requests are sent before the head comes.
    #[cold]
    fn send_rest(&mut self, cx: &mut Context<'_>) {
        self.sender.take_if(|sender| {
            sender.poll(cx);
            sender.is_done()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncWriteExt as _, duplex};
    use tokio_test::task::spawn;

    use super::super::comparison::request;
    use super::super::exchange::send;
    use super::*;

    #[tokio::test]
    async fn a_read_is_limited_and_silence_gives_its_memory_back() {
        let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
        // It falls silent between two chunks, and within the line before one.
        for rest in ["", "40"] {
            let (client, mut server) = duplex(16 << 20);
            let answer = async {
                server.read_buf(&mut BytesMut::new()).await.unwrap();
                server.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
                server.write_all((chunk.repeat(512) + rest).as_bytes()).await.unwrap();
            };
            let (sent, ()) = tokio::join!(send(Box::new(client), request()), answer);
            let (_head, mut body) = sent.unwrap();
            let (mut longest, mut read) = (0, 0);
            while read < 512 * 0x4000 {
                let piece = poll_fn(|cx| body.poll_data(cx)).await.unwrap().unwrap();
                (longest, read) = (longest.max(piece.len()), read + piece.len());
            }
            assert!((MAX_READ / 2..=MAX_READ).contains(&longest), "{longest} bytes at once");
            assert!(spawn(poll_fn(|cx| body.poll_data(cx))).poll().is_pending());
            assert_eq!((&*body.buffer, body.buffer.capacity()), (rest.as_bytes(), rest.len()));
        }
    }
}
