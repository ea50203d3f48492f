//! [`CredentialsReason`]: why an attempt is made, as the caller's code learns it.

use http::{HeaderValue, StatusCode};

use crate::error::{Error, ErrorKind};

/// Why an attempt is made: for
/// [`StreamBuilder::credentials`](crate::StreamBuilder::credentials) and
/// [`StreamBuilder::before_attempt`](crate::StreamBuilder::before_attempt), which are asked before
/// each.
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
    /// Creates a [`Rejected`](Self::Rejected) reason, for tests of programs that give credentials.
    pub fn rejected(status: StatusCode, challenge: Option<HeaderValue>) -> Self {
        Self::Rejected { status, challenge }
    }

    /// Returns a reason if the server has refused credentials. A proxy's refusal gives none: the
    /// credentials are for the server.
    pub(crate) fn of_refusal(error: &Error) -> Option<Self> {
        // A proxy's refusal says nothing about the credentials that the server wants.
        if error.kind() == ErrorKind::Proxy {
            return None;
        }
        let status = error.status().filter(|status| matches!(status.as_u16(), 401 | 403))?;
        let challenge = error.headers().and_then(|headers| headers.get(http::header::WWW_AUTHENTICATE));
        Some(Self::Rejected { status, challenge: challenge.cloned() })
    }
}
