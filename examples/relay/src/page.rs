//! `GET /`: the page for people.

use axum::http::header;
use axum::response::IntoResponse;

/// The whole page: it loads nothing but `/status`.
const PAGE: &str = include_str!("page.html");

/// No other site may show the page in a frame, to get its button pressed. The page runs only its
/// own script and talks only to the relay.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) async fn page() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, PAGE)
}
