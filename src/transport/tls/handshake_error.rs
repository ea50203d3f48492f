//! Errors of a TLS handshake: which check failed, and what to do about it.
//!
//! The message names the host, the check and the remedy; rustls's own error is the source. A
//! certificate is under the server's control, so its names are escaped and cut.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::time::{Duration, SystemTime};
use std::{io, iter};

use http::Uri;
use rustls::pki_types::{InvalidDnsNameError, UnixTime};
use rustls::{AlertDescription, CertificateError, Error as TlsError, OtherError, PeerIncompatible};

use crate::error::{Error, ErrorKind};

use super::certificate_verifier::SelfSigned;

/// The end of the year 9999, after which HTTP has no dates.
const LAST_DATE: u64 = 253_402_300_799;

/// Maximum number of a certificate's names in a message; some certificates have hundreds.
const MAX_SHOWN_NAMES: usize = 4;

/// Maximum length of a name in DNS (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;

const OLD_VERSION: &str = "the server speaks only versions of TLS older than this client's minimum (1.2, or the one set with minimum_tls_version)";
const EXPIRED: &str = "its certificate has expired";
const NOT_YET: &str = "its certificate is not valid yet";
const NO_REVOCATION: &str = "the client cannot find out whether its certificate has been revoked";
const WEAK: &str = "its certificate is signed in a way that is not trusted any more, as with SHA-1 or a short RSA key";

/// Returns the error of hyper-rustls's connector: the byte stream's own, or what is wrong with the
/// host or the handshake.
pub(super) fn https_error(server: &Uri, error: Box<dyn StdError + Send + Sync>) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    if error.is::<InvalidDnsNameError>() {
        return Error::with_source(ErrorKind::InvalidUrl, "the host is not a name that TLS can check", error);
    }
    let error = error.downcast::<io::Error>().map_or_else(io::Error::other, |error| *error);
    // hyper-rustls wraps the handshake's `io::Error` in another one, which hides its kind.
    let error = error.downcast::<io::Error>().unwrap_or_else(|error| error);
    handshake_error(server.host().unwrap_or_default().trim_matches(['[', ']']), error)
}

/// Returns the error for a handshake that failed.
fn handshake_error(host: &str, error: io::Error) -> Error {
    if let Some(cause) = tls_error(&error) {
        return explained(host, cause);
    }
    let why = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the server hung up; check that it speaks TLS on this port and knows this name",
        _ => "the connection broke",
    };
    Error::with_source(ErrorKind::Tls, format!("the TLS handshake with {host} failed: {why}"), error)
}

/// Turns an error of TLS into one that says what to do; other errors stay as they are.
///
/// In TLS 1.3 the client finishes the handshake before the server has seen its certificate, so the
/// server reports a missing or refused certificate where the response should begin.
pub(in crate::transport) fn explain(host: &str, error: Error) -> Error {
    match tls_error(&error) {
        Some(cause) => explained(host, cause),
        None => error,
    }
}

/// Returns the error that users see, with the TLS error as its source.
fn explained(host: &str, cause: &TlsError) -> Error {
    let message = format!("the TLS handshake with {host} failed: {}", reason(cause));
    Error::with_source(ErrorKind::Tls, message, cause.clone())
}

/// Returns the TLS error among the causes of another error. The `source` of an `io::Error` skips
/// the error that it wraps.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a TlsError> {
    iter::successors(Some(error), |&error| error.source()).find_map(|error| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        error.downcast_ref().or_else(|| wrapped?.downcast_ref())
    })
}

/// Returns which check failed, and what to do about it.
fn reason(error: &TlsError) -> Cow<'static, str> {
    let text = match error {
        TlsError::InvalidCertificate(error) => return certificate_reason(error),
        TlsError::AlertReceived(alert) => alert_reason(*alert),
        TlsError::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => OLD_VERSION,
        TlsError::PeerIncompatible(_) => "the server and this client have no cipher or other method in common",
        TlsError::InvalidMessage(_) => "the server's answer is not TLS; check that this is not an http:// port",
        TlsError::NoCertificatesPresented => "the server has no certificate",
        TlsError::PeerMisbehaved(_) | TlsError::DecryptError => {
            "the server, or a device in between, breaks the protocol"
        }
        TlsError::FailedToGetCurrentTime => {
            "this machine's clock cannot be read, so the certificate cannot be checked; set the clock"
        }
        _ => "see the source of this error for the reason",
    };
    text.into()
}

