//! https: which servers a client trusts, and the errors when a check fails.

#![cfg(feature = "tls")]

use std::time::Duration;

use sseclient::{Client, Delivery, ErrorKind, TlsVersion};

use crate::site::{Authority, BOTH, ONLY_12, ONLY_13, Vouched, answer, ask, config, serve, trusting};
use crate::support::folder::Folder;
use crate::support::{self, RawServer, in_own_process, within};

#[tokio::test]
async fn a_server_is_trusted_by_roots_that_replace_others_or_are_added_to_them() {
    let authority = Authority::new("trusted");
    let other = Authority::new("trusted by others");
    let url = serve(config(&authority.vouch("localhost"), BOTH, None)).await;
    let (pem, other) = (authority.pem(), other.pem());
    let both = format!("The authorities of this house:\n{other}\n{pem}");
    let adding =
        |client: sseclient::ClientBuilder, pem: &str| client.add_root_certificates_pem(pem.as_bytes()).unwrap();
    for client in [
        trusting(&pem),
        trusting(&both),
        trusting(&other).root_certificates_pem(pem.as_bytes()).unwrap(),
        adding(Client::builder(), &pem),
        adding(Client::builder(), &both),
        adding(trusting(&other), &pem),
        adding(trusting(&pem), &other),
        adding(adding(trusting(&other), &pem), &other),
        #[cfg(feature = "webpki-roots")]
        adding(Client::builder().webpki_roots(), &pem),
    ] {
        let shown = format!("{client:?}");
        assert_eq!(ask(client, &url).await.unwrap(), "TLSv1_3 http/1.1", "{shown}");
    }
}

#[tokio::test]
async fn a_certificate_that_fails_a_check_says_which_and_what_to_do() {
    let authority = Authority::new("failing");
    let alone = Vouched::by_itself("localhost", false);
    let ca = Vouched::by_itself("localhost", true);
    let other = Authority::new("failing others").pem();
    for (shown, root, says) in [
        (&authority.vouch("localhost"), &other, "give its root with add_root_certificates_pem"),
        (&authority.vouch("elsewhere.example"), &authority.pem(), "not for localhost, but for elsewhere.example"),
        (&authority.vouch("127.0.0.1"), &authority.pem(), "not for localhost, but for 127.0.0.1"),
        (
            &authority.vouch_between("localhost", 1999, 2001),
            &authority.pem(),
            "has expired, on Mon, 01 Jan 2001 00:00:00 GMT; this machine's clock says",
        ),
        (
            &authority.vouch_between("localhost", 4000, 4001),
            &authority.pem(),
            "not valid yet, only from Sat, 01 Jan 4000 00:00:00 GMT; this machine's clock says",
        ),
        (&alone, &other, "self-signed"),
        (&ca, &other, "CA:TRUE"),
        (&ca, &ca.pem, "CA:TRUE"),
    ] {
        let url = serve(config(shown, BOTH, None)).await;
        let error = ask(trusting(root), &url).await.unwrap_err();
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::Tls, false));
        let message = error.to_string();
        assert!(message.starts_with("the TLS handshake with localhost failed: "), "{message}");
        assert!(message.contains(says), "{says}: {message}");
    }
}

#[cfg(feature = "webpki-roots")]
#[tokio::test]
async fn mozillas_roots_do_not_vouch_for_a_private_authority() {
    let url = serve(config(&Authority::new("private").vouch("localhost"), BOTH, None)).await;
    let error = ask(Client::builder().webpki_roots(), &url).await.unwrap_err();
    assert!(error.to_string().contains("no authority that this client trusts"), "{error}");
}

#[tokio::test]
async fn a_self_signed_certificate_can_be_given_as_its_own_root() {
    let alone = Vouched::by_itself("localhost", false);
    let url = serve(config(&alone, BOTH, None)).await;
    assert_eq!(ask(trusting(&alone.pem), &url).await.unwrap(), "TLSv1_3 http/1.1");
}

