//! [`HeadsOnly`]: a connection as hyper sees it, with the heads of responses to read, and not a byte of a body.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf, split};

use crate::transport::Io;

pub(super) struct HeadsOnly {
    gate: Gate,
    write: WriteHalf<Box<dyn Io>>,
}

/// What hyper's side and ours have in common.
#[derive(Clone)]
pub(super) struct Gate(Arc<Mutex<Shared>>);

struct Shared {
    /// `None` once it was taken to read the body.
    heads: Option<Heads>,
    /// Nothing that hyper has written is still to be sent.
    flushed: bool,
}

struct Heads {
    read: ReadHalf<Box<dyn Io>>,
    /// What came together with a head, and after it.
    rest: BytesMut,
    scan: Scan,
}

impl HeadsOnly {
    pub(super) fn new(io: Box<dyn Io>) -> (Self, Gate) {
        let (read, write) = split(io);
        let heads = Heads { read, rest: BytesMut::new(), scan: Scan::default() };
        let gate = Gate(Arc::new(Mutex::new(Shared { heads: Some(heads), flushed: false })));
        (Self { gate: gate.clone(), write }, gate)
    }
}

impl Gate {
    /// What follows the last head: bytes that came already, and where more come from. Only once.
    pub(super) fn take(&self) -> Option<(ReadHalf<Box<dyn Io>>, BytesMut)> {
        self.lock().heads.take().map(|heads| (heads.read, heads.rest))
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.lock().flushed
    }

    fn set_flushed(&self, flushed: bool) {
        self.lock().flushed = flushed;
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // It is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heads {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.scan.is_over() {
            // hyper is never to be woken for what follows: that is not for it.
            return Poll::Pending;
        }
        if self.rest.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.read).poll_read(cx, buf))?;
            let head = before + self.scan.head(&buf.filled()[before..]);
            self.rest.extend_from_slice(&buf.filled()[head..]);
            buf.set_filled(head);
        } else {
            let most = self.rest.len().min(buf.remaining());
            let head = self.scan.head(&self.rest[..most]);
            buf.put_slice(&self.rest.split_to(head));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for HeadsOnly {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.gate.lock().heads {
            Some(heads) => heads.poll_read(cx, buf),
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for HeadsOnly {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.gate.set_flushed(false);
        Pin::new(&mut self.write).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.gate.set_flushed(false);
        Pin::new(&mut self.write).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.write.is_write_vectored()
    }

    /// hyper flushes when it has written all that it has.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.write).poll_flush(cx))?;
        self.gate.set_flushed(true);
        Poll::Ready(Ok(()))
    }

    /// hyper is done once it can read no more, and it cannot: but servers take a half-closed connection for a client
    /// that has gone. It is closed when it is dropped.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// Where the head of the final response ends (RFC 9112, section 2.1), whatever pieces it comes in. Lines may end with
/// LF alone, as hyper has it; whether a head is one at all is for hyper to say.
#[derive(Debug, Default)]
struct Scan {
    /// The status line has come: an empty line before it means nothing.
    begun: bool,
    /// Bytes of the line so far, CR aside.
    line: usize,
    /// What the status line begins with, as in `HTTP/1.1 200`.
    status: [u8; STATUS_END],
    over: bool,
}

/// Where the three digits of the status begin and end in a status line.
const STATUS: usize = 9;
const STATUS_END: usize = STATUS + 3;

impl Scan {
    fn is_over(&self) -> bool {
        self.over
    }

    /// How many of these bytes, which come next, belong to the head, or to the next if an interim one was before it.
    fn head(&mut self, bytes: &[u8]) -> usize {
        let end = bytes.iter().position(|&byte| self.ends_with(byte));
        end.map_or(bytes.len(), |last| {
            let is_interim = self.is_interim();
            *self = Self { over: !is_interim, ..Self::default() };
            last + 1
        })
    }

    fn ends_with(&mut self, byte: u8) -> bool {
        match byte {
            b'\n' if self.line == 0 => return self.begun,
            b'\n' => (self.begun, self.line) = (true, 0),
            b'\r' => {}
            _ => {
                if let (false, Some(status)) = (self.begun, self.status.get_mut(self.line)) {
                    *status = byte;
                }
                self.line += 1;
            }
        }
        false
    }

    /// 1xx: another response follows, but for 101, after which it is HTTP no more (RFC 9110, section 15.2).
    fn is_interim(&self) -> bool {
        let status = &self.status[STATUS..];
        status[0] == b'1' && status != b"101"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINAL: &str = "HTTP/1.1 200 OK\r\na: b\r\n\r\n";

    /// The bytes given to hyper, in total, when they come in pieces of this size.
    fn handed_out(bytes: &str, size: usize) -> usize {
        let mut scan = Scan::default();
        let mut total = 0;
        for piece in bytes.as_bytes().chunks(size) {
            let mut rest = piece;
            while !rest.is_empty() && !scan.is_over() {
                let head = scan.head(rest);
                rest = &rest[head..];
                total += head;
            }
        }
        total
    }

    #[test]
    fn hyper_gets_every_head_and_nothing_of_a_body_however_it_is_cut() {
        let heads = [
            FINAL.to_owned(),
            "HTTP/1.1 200 OK\n\n".to_owned(),
            "HTTP/1.0 404 \r\na:\r\n\n".to_owned(),
            "\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".to_owned(),
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n".to_owned(),
            format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n{FINAL}"),
        ];
        for head in heads {
            for body in ["", "data: x\n\n", "\r\n\r\n", "\n", FINAL] {
                let all = format!("{head}{body}");
                for size in 1..=all.len() {
                    assert_eq!(handed_out(&all, size), head.len(), "{all:?} in pieces of {size}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_head_is_handed_on_for_hyper_to_refuse() {
        for garbage in ["SSH-2.0-OpenSSH\r\n", "HTTP/1.1", "\r\n\r\n\r\n", "1\n2\n3\n"] {
            assert_eq!(handed_out(garbage, 3), garbage.len(), "{garbage:?}");
        }
    }
}
