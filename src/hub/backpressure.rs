//! [`Backpressure`]: when the publisher may publish.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

use super::Hub;
use super::readers::Verdict;
use super::room::Room;

/// The publisher's part in waiting for readers. The other is in the rings: a wait outlives who began it.
#[derive(Debug, Default)]
pub(crate) struct Backpressure {
    /// There was room after what was published last: the hub need not be asked.
    has_room: bool,
    /// Readers are being waited for.
    waiting: bool,
    /// When to see whether they move. Kept from wait to wait.
    look: Option<Pin<Box<Sleep>>>,
    /// Whether there is a time to look at.
    looks: bool,
    /// How many were given up, of whom nobody has been told.
    given_up: usize,
}

impl Backpressure {
    /// Ready when there is room for at least one item, with whether readers were waited for. One publisher at a time.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>, hub: &Hub) -> Poll<bool> {
        if self.has_room {
            return Poll::Ready(false);
        }
        let mut waited = false;
        loop {
            if !self.waiting {
                match hub.room() {
                    Room::Free => {
                        self.has_room = true;
                        return Poll::Ready(waited);
                    }
                    Room::Crowded => {
                        // To the end of the line.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Room::Full => self.hold(hub),
                }
            }
            std::task::ready!(self.poll_wait(cx, hub));
            self.waiting = false;
            waited = true;
        }
    }

    /// How many readers were given up since the last call: nothing was taken for their patience.
    pub(crate) fn take_given_up(&mut self) -> usize {
        std::mem::take(&mut self.given_up)
    }

    /// Whether what was published has left room for more.
    pub(crate) fn left(&mut self, has_room: bool) {
        self.has_room = has_room;
    }

    fn hold(&mut self, hub: &Hub) {
        self.waiting = true;
        let now = Instant::now();
        hub.hold(now);
        self.look_again(hub, now);
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>, hub: &Hub) -> Poll<()> {
        while hub.gate.poll(cx.waker()).is_pending() {
            match &mut self.look {
                Some(look) if self.looks => std::task::ready!(look.as_mut().poll(cx)),
                _ => return Poll::Pending,
            }
            self.look_again(hub, Instant::now());
        }
        Poll::Ready(())
    }

    fn look_again(&mut self, hub: &Hub, now: Instant) {
        let Verdict { given_up, look: at } = hub.judge(now);
        self.given_up += given_up;
        self.looks = at.is_some();
        match (at, &mut self.look) {
            (None, _) => {}
            (Some(at), Some(look)) => look.as_mut().reset(at),
            (Some(at), look) => *look = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }
}
