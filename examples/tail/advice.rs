//! One line for an error: what happened, and what to do about it.

use std::error::Error as StdError;

use sseclient::{CloseReason, Error, ErrorKind};

/// How many characters of a refused response's body are shown.
const EXCERPT: usize = 120;

/// Returns the error, its causes, the beginning of the response's body, and advice.
pub(crate) fn complaint(error: &Error) -> String {
    let mut line = chain(error);
    if let Some(words) = error.body().and_then(|body| excerpt(body)) {
        line.push_str(&format!("; the server says: {words}"));
    }
    format!("{line}; {}", advice(error))
}

/// Returns the error and all its causes, each once.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat the cause in their own text.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Returns why a stream closed, with all causes.
pub(crate) fn reason(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Failed(error) => chain(error),
        other => other.to_string(),
    }
}

fn advice(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Status => status_advice(error),
        ErrorKind::InvalidUrl => "give a URL like https://example.com/stream",
        ErrorKind::InvalidHeader => "check the values of -H, --cookie, --user and --bearer",
        ErrorKind::InvalidConfig => "check the options that set up the client",
        ErrorKind::Unsupported => "use another scheme, or build this with the feature that it needs",
        ErrorKind::Redirect => "give the URL that it points to, if you trust it",
        ErrorKind::TooManyRedirects => "look for a loop between the servers",
        ErrorKind::ContentType => "check the URL: the response is not an event stream",
        ErrorKind::ContentEncoding => {
            "have the server send the stream uncompressed, or build this with gzip, brotli and zstd"
        }
        ErrorKind::Tls => {
            "check the certificates, trust the server's issuer with --cacert, or give one of your own with --cert"
        }
        ErrorKind::Roots => "install CA certificates, or give some with --cacert",
        ErrorKind::Proxy => "check the proxy in -x, or in the environment variables",
        ErrorKind::Dns => "check the host name",
        ErrorKind::IdleTimeout => "check that the server sends heartbeats, or give it more --idle-timeout",
        ErrorKind::Connect | ErrorKind::ConnectTimeout | ErrorKind::ResponseTimeout => {
            "check that the server is up and can be reached"
        }
        _ => "look at the server, then try again",
    }
}

fn status_advice(error: &Error) -> &'static str {
    match error.status().map(|status| status.as_u16()) {
        Some(401 | 407) => "give credentials with --user, --bearer or -H",
        Some(403) => "ask for access, or give other credentials",
        Some(404 | 410) => "check the URL",
        Some(408 | 425 | 429) => "try again later",
        Some(405 | 406) => "check that the URL belongs to an event stream",
        Some(400..=499) => "check the URL and the options",
        _ => "look at the server, then try again",
    }
}

/// Returns the beginning of a body on one line, unless it is HTML.
///
/// All whitespace becomes single spaces, because JSON often has its first brace on a line of its
/// own. A body that was cut off may end within a character.
fn excerpt(body: &[u8]) -> Option<String> {
    let text = body.utf8_chunks().next()?.valid();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_text = !words.is_empty() && !words.starts_with('<');
    is_text.then(|| words.chars().take(EXCERPT).collect())
}