/// Returns what is wrong with the server's certificate.
fn certificate_reason(error: &CertificateError) -> Cow<'static, str> {
    let text = match error {
        CertificateError::ExpiredContext { time, not_after } => {
            return format!("{EXPIRED}, on {}; this machine's clock says {}", date(*not_after), date(*time)).into();
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            return format!("{NOT_YET}, only from {}; this machine's clock says {}", date(*not_before), date(*time))
                .into();
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            return format!("its certificate is not for {}, but {}", expected.to_str(), names(presented)).into();
        }
        CertificateError::Expired => EXPIRED,
        CertificateError::NotValidYet => NOT_YET,
        CertificateError::NotValidForName => "its certificate is for another name",
        CertificateError::UnknownIssuer => {
            "no authority that this client trusts has issued its certificate; if a private one has, give its root with \
             add_root_certificates_pem, or root_certificates_pem to trust nothing else; if a public one has, the server \
             may be leaving out its intermediate certificates"
        }
        CertificateError::Revoked => "its certificate has been revoked",
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => NO_REVOCATION,
        CertificateError::BadSignature => "the signature on its certificate, or one made with its key, is invalid",
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => WEAK,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not one for servers (extended key usage)"
        }
        CertificateError::BadEncoding => "its certificate cannot be read",
        CertificateError::Other(OtherError(error)) if error.is::<SelfSigned>() => {
            "its certificate is self-signed; give that certificate itself with add_root_certificates_pem, \
             or root_certificates_pem to trust nothing else"
        }
        // Most likely self-signed by `openssl req -x509` with its defaults. Trusting it does not
        // help.
        CertificateError::Other(OtherError(error))
            if matches!(error.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity)) =>
        {
            "its certificate is marked as an authority's (CA:TRUE), which clients do not accept from a server; \
             make one with CA:FALSE (openssl req -x509 -addext basicConstraints=critical,CA:FALSE)"
        }
        _ => "its certificate fails a check; see the source of this error for which one",
    };
    text.into()
}

/// Returns the reason that the server gives (RFC 8446, section 6).
fn alert_reason(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::ProtocolVersion => OLD_VERSION,
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            "the server wants a client certificate: give one with identity_pem"
        }
        // TLS 1.2 servers differ in what they send for a missing certificate.
        AlertDescription::HandshakeFailure => {
            "the server refuses the handshake; it may want a client certificate (identity_pem), \
             or share no cipher with this client"
        }
        AlertDescription::BadCertificate => {
            "the server does not accept the client certificate, or wants one (identity_pem)"
        }
        AlertDescription::UnknownCA => "the server does not know the authority that issued the client certificate",
        AlertDescription::CertificateExpired => "the server says that the client certificate has expired",
        AlertDescription::CertificateRevoked => "the server says that the client certificate has been revoked",
        AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => "the server does not accept the client certificate",
        AlertDescription::UnrecognisedName => "the server does not know this name",
        AlertDescription::NoApplicationProtocol => "the server speaks no version of HTTP that this client speaks",
        AlertDescription::InsufficientSecurity => "the server wants stronger ciphers than this client has",
        AlertDescription::InternalError => "the server has an internal error",
        _ => "the server refuses the handshake; see the source of this error for its alert",
    }
}

/// Returns the names that a certificate is for, up to [`MAX_SHOWN_NAMES`].
fn names(presented: &[String]) -> String {
    if presented.is_empty() {
        return "for no name at all (it has no subjectAltName)".to_owned();
    }
    let shown = presented.iter().take(MAX_SHOWN_NAMES).map(|name| bare_name(name)).collect::<Vec<_>>().join(", ");
    match presented.len().saturating_sub(MAX_SHOWN_NAMES) {
        0 => format!("for {shown}"),
        more => format!("for {shown} and {more} more"),
    }
}

/// Returns `localhost` of `DnsName("localhost")`, which is how rustls reports a name. Unprintable
/// characters are escaped, because a certificate may hold anything.
fn bare_name(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let inner = inner.unwrap_or(name).trim_matches('"');
    inner.chars().take(MAX_NAME).flat_map(char::escape_debug).collect()
}

