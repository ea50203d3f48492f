//! Which failures are worth another attempt: the list of statuses, and the list of kinds.
//!
//! A [`ReconnectPolicy`](crate::ReconnectPolicy) starts from this answer; see
//! `reconnect/policy.rs`.

use http::StatusCode;

use super::kind::ErrorKind;

/// Statuses that mean "later", not "never" (RFC 9110, section 15; RFC 6585, section 4; RFC 8470).
/// Every other refused status is final.
const RETRIED_STATUSES: [u16; 7] = [408, 425, 429, 500, 502, 503, 504];

/// Returns true if a failure of this kind, with this status if a response was refused, is retried
/// by default.
pub(super) fn is_retried_by_default(kind: ErrorKind, status: Option<StatusCode>) -> bool {
    match kind {
        ErrorKind::Status => status.is_some_and(|status| RETRIED_STATUSES.contains(&status.as_u16())),
        ErrorKind::Credentials
        | ErrorKind::CredentialsTimeout
        | ErrorKind::Store
        | ErrorKind::Dns
        | ErrorKind::Connect
        | ErrorKind::Proxy
        | ErrorKind::ConnectTimeout
        | ErrorKind::Tls
        | ErrorKind::Roots
        | ErrorKind::ResponseTimeout
        | ErrorKind::Protocol
        | ErrorKind::TooManyRedirects
        | ErrorKind::IdleTimeout
        | ErrorKind::Body
        | ErrorKind::EndOfStream
        | ErrorKind::Poisoned => true,
        // The program, its configuration or the server has to change first, or the stream has
        // ended.
        _ => false,
    }
}
