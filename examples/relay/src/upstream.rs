//! The upstream stream: how the relay follows it.

use std::convert::Infallible;

use axum::http::Uri;
use sseclient::{Client, Commit, Event, Filter, ReconnectPolicy, RefusedId, ResumeStore, StreamBuilder};

use crate::args::Args;
use crate::gap;

/// Returns the stream, which goes on after the events that an earlier run has retained.
pub(crate) fn stream(args: &Args, mut retained: Vec<Event>) -> StreamBuilder {
    let url = args.url.as_deref().unwrap_or_default();
    let last_id = retained.last().map(|event| event.last_event_id().to_owned()).unwrap_or_default();
    if last_id.is_empty() && !retained.is_empty() {
        // The server cannot know where to go on.
        retained.push(gap::event("restarted", None, "the relay was restarted, and there is no ID to resume after"));
    }
    let stream = Client::new().stream(url).name("upstream").retain(Filter::all(), args.retain as usize).seed(retained);
    let stream = args.headers.iter().fold(stream, |stream, (name, value)| stream.header(&**name, &**value));
    // A relay is not repaired by its end: a 404 may pass, and until then the page and /health say
    // what is wrong. A server that has forgotten the ID of an earlier run must not stop it either.
    stream
        .idle_timeout(args.idle_timeout)
        .reconnect_policy(ReconnectPolicy::persistent())
        .if_id_is_refused(RefusedId::StartFresh)
        .resume_store(ResumeAfter(last_id), Commit::Delivery)
}

/// Returns a URL without userinfo and query, which may hold secrets.
pub(crate) fn shown(url: &str) -> String {
    let Ok(uri) = url.parse::<Uri>() else { return String::new() };
    let host = uri.host().unwrap_or_default();
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", uri.scheme_str().unwrap_or_default(), uri.path())
}

/// Says where to resume. The journal keeps the events themselves, so there is nothing to save.
///
/// A store, since it may have an ID that no header can carry: the stream then begins without one,
/// and says so in a gap.
struct ResumeAfter(String);

impl ResumeStore for ResumeAfter {
    type Error = Infallible;

    async fn load(&self) -> Result<Option<String>, Infallible> {
        Ok(Some(self.0.clone()))
    }

    async fn save(&self, _id: String) -> Result<(), Infallible> {
        Ok(())
    }
}
