//! [`ResponseHead`]: the head of a response.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version};

/// The head of a response: see [`State::Open`](crate::State::Open),
/// [`StreamBuilder::accept_response`](crate::StreamBuilder::accept_response) and
/// [`EventStream::from_response_if`](crate::EventStream::from_response_if).
///
/// `Debug` shows neither the query nor the values of headers, which may hold secrets.
#[derive(Clone)]
pub struct ResponseHead {
    url: Uri,
    status: StatusCode,
    version: Version,
    /// `name:value\n` for each header. A copy: the values that hyper gives would pin its read
    /// buffer, 8 KiB for each open stream.
    headers: Box<[u8]>,
}

impl ResponseHead {
    /// Returns the head of a response from this URL, for tests of programs that look at one.
    pub fn new(url: Uri, status: StatusCode, version: Version, headers: &HeaderMap) -> Self {
        let lines = headers.iter().map(|(name, value)| [name.as_str().as_bytes(), b":", value.as_bytes(), b"\n"]);
        Self { url, status, version, headers: lines.flatten().flatten().copied().collect() }
    }

    /// Returns the size of its headers in bytes.
    pub(crate) fn size(&self) -> usize {
        self.headers.len()
    }

    /// Returns the URL that the response came from, after redirects, without userinfo. It is `/` if
    /// only the response is known ([`EventStream`](crate::EventStream)).
    pub fn url(&self) -> &Uri {
        &self.url
    }

    /// Returns the status: 200, unless `accept_response` or `from_response_if` decides about
    /// others.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the version of HTTP.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the headers, as a new map for each call. They may hold secrets.
    pub fn headers(&self) -> HeaderMap {
        let lines = self.headers.split(|&byte| byte == b'\n');
        let header = |line: &[u8]| {
            // The first colon: a name cannot hold one, and a value may.
            let colon = line.iter().position(|&byte| byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            Some((name, HeaderValue::from_bytes(&line[colon + 1..]).ok()?))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(header) {
            headers.append(name, value);
        }
        headers
    }

    /// Returns the URL without its query, which may hold secrets.
    fn url_without_query(&self) -> String {
        let authority = self.url.authority().map_or("", http::uri::Authority::as_str);
        format!("{}://{authority}{}", self.url.scheme_str().unwrap_or_default(), self.url.path())
    }
}

/// A map of the URL without its query, the status and the version. Headers may hold secrets.
#[cfg(feature = "serde")]
impl serde::Serialize for ResponseHead {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;

        let mut head = serializer.serialize_struct("ResponseHead", 3)?;
        head.serialize_field("url", &self.url_without_query())?;
        head.serialize_field("status", &self.status.as_u16())?;
        head.serialize_field("version", &format_args!("{:?}", self.version))?;
        head.end()
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("url", &self.url_without_query())
            .field("status", &self.status)
            .field("version", &self.version)
            .field("headers", &self.headers().keys().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_unchanged_and_debug_hides_their_values() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("server", "a:b"), ("set-cookie", "secret=1"), ("set-cookie", ""), ("x-raw", "\t\u{e9}")]
        {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let url = "http://host:80/path?token=secret".parse().unwrap();
        let head = ResponseHead::new(url, StatusCode::OK, Version::HTTP_11, &headers);
        assert_eq!(head.headers(), headers);
        assert_eq!(
            format!("{head:?}"),
            "ResponseHead { url: \"http://host:80/path\", status: 200, version: HTTP/1.1, \
             headers: [\"server\", \"set-cookie\", \"x-raw\"] }"
        );
    }
}
