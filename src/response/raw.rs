//! [`poll_bytes`]: reads a body of any HTTP client.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame};

use crate::error::{Error, ErrorKind};

/// An error of any kind.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Maximum length of a refused response's body that is kept: enough for any message to people.
pub(crate) const MAX_ERROR_BODY: usize = 8 * 1024;

/// How long the body of a refused response may take. The error holds the bytes that came in time.
pub(crate) const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// Polls for the next bytes as the body has them; empty for trailers, and for a frame without any.
pub(crate) fn poll_bytes<B: Body<Error: Into<BoxError>>>(
    body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, Error>>> {
    // `Bytes` are not copied; another kind of buffer is copied once.
    let data = |frame: Frame<B::Data>| frame.into_data().map(|mut data| data.copy_to_bytes(data.remaining()));
    let polled = body.poll_frame(cx).map_ok(|frame| data(frame).unwrap_or_default());
    polled.map_err(|error| broken_off(error.into()))
}

/// Returns the error of a body, as this crate's.
fn broken_off(error: BoxError) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(error) => Error::with_hidden_source(ErrorKind::Body, "the stream broke off", error),
    }
}
