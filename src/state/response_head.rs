//! [`ResponseHead`]: what a server said before the first byte of its stream.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version};

/// The head of an accepted response: see [`State::Open`](crate::State::Open).
///
/// `Debug` shows neither the query nor the values of headers, which may hold secrets.
#[derive(Clone)]
pub struct ResponseHead {
    url: Uri,
    status: StatusCode,
    version: Version,
    /// `name:value\n`, copied together: kept as they came, they would pin the buffer that they were read
    /// into, eight kilobytes for each stream that is open.
    headers: Box<[u8]>,
}

impl ResponseHead {
    pub(crate) fn new(url: Uri, status: StatusCode, version: Version, headers: &HeaderMap) -> Self {
        let lines = headers.iter().map(|(name, value)| [name.as_str().as_bytes(), b":", value.as_bytes(), b"\n"]);
        Self { url, status, version, headers: lines.flatten().flatten().copied().collect() }
    }

    /// Where the response came from in the end, without userinfo.
    pub fn url(&self) -> &Uri {
        &self.url
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its version of HTTP.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its headers, as a new map for each call. They may hold secrets.
    pub fn headers(&self) -> HeaderMap {
        let lines = self.headers.split(|&byte| byte == b'\n');
        let header = |line: &[u8]| {
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
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.url.authority().map_or("", http::uri::Authority::as_str);
        let url = format!("{}://{authority}{}", self.url.scheme_str().unwrap_or_default(), self.url.path());
        f.debug_struct("ResponseHead")
            .field("url", &url)
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
    fn headers_come_back_as_they_were_and_debug_keeps_their_values_to_itself() {
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
