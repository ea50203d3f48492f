//! [`Answer`]: one answer, chunk by chunk.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use sseclient::{Delivery, EventStream, Transport};
use tokio::time::{Instant, timeout_at};

use crate::api::{Api, Chunk, News, Reader, Usage};
use crate::error::LlmError;

/// The answer of a model.
///
/// An answer is complete if its last chunk is a [`Chunk::End`]. One that was cut off, at whichever
/// byte and in whichever way, ends with an `Err` instead.
///
/// # Drop behavior
///
/// Dropping it before its end cancels it: the response is dropped, and the HTTP client closes the
/// connection. Servers stop generating then.
#[must_use = "an answer is read only while it is polled"]
pub struct Answer<T: Transport> {
    events: EventStream<T::Body>,
    reader: Reader,
    begun: Instant,
    first_token_timeout: Duration,
    time_to_first_token: Option<Duration>,
    /// Chunks of an event that had several.
    chunks: VecDeque<Chunk>,
    stop_reason: Option<String>,
    usage: Usage,
    is_over: bool,
}

impl<T: Transport> Answer<T> {
    pub(crate) fn new(events: EventStream<T::Body>, api: Api, begun: Instant, first_token_timeout: Duration) -> Self {
        let (reader, chunks, usage) = (Reader::new(api), VecDeque::new(), Usage::default());
        let (time_to_first_token, stop_reason, is_over) = (None, None, false);
        Self { events, reader, begun, first_token_timeout, time_to_first_token, chunks, stop_reason, usage, is_over }
    }

    /// Returns the time from the request to the first token, once that has come.
    pub fn time_to_first_token(&self) -> Option<Duration> {
        self.time_to_first_token
    }

    /// Waits for the next chunk. The last one is a [`Chunk::End`] or an `Err`; `None` follows.
    ///
    /// # Errors
    ///
    /// - [`LlmError::Failed`] if the server says within the answer that it failed.
    /// - [`LlmError::Broken`] if the answer was cut off, or silent for too long.
    /// - [`LlmError::NoFirstToken`] if the first token took too long, also if other events came before it.
    /// - [`LlmError::Malformed`] if an event is not what the API promises.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<Result<Chunk, LlmError>> {
        loop {
            if let Some(chunk) = self.chunks.pop_front() {
                return Some(Ok(chunk));
            }
            if self.is_over {
                return None;
            }
            if let Err(error) = self.read().await {
                self.is_over = true;
                return Some(Err(error));
            }
        }
    }

    /// Returns the chunks as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Chunk, LlmError>> + Send {
        unfold(self, |mut answer| async move { answer.recv().await.map(|chunk| (chunk, answer)) })
    }

    /// Reads one event, and queues its chunks.
    async fn read(&mut self) -> Result<(), LlmError> {
        let next = match self.time_to_first_token {
            Some(_) => self.events.recv().await,
            // Roles, pings and comments are no tokens.
            None => timeout_at(self.begun + self.first_token_timeout, self.events.recv())
                .await
                .map_err(|_| LlmError::NoFirstToken(self.first_token_timeout))?,
        };
        match next.transpose().map_err(LlmError::Broken)? {
            Some(Delivery::Event(event)) => {
                let news = self.reader.read(&event)?;
                self.take(news);
            }
            Some(Delivery::Gap(gap)) => return Err(LlmError::Malformed(gap.to_string())),
            None => {
                self.is_over = true;
                let (stop_reason, usage) = (self.stop_reason.take(), self.usage);
                self.chunks.push_back(Chunk::End { stop_reason, usage });
            }
        }
        Ok(())
    }

    fn take(&mut self, news: News) {
        if !news.chunks.is_empty() {
            self.time_to_first_token.get_or_insert_with(|| self.begun.elapsed());
        }
        self.chunks.extend(news.chunks);
        self.stop_reason = news.stop_reason.or(self.stop_reason.take());
        self.usage.update(news.usage);
    }
}
