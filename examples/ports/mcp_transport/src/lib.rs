//! A client transport of the Model Context Protocol: Streamable HTTP, as of 2025-11-25.
//!
//! | the server | what the program sees |
//! |---|---|
//! | answers a call with JSON or with a stream | the result, or [`McpError::Rpc`] |
//! | cuts a stream before the answer | nothing if an event had an ID: the stream is resumed |
//! | the same, without an ID | [`McpError::AnswerLost`] |
//! | has forgotten the session (404) | [`McpError::SessionLost`]: initialize again |
//! | has no stream of its own (405) | nothing |
//! | sends requests and notifications | [`Message`]s in the [`Inbox`] |

mod error;
mod inbox;
mod message;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use reqwest::Body;
use serde_json::{Value, json};
use sseclient::bytes::Bytes;
use sseclient::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use sseclient::http::{Method, Request, Response, StatusCode};
use sseclient::{Client, Delivery, EventStream, Gap, StreamBuilder};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

pub use self::error::McpError;
pub use self::inbox::Inbox;
use self::message::Envelope;
pub use self::message::Message;

/// The longest call, with all resumptions of its stream, and the longest wait for the response to
/// anything else. Default: 5 minutes.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(300);

/// How many messages of calls' streams wait in the inbox.
const INBOX_CAPACITY: usize = 64;

/// The largest answer, in bytes: the same for JSON and for events.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// How long to wait before a stream is resumed, unless the server says.
const RECONNECTION_TIME: Duration = Duration::from_secs(1);

/// The shortest such wait. A server may ask for less, even for none at all.
const MIN_RECONNECTION_TIME: Duration = Duration::from_millis(100);

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// A session with a server. Calls may run at the same time.
///
/// # Drop behavior
///
/// Ends the [`Inbox`]. The server keeps the session: [`close`](Self::close) ends that.
#[derive(Debug)]
pub struct Session {
    http: reqwest::Client,
    streams: Client,
    url: String,
    /// Session and version, once they are known.
    headers: HeaderMap,
    next_id: AtomicU64,
    inbox: mpsc::Sender<Message>,
    /// The program has the inbox, or is about to get it.
    has_begun: bool,
    call_timeout: Duration,
}

impl Session {
    /// Begins a session: sends `initialize` with these parameters, and then that the client is
    /// ready. Returns the session, its inbox, and what the server answered.
    ///
    /// Build the HTTP client with `redirect(Policy::none())`, so that no other host gets the
    /// session, and without a `timeout`, which would cut the server's stream. Its default headers
    /// may hold a token.
    ///
    /// # Errors
    ///
    /// Those of [`call`](Self::call) and [`notify`](Self::notify). [`McpError::Missed`], too, if the
    /// server sends more than 64 messages before it answers: they cannot be read yet.
    pub async fn initialize(http: reqwest::Client, url: &str, params: Value) -> Result<(Self, Inbox, Value), McpError> {
        let (inbox, messages) = mpsc::channel(INBOX_CAPACITY);
        let sender = http.clone();
        let streams = Client::builder().transport(move |request| send(sender.clone(), request)).build();
        let (url, headers, next_id) = (url.to_owned(), HeaderMap::new(), AtomicU64::new(1));
        let (has_begun, call_timeout) = (false, CALL_TIMEOUT);
        let mut session = Self { http, streams, url, headers, next_id, inbox, has_begun, call_timeout };
        let (mut head, hello) = session.request("initialize", params).await?;
        session.has_begun = true;
        session.headers.extend(head.remove(SESSION).map(|id| (SESSION, id)));
        let version = hello["protocolVersion"].as_str().and_then(|version| HeaderValue::from_str(version).ok());
        session.headers.extend(version.map(|version| (VERSION, version)));
        session.notify("notifications/initialized", json!({})).await?;
        let server = session.stream().build().map_err(McpError::Stream)?;
        let inbox = Inbox::new(messages, server.subscribe("message"));
        server.connect();
        Ok((session, inbox, hello))
    }

    /// Sets the limit of time of a call. Default: [`CALL_TIMEOUT`].
    pub fn call_timeout(self, limit: Duration) -> Self {
        Self { call_timeout: limit, ..self }
    }