/// Formats a time as HTTP does.
fn date(time: UnixTime) -> String {
    let seconds = time.as_secs();
    // The formatter panics on later dates.
    if seconds > LAST_DATE {
        return format!("second {seconds} of Unix time");
    }
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{InvalidMessage, PeerMisbehaved};

    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    fn not_for(expected: &'static str, presented: &[&str]) -> TlsError {
        let expected = ServerName::try_from(expected).unwrap();
        let presented = presented.iter().map(|name| (*name).to_owned()).collect();
        CertificateError::NotValidForNameContext { expected, presented }.into()
    }

    fn other(error: impl StdError + Send + Sync + 'static) -> TlsError {
        CertificateError::Other(OtherError(Arc::new(error))).into()
    }

    #[test]
    fn each_failed_check_is_named_with_what_to_do_about_it() {
        let expired = CertificateError::ExpiredContext { time: at(1_000_000_000), not_after: at(978_307_200) };
        let not_yet = CertificateError::NotValidYetContext { time: at(0), not_before: at(u64::MAX) };
        for (error, says) in [
            (
                expired.into(),
                "has expired, on Mon, 01 Jan 2001 00:00:00 GMT; this machine's clock says Sun, 09 Sep 2001 01:46:40 GMT",
            ),
            (not_yet.into(), "not valid yet, only from second 18446744073709551615 of Unix time"),
            (CertificateError::Expired.into(), "has expired"),
            (CertificateError::NotValidYet.into(), "not valid yet"),
            (not_for("a.example", &["DnsName(\"b.example\")"]), "not for a.example, but for b.example"),
            (not_for("::1", &["IpAddress(127.0.0.1)", "odd"]), "not for ::1, but for 127.0.0.1, odd"),
            (not_for("a.example", &["a", "b", "c", "d", "e", "f"]), "but for a, b, c, d and 2 more"),
            (not_for("a.example", &["DnsName(\"b\n\x1b[31m\")"]), r"but for b\n\u{1b}[31m"),
            (not_for("a.example", &[]), "but for no name at all"),
            (CertificateError::UnknownIssuer.into(), "add_root_certificates_pem"),
            (other(SelfSigned), "self-signed"),
            (other(webpki::Error::CaUsedAsEndEntity), "CA:TRUE"),
            (other(io::Error::other("?")), "see the source of this error for which one"),
            (CertificateError::Revoked.into(), "revoked"),
            (CertificateError::InvalidPurpose.into(), "not one for servers"),
            (TlsError::AlertReceived(AlertDescription::ProtocolVersion), "minimum_tls_version"),
            (PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into(), "minimum_tls_version"),
            (PeerIncompatible::NoCipherSuitesInCommon.into(), "in common"),
            (TlsError::AlertReceived(AlertDescription::CertificateRequired), "identity_pem"),
            (TlsError::AlertReceived(AlertDescription::HandshakeFailure), "identity_pem"),
            (TlsError::AlertReceived(AlertDescription::UnknownCA), "the authority that issued the client certificate"),
            (TlsError::AlertReceived(AlertDescription::Unknown(255)), "see the source of this error for its alert"),
            (InvalidMessage::InvalidContentType.into(), "http://"),
            (PeerMisbehaved::MissingKeyShare.into(), "breaks the protocol"),
            (TlsError::General("?".to_owned()), "see the source of this error for the reason"),
        ] {
            let reason = reason(&error);
            assert!(reason.contains(says), "{error:?}: {reason}");
        }
    }

    #[test]
    fn a_wrapped_tls_error_is_explained_and_others_stay_as_they_are() {
        let alert = TlsError::AlertReceived(AlertDescription::CertificateRequired);
        let wrapped = Error::with_source(ErrorKind::Protocol, "broke", io::Error::other(alert));
        let explained = explain("a.example", wrapped);
        assert_eq!(explained.kind(), ErrorKind::Tls);
        assert!(explained.to_string().contains("a.example failed: the server wants a client certificate"));

        let reset = Error::with_source(ErrorKind::Protocol, "broke", io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(explain("a.example", reset).kind(), ErrorKind::Protocol);
    }
}
