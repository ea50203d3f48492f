//! A client of language models: a question goes out, and typed chunks come back.
//!
//! It is built on [`EventStream`], not on `StreamBuilder::once`: an answer is one response, and the
//! program has an HTTP client already. So there is no task and no queue. The program reads as fast
//! as it likes, and dropping the [`Answer`] drops the response.
//!
//! **It never repeats a request**, because each one costs money. [`LlmError::was_declined`] says
//! whether a failure was free of charge.

mod answer;
mod api;
mod error;

use std::time::Duration;

use sseclient::bytes::Bytes;
use sseclient::http::{HeaderMap, Request, Response, Uri, header};
use sseclient::{EventStream, Transport};
use tokio::time::{Instant, timeout_at};

pub use self::answer::Answer;
pub use self::api::{Api, Chunk, Usage};
pub use self::error::LlmError;

/// The most time from the request to the first token. Default: 2 minutes, since models that think
/// first are silent meanwhile.
pub const FIRST_TOKEN_TIMEOUT: Duration = Duration::from_secs(120);

/// The longest silence within an answer. Default: 30 s; both APIs send pings or tokens more often.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Asks one model of one server.
#[derive(Debug)]
pub struct LlmClient<T> {
    transport: T,
    api: Api,
    url: Uri,
    headers: HeaderMap,
    model: String,
    first_token_timeout: Duration,
    idle_timeout: Duration,
}

impl<T: Transport> LlmClient<T> {
    /// Makes a client that sends its requests to this URL through `transport`: a closure, or
    /// [`over_reqwest`].
    ///
    /// # Errors
    ///
    /// [`LlmError::Request`] if HTTP cannot carry the key.
    pub fn new(transport: T, api: Api, url: Uri, key: &str, model: impl Into<String>) -> Result<Self, LlmError> {
        let mut headers = api.headers(key)?;
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        let (first_token_timeout, idle_timeout) = (FIRST_TOKEN_TIMEOUT, IDLE_TIMEOUT);
        Ok(Self { transport, api, url, headers, model: model.into(), first_token_timeout, idle_timeout })
    }

    /// Sets the limits: from the request to the first token, and of each silence after that.
    pub fn timeouts(self, first_token: Duration, idle: Duration) -> Self {
        Self { first_token_timeout: first_token, idle_timeout: idle, ..self }
    }

    /// Asks, and returns the answer as soon as the server has begun it.
    ///
    /// # Errors
    ///
    /// - [`LlmError::Request`] if the transport failed.
    /// - [`LlmError::Refused`] if the server refused, with its reason.
    /// - [`LlmError::NoFirstToken`] if it did not answer in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the request. The server may charge for it.
    pub async fn complete(&self, prompt: &str) -> Result<Answer<T>, LlmError> {
        let begun = Instant::now();
        let too_late = || LlmError::NoFirstToken(self.first_token_timeout);
        let deadline = begun + self.first_token_timeout;
        let response = timeout_at(deadline, self.transport.send(self.request(prompt))).await;
        let response = response.map_err(|_| too_late())?.map_err(|error| LlmError::Request(error.into()))?;
        // Also an answer of JSON with a 200: some servers and proxies send errors so.
        let events = EventStream::from_response(response).await.map_err(LlmError::Refused)?;
        // The first token has a deadline of its own, which an idle timeout must not cut short.
        let events = events.first_event_timeout(self.first_token_timeout).idle_timeout(self.idle_timeout);
        let api = self.api;
        Ok(Answer::new(events.ends_when(move |event| api.ends(event)), api, begun, self.first_token_timeout))
    }

    fn request(&self, prompt: &str) -> Request<Bytes> {
        let mut request = Request::new(self.api.question(&self.model, prompt).to_string().into());
        *request.method_mut() = sseclient::http::Method::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// Sends requests with reqwest.
///
/// Build its client with `redirect(Policy::none())`: reqwest would take a key in `x-api-key` along
/// to any other host. Leave its `timeout` off, which limits the whole answer.
pub fn over_reqwest(client: reqwest::Client) -> impl Transport<Body = reqwest::Body> {
    move |request| send(client.clone(), request)
}

async fn send(client: reqwest::Client, request: Request<Bytes>) -> Result<Response<reqwest::Body>, reqwest::Error> {
    Ok(client.execute(request.try_into()?).await?.into())
}
