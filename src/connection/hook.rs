//! [`Hook`]: the caller's code that is asked before each attempt, and may change it.

use std::error::Error as StdError;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use crate::connection::credentials::CredentialsReason;
use crate::connection::next_attempt::NextAttempt;
use crate::error::{Error, ErrorKind};
use crate::response::silence::within;
use crate::transport::BoxFuture;

/// How long a hook may take. A token server that takes longer is down, and the attempt fails.
const TIMEOUT: Duration = Duration::from_secs(30);

type Answer = Result<NextAttempt, Box<dyn StdError + Send + Sync>>;

/// The caller's code that is asked before each attempt: a hook, or a source of credentials.
pub(crate) struct Hook {
    ask: Arc<dyn Fn(NextAttempt) -> BoxFuture<Answer> + Send + Sync>,
    /// For messages.
    name: &'static str,
    failed: ErrorKind,
    late: ErrorKind,
}

impl Hook {
    pub(crate) fn new<F, Fut, E>(hook: F) -> Self
    where
        F: Fn(NextAttempt) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<NextAttempt, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let ask = move |attempt| {
            let answer = hook(attempt);
            Box::pin(async move { answer.await.map_err(Into::into) }) as BoxFuture<Answer>
        };
        Self {
            ask: Arc::new(ask),
            name: "the hook before attempts",
            failed: ErrorKind::BeforeAttempt,
            late: ErrorKind::BeforeAttemptTimeout,
        }
    }

    /// A hook that sets the secret headers that `source` gives.
    pub(crate) fn credentials<F, Fut, E>(source: F) -> Self
    where
        F: Fn(CredentialsReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<HeaderMap, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let hook = Self::new(move |attempt: NextAttempt| {
            let given = source(attempt.reason().clone());
            async move { given.await.map(|headers| attempt.with_secrets(headers)) }
        });
        Self {
            name: "the source of credentials",
            failed: ErrorKind::Credentials,
            late: ErrorKind::CredentialsTimeout,
            ..hook
        }
    }

    /// Returns the attempt as the hook wants it.
    ///
    /// # Errors
    ///
    /// When the hook fails, takes longer than 30 s, or wants what cannot be sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the hook's.
    pub(crate) async fn ask(&self, attempt: NextAttempt) -> Result<NextAttempt, Error> {
        let answer = within(TIMEOUT, (self.ask)(attempt))
            .await
            .ok_or_else(|| Error::new(self.late, format!("{} gave nothing within {TIMEOUT:?}", self.name)))?;
        let attempt =
            answer.map_err(|error| Error::with_source(self.failed, format!("{} failed", self.name), error))?;
        attempt.checked().map_err(|mistake| {
            Error::with_source(self.failed, format!("{} wants what cannot be sent", self.name), mistake)
        })
    }
}
