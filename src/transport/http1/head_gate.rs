//! [`HeadGate`]: a connection as hyper sees it. hyper reads the heads of responses from it, and not
//! one byte of a body.

use std::future::Future as _;
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, ReadHalf, WriteHalf, split};

use crate::error::Error;

use super::super::connector::Io;
use super::received_head::{MAX_HEAD, ReceivedHead, disagreement, only_empty_lines, too_long};

/// Minimum size of the buffer for one read.
pub(super) const MIN_READ: usize = 8 * 1024;

/// Where a head says HTTP/1.0 or HTTP/1.1.
const MINOR_VERSION: usize = "HTTP/1.".len();

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
    /// `None` once [`GateHandle::take_over`] took it.
    read: Option<ReadHalf<Box<dyn Io>>>,
    /// Heads, and what came together with them.
    received: BytesMut,
    /// How many of these bytes belong to a complete head, and are for hyper.
    released: usize,
    /// The last byte of the final head is still held back: see [`GateHandle::release_end`].
    holds_end: bool,
    /// How many of these bytes were looked at, and do not complete a head.
    searched: usize,
    /// How many bytes of empty lines came before heads, and are no longer there.
    skipped: usize,
    /// The final head, or why there is none.
    head: Option<Result<ReceivedHead, Error>>,
    /// Everything that hyper has written is sent.
    pub(super) flushed: bool,
}

impl HeadGate {
    /// Splits a connection into hyper's side and ours.
    pub(super) fn new(io: Box<dyn Io>) -> (Self, GateHandle) {
        let (read, write) = split(io);
        let received = BytesMut::new();
        let state = GateState {
            read: Some(read),
            received,
            released: 0,
            holds_end: false,
            searched: 0,
            skipped: 0,
            head: None,
            flushed: false,
        };
        let handle = GateHandle(Arc::new(Mutex::new(state)));
        (Self { handle: handle.clone(), write }, handle)
    }
}

/// A connection on which a response head has come.
pub(super) struct AfterHead {
    pub(super) head: ReceivedHead,
    pub(super) read: ReadHalf<Box<dyn Io>>,
    /// Bytes of the body that came together with the head.
    pub(super) rest: BytesMut,
}

impl GateHandle {
    /// Releases the last byte of the final head once hyper has read the rest. Returns false if
    /// there is none.
    ///
    /// Called when hyper waits for it. Were the head shorter to hyper, it would have a response by
    /// now, and take the next bytes for the body's.
    pub(super) fn release_end(&self) -> bool {
        let mut state = self.lock();
        let is_waited_for = state.released == 0 && mem::take(&mut state.holds_end);
        state.released += usize::from(is_waited_for);
        is_waited_for
    }

    /// Takes the connection over from hyper, once hyper has read a head.
    ///
    /// # Errors
    ///
    /// `Protocol` if hyper did not read the whole head for it.
    pub(super) fn take_over(&self) -> Result<AfterHead, Error> {
        let mut state = self.lock();
        match (state.head.take(), state.read.take()) {
            (Some(Ok(head)), Some(read)) if state.released == 0 && !state.holds_end => {
                Ok(AfterHead { head, read, rest: mem::take(&mut state.received) })
            }
            _ => Err(disagreement("hyper takes it for complete, httparse does not")),
        }
    }

    /// Takes the reason why the head was not passed on to hyper, if there is one.
    pub(super) fn take_error(&self) -> Option<Error> {
        self.lock().head.take_if(|head| head.is_err())?.err()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, GateState> {
        // The state is consistent between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl GateHandle {
    /// Takes so many bytes for a head, wherever that ends; for an interim one without `head`.
    pub(super) fn set_head(&self, received: &[u8], length: usize, head: Option<ReceivedHead>) {
        let mut state = self.lock();
        state.received = received.into();
        state.release(length, head.is_some());
        state.head = head.map(Ok);
    }
}

impl GateState {
    /// Reads until a head is complete, or the connection ends.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.released == 0 {
            // The bytes after the final head are not for hyper, which is never woken for them. This
            // is not the end of the connection, for which hyper would give up sending the request.
            let (Some(read), None) = (&mut self.read, &self.head) else { return Poll::Pending };
            if self.searched < self.received.len() {
                self.find_head()?;
            } else if self.received.len() >= MAX_HEAD {
                return Poll::Ready(Err(self.fail(too_long())));
            } else {
                self.received.reserve(MIN_READ);
                if ready!(pin!(read.read_buf(&mut self.received)).poll(cx))? == 0 {
                    // hyper reports that the head is not complete.
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Releases the head, if all of it has come.
    fn find_head(&mut self) -> io::Result<()> {
        // Empty lines before a head mean nothing (RFC 9112, section 2.2).
        while let [b'\n', ..] | [b'\r', b'\n', ..] = self.received[..] {
            let length = if self.received[0] == b'\n' { 1 } else { 2 };
            self.received.advance(length);
            self.searched = 0;
            self.skipped += length;
        }
        if self.skipped > MAX_HEAD {
            return Err(self.fail(only_empty_lines()));
        }
        let searched = mem::replace(&mut self.searched, self.received.len());
        // Parsing starts at the beginning, so it has to be rare. The first bytes are parsed at
        // once, since they may be of another protocol.
        if self.received.is_empty() || searched > 0 && !has_blank_line(&self.received, searched) {
            return Ok(());
        }
        match ReceivedHead::parse(&self.received) {
            Ok(None) => {}
            Ok(Some(head)) => {
                // hyper refuses chunks in a response of HTTP/1.0. Servers send them, and other
                // clients take them.
                self.received[MINOR_VERSION] = b'1';
                let is_final = !head.is_interim();
                self.release(head.length, is_final);
                self.head = is_final.then_some(Ok(head));
            }
            Err(error) => return Err(self.fail(error)),
        }
        Ok(())
    }

    /// Releases a head, but not the last byte of the final one. After the others comes no body.
    fn release(&mut self, length: usize, is_final: bool) {
        (self.released, self.holds_end, self.searched) = (length - usize::from(is_final), is_final, 0);
    }

    /// Keeps the error, in the place of which hyper gets one that ends it.
    fn fail(&mut self, error: Error) -> io::Error {
        self.head = Some(Err(error));
        io::ErrorKind::InvalidData.into()
    }
}

/// Returns true if one of the lines that end after `start` is empty. More than one CR before the
/// end is no empty line, but an error that the parser finds.
fn has_blank_line(bytes: &[u8], start: usize) -> bool {
    let is_blank = |line: &[u8]| line.iter().rev().find(|&&byte| byte != b'\r').is_none_or(|&byte| byte == b'\n');
    memchr::memchr_iter(b'\n', &bytes[start..]).any(|end| is_blank(&bytes[..start + end]))
}

impl AsyncRead for HeadGate {
    /// Passes on the bytes of complete heads.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.handle.lock();
        ready!(state.poll_head(cx))?;
        let count = state.released.min(buf.remaining());
        buf.put_slice(&state.received[..count]);
        state.received.advance(count);
        state.released -= count;
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
