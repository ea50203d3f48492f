//! [`TlsVersion`]: the versions of TLS that are spoken.

/// A version of TLS, for [`ClientBuilder::minimum_tls_version`](crate::ClientBuilder::minimum_tls_version).
///
/// There is nothing below 1.2: RFC 8996 forbids 1.0 and 1.1, and no setting brings them back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// RFC 5246, of 2008. The default minimum: much that is otherwise sound speaks nothing later.
    #[default]
    Tls12,
    /// RFC 8446, of 2018.
    Tls13,
}