#[tokio::test]
async fn accepting_invalid_certificates_accepts_all_and_the_default_none() {
    let authority = Authority::new("dangerous");
    let other = Authority::new("others than dangerous").pem();
    for (shown, versions, agreed) in [
        (authority.vouch("localhost"), ONLY_12, "TLSv1_2 http/1.1"),
        (authority.vouch("elsewhere.example"), ONLY_13, "TLSv1_3 http/1.1"),
        (authority.vouch_between("localhost", 1999, 2001), BOTH, "TLSv1_3 http/1.1"),
        (Vouched::by_itself("localhost", false), BOTH, "TLSv1_3 http/1.1"),
        (Vouched::by_itself("localhost", true), BOTH, "TLSv1_3 http/1.1"),
    ] {
        let url = serve(config(&shown, versions, None)).await;
        let dangerous = trusting(&other).danger_accept_invalid_certificates(true);
        assert_eq!(ask(dangerous.clone(), &url).await.unwrap(), agreed);
        let off = dangerous.danger_accept_invalid_certificates(false);
        assert_eq!(ask(off, &url).await.unwrap_err().kind(), ErrorKind::Tls);
    }
}

/// Also with `danger_accept_invalid_certificates`.
#[tokio::test]
async fn a_server_without_its_certificates_key_is_always_refused() {
    let authority = Authority::new("replayed");
    for versions in [ONLY_12, ONLY_13] {
        let mut stolen = authority.vouch("localhost");
        stolen.key = authority.vouch("localhost").key;
        let url = serve(config(&stolen, versions, None)).await;
        let error = ask(Client::builder().danger_accept_invalid_certificates(true), &url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        assert!(error.to_string().contains("signature"), "{error}");
    }
}

#[tokio::test]
async fn tls_versions_below_the_minimum_are_refused_with_a_hint() {
    let authority = Authority::new("versions");
    let shown = authority.vouch("localhost");
    for (versions, minimum, expected) in [
        (ONLY_12, None, Some("TLSv1_2 http/1.1")),
        (ONLY_12, Some(TlsVersion::Tls12), Some("TLSv1_2 http/1.1")),
        (ONLY_12, Some(TlsVersion::Tls13), None),
        (BOTH, Some(TlsVersion::Tls12), Some("TLSv1_3 http/1.1")),
        (ONLY_13, Some(TlsVersion::Tls13), Some("TLSv1_3 http/1.1")),
    ] {
        let url = serve(config(&shown, versions, None)).await;
        let mut client = trusting(&authority.pem());
        if let Some(minimum) = minimum {
            client = client.minimum_tls_version(minimum);
        }
        match (ask(client, &url).await, expected) {
            (Ok(agreed), Some(expected)) => assert_eq!(agreed, expected),
            (Err(error), None) => assert!(error.to_string().contains("older than this client's minimum"), "{error}"),
            (got, expected) => panic!("{got:?}, not {expected:?}"),
        }
    }
}

#[tokio::test]
async fn the_message_explains_an_answer_that_is_no_server_hello() {
    let pem = Authority::new("answers").pem();
    // A ServerHello of TLS 1.1 (RFC 4346, section 7.4.1.3): a random of 32 bytes, no session, a
    // cipher, no compression.
    let old_hello = [&b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02"[..], &[7; 32], b"\x00\x00\x2f\x00"].concat();
    // The alerts are of TLS 1.1, fatal: protocol_version, handshake_failure, unrecognized_name.
    for (bytes, says) in [
        (&*old_hello.leak(), "only versions of TLS older than this client's minimum"),
        (b"\x15\x03\x02\x00\x02\x02\x46", "only versions of TLS older than this client's minimum"),
        (b"\x15\x03\x02\x00\x02\x02\x28", "identity_pem"),
        (b"\x15\x03\x02\x00\x02\x02\x70", "does not know this name"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "http://"),
        (b"", "hung up"),
    ] {
        let url = answer(bytes).await;
        let error = ask(trusting(&pem), &url).await.unwrap_err();
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::Tls, false));
        assert!(error.to_string().contains(says), "{says}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_the_handshake_hits_the_connect_timeout() {
    let server = RawServer::start(|_, connection| connection.closed()).await;
    let url = server.url.replace("http://127.0.0.1", "https://localhost");
    // Both sides wait: the server takes the handshake for the start of a request.
    let client = trusting(&Authority::new("silent").pem()).build();
    let opening = client.stream(&*url).connect_timeout(Duration::from_millis(50)).open("x");
    assert_eq!(within(opening).await.unwrap_err().kind(), ErrorKind::ConnectTimeout);
}

#[test]
fn roots_that_cannot_be_read_are_refused_when_they_are_given() {
    for pem in ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let replacing = Client::builder().root_certificates_pem(pem.as_bytes()).unwrap_err();
        assert_eq!(replacing.kind(), ErrorKind::InvalidConfig, "{pem:?}");
        let adding = Client::builder().add_root_certificates_pem(pem.as_bytes()).unwrap_err();
        assert_eq!(adding.kind(), ErrorKind::InvalidConfig, "{pem:?}");
    }
}

/// The test starts itself in a process of its own, because the platform's roots depend on the
/// environment.
#[tokio::test]
async fn a_machine_without_roots_says_what_to_install_and_http_still_works() {
    const NAME: &str = "tls::a_machine_without_roots_says_what_to_install_and_http_still_works";
    let Ok(url) = std::env::var("SSECLIENT_TEST_URL") else {
        let server = support::staying("data: plain\n\n").await;
        let variables = [
            ("SSL_CERT_FILE", "/nonexistent/file"),
            ("SSL_CERT_DIR", "/nonexistent/folder"),
            ("SSECLIENT_TEST_URL", server.url()),
        ];
        return in_own_process(NAME, &variables).await;
    };
    let mut events = within(sseclient::open(&*url)).await.unwrap();
    assert!(matches!(within(events.recv()).await, Some(Delivery::Event(_))));
    if cfg!(target_os = "linux") {
        let authority = Authority::new("no roots");
        let url = serve(config(&authority.vouch("localhost"), BOTH, None)).await;
        let error = within(sseclient::open(&*url)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Roots);
        assert!(error.to_string().contains("install"), "{error}");
        // Then the added roots are the only ones.
        let adding = Client::builder().add_root_certificates_pem(authority.pem().as_bytes()).unwrap();
        assert_eq!(ask(adding, &url).await.unwrap(), "TLSv1_3 http/1.1");
    }
}

/// The test starts itself in a process of its own, for which the test's authority is the
/// platform's.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_platforms_roots_vouch_for_a_server_and_for_no_other() {
    const NAME: &str = "tls::the_platforms_roots_vouch_for_a_server_and_for_no_other";
    let Ok(urls) = std::env::var("SSECLIENT_TEST_URLS") else {
        let authority = Authority::new("the platform");
        let url = serve(config(&authority.vouch("localhost"), BOTH, None)).await;
        let misnamed = serve(config(&authority.vouch("elsewhere.example"), BOTH, None)).await;
        let stranger = serve(config(&Authority::new("a stranger").vouch("localhost"), BOTH, None)).await;
        let folder = Folder::new("roots");
        let file = folder.join("roots.pem");
        std::fs::write(&file, authority.pem()).unwrap();
        let variables = [
            ("SSL_CERT_FILE", file.to_str().unwrap()),
            ("SSL_CERT_DIR", "/nonexistent/folder"),
            ("SSECLIENT_TEST_URLS", &[url, misnamed, stranger].join(" ")),
        ];
        in_own_process(NAME, &variables).await;
        return;
    };
    for (url, expected) in urls.split(' ').zip([
        Ok("TLSv1_3 http/1.1"),
        Err("not for localhost, but for elsewhere.example"),
        Err("give its root with add_root_certificates_pem"),
    ]) {
        match (ask(Client::builder(), url).await, expected) {
            (Ok(agreed), Ok(expected)) => assert_eq!(agreed, expected),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (got, expected) => panic!("{got:?}, not {expected:?}"),
        }
    }
}

#[cfg(feature = "rustls-0_23")]
mod own_configuration {
    use std::sync::Arc;

    use rustls::{ClientConfig, RootCertStore};

    use super::*;
    use crate::site::provider;

    fn own(root: &Vouched, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(root.certificate.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(ONLY_12).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }

    #[tokio::test]
    async fn a_callers_configuration_replaces_ours_and_keeps_its_protocols() {
        let alone = Vouched::by_itself("localhost", false);
        let url = serve(config(&alone, BOTH, None)).await;
        let other = Authority::new("own").pem();
        let client = |protocols| trusting(&other).rustls_0_23_config(own(&alone, protocols));
        assert_eq!(ask(client(&[]), &url).await.unwrap(), "TLSv1_2 http/1.1");
        assert_eq!(ask(client(&[b"http/1.1"]), &url).await.unwrap(), "TLSv1_2 http/1.1");
        let error = ask(client(&[b"gopher"]), &url).await.unwrap_err();
        assert!(error.to_string().contains("no version of HTTP"), "{error}");
    }
}
