//! [`Inbox`]: what the server sends by itself.

use sseclient::{Delivery, Subscription};
use tokio::sync::mpsc;

use crate::error::McpError;
use crate::message::{Envelope, Message};

/// The requests and notifications of a server: those on its own stream, and those on the streams of
/// calls.
///
/// The server's own stream reconnects by itself, and resumes after its last event ID.
///
/// # Drop behavior
///
/// Closes the server's own stream. Messages on the streams of calls are dropped from then on.
#[derive(Debug)]
pub struct Inbox {
    calls: mpsc::Receiver<Message>,
    /// Until it is closed for good.
    server: Option<Subscription>,
}

impl Inbox {
    pub(crate) fn new(calls: mpsc::Receiver<Message>, server: Subscription) -> Self {
        Self { calls, server: Some(server) }
    }

    /// Waits for the next message. Returns `None` when the [`Session`](crate::Session) is gone.
    ///
    /// # Errors
    ///
    /// Each is told once, and does not end the inbox.
    ///
    /// - [`McpError::Missed`] if messages of the server's own stream are missing here.
    /// - [`McpError::Malformed`] for an event that is no message.
    /// - [`McpError::SessionLost`] or [`McpError::Stream`] if that stream is closed for good.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<Result<Message, McpError>> {
        loop {
            let Some(server) = &mut self.server else { return self.calls.recv().await.map(Ok) };
            tokio::select! {
                message = self.calls.recv() => return message.map(Ok),
                delivery = server.recv() => {
                    let told = match delivery {
                        Some(delivery) => sort(delivery),
                        None => self.closed().await,
                    };
                    if let Some(told) = told.transpose() {
                        return Some(told);
                    }
                }
            }
        }
    }

    /// Lets go of the server's own stream.
    async fn closed(&mut self) -> Result<Option<Message>, McpError> {
        let Some(server) = self.server.take() else { return Ok(None) };
        match McpError::closed(server.handle().closed().await) {
            error @ (McpError::SessionLost | McpError::Stream(_)) => Err(error),
            // It has no such stream, or no more for it.
            _ => Ok(None),
        }
    }
}

fn sort(delivery: Delivery) -> Result<Option<Message>, McpError> {
    match delivery {
        Delivery::Event(event) => Ok(Envelope::from_event(&event)?.and_then(Envelope::into_message)),
        Delivery::Gap(gap) if gap.is_loss() => Err(McpError::Missed(gap)),
        Delivery::Gap(_) => Ok(None),
    }
}
