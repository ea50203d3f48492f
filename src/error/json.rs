//! [`Error::json`]: what the body of a refusal says.

use serde::de::DeserializeOwned;

use super::{Error, ErrorKind, beginning};

impl Error {
    /// Returns the [body](Self::body) of the response that was refused, decoded as JSON: the reason
    /// that the server gives. Needs feature `json`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if no response was refused, or its body is not JSON, does not fit the
    /// type, or is longer than the 8 KiB that are kept of it. A proxy in front of the server may
    /// answer with a page of its own, so keep the first error for that case.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{HeaderMap, StatusCode};
    /// use sseclient::Error;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Refusal {
    ///     error: String,
    /// }
    ///
    /// let body = r#"{"error":"no such key"}"#;
    /// let error = Error::refused(StatusCode::UNAUTHORIZED, HeaderMap::new(), body);
    /// let reason = error.json::<Refusal>().map_or_else(|_| error.to_string(), |refusal| refusal.error);
    /// assert_eq!(reason, "no such key");
    /// ```
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Self> {
        let Some(body) = self.body() else {
            return Err(Self::new(ErrorKind::Decode, "no response was refused, so there is no body to decode"));
        };
        serde_json::from_slice(body).map_err(|error| {
            let cut = if error.is_eof() { "; it may be longer than what is kept of it" } else { "" };
            // serde repeats a string that it does not take.
            let reason = error.to_string();
            let message = format!("the body of the refusal cannot be decoded: {}{cut}", beginning(&reason));
            Self::with_source(ErrorKind::Decode, message, error)
        })
    }
}
