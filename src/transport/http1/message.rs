//! [`Message`]: the body of a response, read as it comes.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, ReadHalf};

use crate::transport::Io;

use super::Sender;
use super::framing::{Framing, Taken};

/// What a read has room for, at first and at most: it grows while the server fills it, and is given back when the
/// server falls silent.
const LEAST_ROOM: usize = 8 * 1024;
const MOST_ROOM: usize = 64 * 1024;

/// Dropping it closes the connection.
pub(in crate::transport) struct Message {
    /// `None` only if the head was no response's, which hyper does not let through.
    read: Option<ReadHalf<Box<dyn Io>>>,
    buffer: BytesMut,
    room: usize,
    framing: Framing,
    /// Until the whole request has gone out: a server may answer before.
    sender: Option<Box<Sender>>,
}

impl Message {
    pub(super) fn new(sender: Sender, framing: Framing) -> Self {
        let (read, buffer) = sender.gate.take().map_or_else(Default::default, |(read, rest)| (Some(read), rest));
        let sender = (!sender.is_done()).then(|| Box::new(sender));
        Self { read, buffer, room: LEAST_ROOM, framing, sender }
    }

    /// The next bytes of the body, as many as have come; `None` at its end. Trailers are passed over.
    pub(in crate::transport) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.sender.is_some() {
            // However much the server has to say meanwhile.
            self.send(cx);
        }
        loop {
            match self.framing.take(&mut self.buffer) {
                Ok(Taken::Data(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(Taken::End) => return Poll::Ready(None),
                Ok(Taken::Nothing) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(self.framing.cut_off().map(Err)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => {
                    if self.buffer.is_empty() {
                        // Streams are silent most of the time: then they hold nothing.
                        self.buffer = BytesMut::new();
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Self { read: Some(read), buffer, .. } = self else { return Poll::Ready(Ok(0)) };
        buffer.reserve(self.room);
        let room = buffer.capacity() - buffer.len();
        let count = ready!(pin!(read.read_buf(buffer)).poll(cx))?;
        if count == room {
            self.room = (2 * self.room).min(MOST_ROOM);
        } else if count < self.room / 4 {
            self.room = (self.room / 2).max(LEAST_ROOM);
        }
        Poll::Ready(Ok(count))
    }

    #[cold]
    fn send(&mut self, cx: &mut Context<'_>) {
        if let Some(sender) = &mut self.sender {
            sender.poll(cx);
            if sender.is_done() {
                self.sender = None;
            }
        }
    }
}
