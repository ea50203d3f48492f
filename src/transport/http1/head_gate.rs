//! [`HeadGate`]: a connection as hyper sees it. hyper reads the heads of responses from it, and not
//! one byte of a body.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf, split};

use super::super::connector::Io;

/// The connection that hyper reads and writes.
pub(super) struct HeadGate {
    handle: GateHandle,
    write: WriteHalf<Box<dyn Io>>,
}

/// Our side of a [`HeadGate`]: takes the connection over when the head is complete.
#[derive(Clone)]
pub(super) struct GateHandle(Arc<Mutex<GateState>>);

/// The state that both sides share.
pub(super) struct GateState {
    /// `None` once [`GateHandle::take_read_half`] took it.
    read: Option<ReadHalf<Box<dyn Io>>>,
    /// Bytes after a head that came together with it.
    rest: BytesMut,
    scanner: HeadScanner,
    /// Everything that hyper has written is sent.
    pub(super) flushed: bool,
}

impl HeadGate {
    /// Splits a connection into hyper's side and ours.
    pub(super) fn new(io: Box<dyn Io>) -> (Self, GateHandle) {
        let (read, write) = split(io);
        let scanner = HeadScanner::default();
        let state = GateState { read: Some(read), rest: BytesMut::new(), scanner, flushed: false };
        let handle = GateHandle(Arc::new(Mutex::new(state)));
        (Self { handle: handle.clone(), write }, handle)
    }
}

impl GateHandle {
    /// Takes the connection's read half, and the bytes that came after the last head. Only once.
    pub(super) fn take_read_half(&self) -> (Option<ReadHalf<Box<dyn Io>>>, BytesMut) {
        let mut state = self.lock();
        (state.read.take(), std::mem::take(&mut state.rest))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, GateState> {
        // The state is consistent between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for HeadGate {
    /// Reads bytes of a head into hyper's buffer, and keeps those after it.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let GateState { read, rest, scanner, .. } = &mut *self.handle.lock();
        // The bytes after the final head are not for hyper, which is never woken for them. This is
        // not the end of the connection, for which hyper would give up sending the request.
        let Some(read) = read.as_mut().filter(|_| !scanner.over) else { return Poll::Pending };
        if rest.is_empty() {
            // hyper's buffer may hold the beginning of the head already.
            let before = buf.filled().len();
            ready!(Pin::new(read).poll_read(cx, buf))?;
            let head = before + scanner.head_length(&buf.filled()[before..]);
            // These bytes have left the socket, so the reader of the body has to find them here.
            rest.extend_from_slice(&buf.filled()[head..]);
            buf.set_filled(head);
        } else {
            // After an interim head, the next head may have come together with it.
            let max = rest.len().min(buf.remaining());
            let head = scanner.head_length(&rest[..max]);
            buf.put_slice(&rest.split_to(head));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HeadGate {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        // Before the write: a write that is only queued in TLS counts as not sent.
        self.handle.lock().flushed = false;
        Pin::new(&mut self.write).poll_write(cx, data)
    }

    /// hyper flushes after it has written everything it has.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.write).poll_flush(cx))?;
        self.handle.lock().flushed = true;
        Poll::Ready(Ok(()))
    }

    /// Keeps the write half open. hyper shuts it down once it can read no more, which is always so
    /// here, but servers take a half-closed connection for a client that has gone.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// Finds where the head of the final response ends (RFC 9112, section 2.1), in whichever pieces it
/// comes. Lines may end with LF alone, as hyper accepts it. hyper judges whether it is a valid
/// head.
#[derive(Debug, Default)]
struct HeadScanner {
    /// The status line has come. An empty line before it means nothing.
    begun: bool,
    /// Bytes of the line so far, without CR.
    line: usize,
    /// The beginning of the status line, as in `HTTP/1.1 200`.
    status: [u8; STATUS_END],
    /// The final head is complete.
    over: bool,
}

/// The positions at which the three digits of the status begin and end in a status line.
const STATUS: usize = 9;
const STATUS_END: usize = STATUS + 3;

impl HeadScanner {
    /// Returns how many of the next bytes belong to this head. After an interim head the next one
    /// begins.
    fn head_length(&mut self, bytes: &[u8]) -> usize {
        let end = bytes.iter().position(|&byte| self.ends_with(byte));
        end.map_or(bytes.len(), |last| {
            let is_interim = self.is_interim();
            *self = Self { over: !is_interim, ..Self::default() };
            last + 1
        })
    }

    /// Takes one byte; returns true if the head ends with it.
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

    /// Returns true for 1xx: another response follows. After 101 no HTTP follows (RFC 9110, section
    /// 15.2).
    fn is_interim(&self) -> bool {
        let status = &self.status[STATUS..];
        status[0] == b'1' && status != b"101"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINAL: &str = "HTTP/1.1 200 OK\r\na: b\r\n\r\n";

    /// Returns how many bytes hyper gets, when they come in pieces of this size.
    fn handed_out(bytes: &str, size: usize) -> usize {
        let mut scanner = HeadScanner::default();
        let mut total = 0;
        for piece in bytes.as_bytes().chunks(size) {
            let mut rest = piece;
            while !rest.is_empty() && !scanner.over {
                let head = scanner.head_length(rest);
                rest = &rest[head..];
                total += head;
            }
        }
        total
    }

    #[test]
    fn hyper_gets_every_head_and_no_byte_of_a_body() {
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
    fn bytes_that_are_no_head_are_left_for_hyper_to_refuse() {
        for garbage in ["SSH-2.0-OpenSSH\r\n", "HTTP/1.1", "\r\n\r\n\r\n", "1\n2\n3\n"] {
            assert_eq!(handed_out(garbage, 3), garbage.len(), "{garbage:?}");
        }
    }
}
