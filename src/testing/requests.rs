//! What a test asks about the requests that a stream has made.

use bytes::Bytes;
use http::Request;

use crate::transport::LAST_EVENT_ID;

/// Returns the last event ID that a request carries.
pub(super) fn last_event_id(request: &Request<Bytes>) -> Option<String> {
    let id = request.headers().get(LAST_EVENT_ID)?;
    // The bytes of the ID, which is text (HTML, section 9.2.4).
    Some(String::from_utf8_lossy(id.as_bytes()).into_owned())
}

/// Panics unless the last request asked to resume after this ID.
#[track_caller]
pub(super) fn check_resumed_from(requests: &[Request<Bytes>], id: &str) {
    let Some(last) = requests.last() else { panic!("no request has come, so none resumed from {id:?}") };
    let sent = last_event_id(last).unwrap_or_default();
    assert!(sent == id, "request {} resumed from {sent:?}, not from {id:?}", requests.len());
}
