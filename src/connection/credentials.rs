//! [`Credentials`]: the caller's source of headers, asked before each attempt.

use std::error::Error as StdError;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::timeout;

use crate::error::{Error, ErrorKind};
use crate::transport::{BoxFuture, LAST_EVENT_ID};

/// How long a source may take. A token server that takes longer is down, and the attempt fails.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The most headers that a source can give. No server accepts nearly as many, and a `HeaderMap`
/// that overflows panics.
const MAX_CREDENTIAL_HEADERS: usize = 1024;

/// The reason for asking a source of credentials: see
/// [`StreamBuilder::credentials`](crate::StreamBuilder::credentials).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialsReason {
    /// For the first attempt.
    First,
    /// For a later attempt. Headers that were given before may still be valid.
    Reconnect,
    /// The server has just refused these credentials: only fresh ones can help.
    #[non_exhaustive]
    Rejected {
        /// 401 or 403.
        status: StatusCode,
        /// The response's first `WWW-Authenticate` (RFC 9110, section 11.6.1).
        challenge: Option<HeaderValue>,
    },
}

impl CredentialsReason {
    /// Returns a reason if the server has refused credentials. A proxy's refusal gives none: the
    /// credentials are for the server.
    pub(crate) fn rejected(error: &Error) -> Option<Self> {
        // A proxy's refusal says nothing about the credentials that the server wants.
        if error.kind() == ErrorKind::Proxy {
            return None;
        }
        let status = error.status().filter(|status| matches!(status.as_u16(), 401 | 403))?;
        let challenge = error.headers().and_then(|headers| headers.get(http::header::WWW_AUTHENTICATE));
        Some(Self::Rejected { status, challenge: challenge.cloned() })
    }
}

type Answer = Result<HeaderMap, Box<dyn StdError + Send + Sync>>;
type Source = dyn Fn(CredentialsReason) -> BoxFuture<Answer> + Send + Sync;

/// The caller's source of headers.
#[derive(Clone)]
pub(crate) struct Credentials {
    source: Arc<Source>,
}

impl Credentials {
    pub(crate) fn new<F, Fut, E>(source: F) -> Self
    where
        F: Fn(CredentialsReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<HeaderMap, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let source = move |reason| {
            let answer = source(reason);
            Box::pin(async move { answer.await.map_err(Into::into) }) as BoxFuture<Answer>
        };
        Self { source: Arc::new(source) }
    }

    /// Asks the source, and returns the headers of an attempt with those that it gives. They
    /// replace headers of the same name.
    ///
    /// # Errors
    ///
    /// When the source fails, takes longer than 30 s, or gives a last event ID or too many headers.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the source's.
    pub(crate) fn ask(
        &self,
        reason: CredentialsReason,
        mut headers: HeaderMap,
    ) -> impl Future<Output = Result<HeaderMap, Error>> + Send + use<> {
        let source = Arc::clone(&self.source);
        async move {
            let answer = timeout(TIMEOUT, source(reason)).await.map_err(|_| {
                Error::new(
                    ErrorKind::CredentialsTimeout,
                    format!("the source of credentials gave nothing within {TIMEOUT:?}"),
                )
            })?;
            let mut given = answer.map_err(|error| {
                Error::with_source(ErrorKind::Credentials, "the source of credentials failed", error)
            })?;
            if given.contains_key(LAST_EVENT_ID) || given.len() > MAX_CREDENTIAL_HEADERS {
                let message = format!(
                    "a source of credentials must give neither {LAST_EVENT_ID} nor more than {MAX_CREDENTIAL_HEADERS} headers"
                );
                return Err(Error::new(ErrorKind::Credentials, message));
            }
            given.values_mut().for_each(|value| value.set_sensitive(true));
            // Replaces values of the same name: a request has one `Authorization` (RFC 9110,
            // section 11.6.2).
            headers.extend(given);
            Ok(headers)
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[tokio::test]
    async fn headers_of_a_source_are_secret_and_replace_those_that_were_set() {
        let mut given = headers(&[("authorization", "new"), ("x-tenant", "a")]);
        given.append("x-tenant", HeaderValue::from_static("b"));
        let credentials = Credentials::new(move |_| std::future::ready(Ok::<_, Error>(given.clone())));
        let set = headers(&[("authorization", "old"), ("accept", "text/event-stream")]);
        let sent = credentials.ask(CredentialsReason::First, set).await.unwrap();
        let mut expected = headers(&[("authorization", "new"), ("accept", "text/event-stream"), ("x-tenant", "a")]);
        expected.append("x-tenant", HeaderValue::from_static("b"));
        assert_eq!(sent, expected);
        for (name, value) in &sent {
            assert_eq!(value.is_sensitive(), name != "accept", "{name}");
        }
    }
}