    /// Calls a method and waits for its result.
    ///
    /// What else the server sends on the stream of the answer goes to the [`Inbox`]. **While 64
    /// messages wait there, the call waits too**, so read the inbox in another task.
    ///
    /// # Errors
    ///
    /// See [`McpError`]. After any of them the server may have done what was asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops its response. The server may go on.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, McpError> {
        self.request(method, params).await.map(|(_, result)| result)
    }

    /// Sends a notification.
    ///
    /// # Errors
    ///
    /// See [`McpError`].
    pub async fn notify(&self, method: &str, params: Value) -> Result<(), McpError> {
        self.deliver(json!({ "jsonrpc": "2.0", "method": method, "params": params })).await
    }

    /// Answers a request of the server: with the `id` of [`Message::Request`].
    ///
    /// # Errors
    ///
    /// See [`McpError`].
    pub async fn respond(&self, id: &Value, result: Value) -> Result<(), McpError> {
        self.deliver(json!({ "jsonrpc": "2.0", "id": id, "result": result })).await
    }

    /// Ends the session at the server. A server that does not let clients end it (405) is no error.
    ///
    /// # Errors
    ///
    /// See [`McpError`]. [`McpError::SessionLost`]: it had ended before.
    pub async fn close(self) -> Result<(), McpError> {
        let response = self.send(Method::DELETE, None).await?;
        if response.status() == StatusCode::METHOD_NOT_ALLOWED { Ok(()) } else { accepted(response).await }
    }

    async fn deliver(&self, message: Value) -> Result<(), McpError> {
        accepted(self.send(Method::POST, Some(&message)).await?).await
    }

    async fn request(&self, method: &str, params: Value) -> Result<(HeaderMap, Value), McpError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let exchange = async {
            let response = self.send(Method::POST, Some(&message)).await?;
            Ok((response.headers().clone(), self.answer(response, id).await?))
        };
        timeout(self.call_timeout, exchange).await.map_err(|_| McpError::TimedOut(self.call_timeout))?
    }

    /// Reads the answer to a call: a body of JSON, or an event.
    async fn answer(&self, response: Response<Body>, id: u64) -> Result<Value, McpError> {
        let mut events = match EventStream::try_from_response(response) {
            Ok(events) => events,
            Err(response) if response.status() == StatusCode::OK => {
                let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(McpError::Body)?;
                return Envelope::parse(&body.to_bytes())?.into_result_of(id);
            }
            Err(response) => return Err(refusal(response).await),
        };
        let cause = loop {
            match events.recv().await {
                Some(Ok(delivery)) => {
                    if let Some(answer) = self.sort(delivery, id).await? {
                        return answer.into_result();
                    }
                }
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        let last_id = events.last_event_id();
        if last_id.is_empty() {
            return Err(McpError::AnswerLost(cause));
        }
        let wait = events.reconnection_time().unwrap_or(RECONNECTION_TIME).max(MIN_RECONNECTION_TIME);
        self.resumed_answer(last_id, wait, id).await
    }

    /// Reads the answer from the rest of a stream that broke off, however often that happens again.
    async fn resumed_answer(&self, last_id: &str, wait: Duration, id: u64) -> Result<Value, McpError> {
        sleep(wait).await;
        let rest = self.stream().last_event_id(last_id).reconnection_time(wait).build().map_err(McpError::Stream)?;
        let mut events = rest.subscribe("message");
        rest.connect();
        while let Some(delivery) = events.recv().await {
            if let Some(answer) = self.sort(delivery, id).await? {
                return answer.into_result();
            }
        }
        Err(McpError::closed(rest.closed().await))
    }

    /// Returns the answer to this call. Other messages go to the inbox.
    async fn sort(&self, delivery: Delivery, id: u64) -> Result<Option<Envelope>, McpError> {
        let event = match delivery {
            Delivery::Event(event) => event,
            // It may have been the answer.
            Delivery::Gap(gap) if gap.is_loss() => return Err(McpError::Missed(gap)),
            Delivery::Gap(_) => return Ok(None),
        };
        let Some(envelope) = Envelope::from_event(&event)? else { return Ok(None) };
        if envelope.answers(id) {
            return Ok(Some(envelope));
        }
        match envelope.into_message() {
            // A program that has dropped its inbox wants no messages.
            Some(message) if self.has_begun => drop(self.inbox.send(message).await),
            // The inbox cannot be read yet, so no room will come.
            Some(message) => self.inbox.try_send(message).map_err(|_| McpError::Missed(Gap::lagged(1)))?,
            None => {}
        }
        Ok(None)
    }

    /// Returns a stream of this session, to be resumed or new.
    fn stream(&self) -> StreamBuilder {
        self.streams.stream(&self.url).headers(self.headers.clone())
    }

    async fn send(&self, method: Method, message: Option<&Value>) -> Result<Response<Body>, McpError> {
        let mut request = self.http.request(method, &self.url).headers(self.headers.clone());
        if let Some(message) = message {
            request = request.header(ACCEPT, "application/json, text/event-stream");
            request = request.header(CONTENT_TYPE, "application/json").body(message.to_string());
        }
        let limit = self.call_timeout;
        let response = timeout(limit, request.send()).await.map_err(|_| McpError::TimedOut(limit))?;
        let response = response.map_err(McpError::Request)?;
        if response.status() == StatusCode::NOT_FOUND && self.headers.contains_key(SESSION) {
            return Err(McpError::SessionLost);
        }
        Ok(response.into())
    }
}

async fn send(http: reqwest::Client, request: Request<Bytes>) -> Result<Response<Body>, reqwest::Error> {
    Ok(http.execute(request.try_into()?).await?.into())
}

/// Checks the response to what has no answer. Servers should send a 202; some send a 200.
async fn accepted(response: Response<Body>) -> Result<(), McpError> {
    if response.status().is_success() { Ok(()) } else { Err(refusal(response).await) }
}

/// Returns why a response is no answer: the server's own error, if its body has one.
async fn refusal(response: Response<Body>) -> McpError {
    match EventStream::from_response(response).await {
        Err(error) => match error.json::<Envelope>().map(Envelope::into_result) {
            Ok(Err(told @ McpError::Rpc { .. })) => told,
            _ => McpError::Refused(error),
        },
        Ok(_) => McpError::AnswerLost(None),
    }
}
