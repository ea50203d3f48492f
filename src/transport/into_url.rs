//! [`IntoUrl`]: what callers have where a URL is wanted.

use http::Uri;

/// A URL: anything that is `AsRef<str>`, such as a `&str`, a `String` or a `url::Url`, or an
/// [`http::Uri`].
///
/// `Form` is inferred. It is the form in which the type holds its URL, and keeps the two cases
/// apart.
///
/// ```
/// use sseclient::Client;
///
/// let client = Client::new();
/// client.stream("http://127.0.0.1/").build()?;
/// client.stream(format!("http://127.0.0.1/{}", 1)).build()?;
/// client.stream(http::Uri::from_static("http://127.0.0.1/")).build()?;
/// # Ok::<(), sseclient::Error>(())
/// ```
pub trait IntoUrl<Form: ?Sized> {
    /// Returns the URL as text.
    fn into_url(self) -> String;
}

impl<T: AsRef<str>> IntoUrl<str> for T {
    fn into_url(self) -> String {
        self.as_ref().to_owned()
    }
}

impl IntoUrl<Self> for Uri {
    fn into_url(self) -> String {
        self.to_string()
    }
}

impl IntoUrl<Uri> for &Uri {
    fn into_url(self) -> String {
        self.to_string()
    }
}
