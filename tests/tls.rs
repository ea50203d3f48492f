//! https: given roots, the platform's, and none; each check that fails says which it was.

#![cfg(feature = "tls")]

mod support;

use std::error::Error as _;
use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::ServerConfig;
use sseclient::{Client, Delivery, Error, ErrorKind, Filter};
use support::{OPEN, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A certificate authority of this test's own, and a server that it vouches for under `name`.
struct Site {
    url: String,
    root_pem: String,
}

impl Site {
    async fn start(name: &str, not_after: Option<i32>) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        // Of its own, so that a chain is not checked against another authority's key.
        authority.distinguished_name.push(rcgen::DnType::CommonName, format!("root of {name} until {not_after:?}"));
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if let Some(year) = not_after {
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
        }
        let certificate = params.signed_by(&key, &authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                    let mut head = [0; 4096];
                    let _ = tls.read(&mut head).await;
                    let _ = tls.write_all(format!("{OPEN}data: over TLS\n\n").as_bytes()).await;
                    let _ = tls.read(&mut head).await;
                });
            }
        });
        Self { url, root_pem: authority.pem() }
    }

    async fn open(&self, root_pem: &str) -> Result<sseclient::Subscription, Error> {
        let client = Client::builder().root_certificates_pem(root_pem.as_bytes()).unwrap().build();
        within(client.stream(&*self.url).open(Filter::all())).await
    }
}

fn chain(error: &Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}{cause:?} {cause}; ");
        source = cause.source();
    }
    text
}

#[tokio::test]
async fn a_server_that_a_given_root_vouches_for_is_trusted() {
    let site = Site::start("localhost", None).await;
    let mut events = site.open(&site.root_pem).await.unwrap();
    let Some(Delivery::Event(event)) = within(events.recv()).await else { panic!("an event") };
    assert_eq!(event.data(), "over TLS");
}

#[tokio::test]
async fn a_certificate_that_fails_a_check_says_which() {
    let good = Site::start("localhost", None).await;
    let elsewhere = Site::start("elsewhere.example", None).await;
    let expired = Site::start("localhost", Some(2001)).await;
    for (site, root_pem, says) in [
        (&good, &elsewhere.root_pem, "UnknownIssuer"),
        (&elsewhere, &elsewhere.root_pem, "elsewhere.example"),
        (&expired, &expired.root_pem, "xpired"),
    ] {
        let error = site.open(root_pem).await.unwrap_err();
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::Tls, false));
        assert!(chain(&error).contains(says), "{says}: {}", chain(&error));
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_a_tls_error() {
    let server = support::Server::answering(vec![OPEN.to_owned()]).await;
    let url = server.url.replace("http://127.0.0.1", "https://localhost");
    let site = Site { url, root_pem: Site::start("localhost", None).await.root_pem };
    // The server waits for the end of a request that never comes, and so do we.
    let client = Client::builder().root_certificates_pem(site.root_pem.as_bytes()).unwrap().build();
    let opening = client.stream(&*site.url).connect_timeout(std::time::Duration::from_millis(50)).open("x");
    let error = within(opening).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectTimeout);
}

#[test]
fn roots_that_cannot_be_read_are_refused_when_they_are_given() {
    for pem in ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let error = Client::builder().root_certificates_pem(pem.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{pem:?}");
    }
}

/// A process of its own: which roots the platform has is read from its environment.
#[tokio::test]
async fn a_machine_without_roots_says_what_to_install_and_http_still_works() {
    let Ok(url) = std::env::var("SSECLIENT_TEST_URL") else {
        let server = support::Server::answering(vec![format!("{OPEN}data: plain\n\n")]).await;
        let output = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_machine_without_roots_says_what_to_install_and_http_still_works", "--nocapture"])
            .env("SSL_CERT_FILE", "/nonexistent/file")
            .env("SSL_CERT_DIR", "/nonexistent/folder")
            .env("SSECLIENT_TEST_URL", &server.url)
            .output();
        let output = within(output).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    };
    let mut events = within(sseclient::open(&*url)).await.unwrap();
    assert!(matches!(within(events.recv()).await, Some(Delivery::Event(_))));
    if cfg!(target_os = "linux") {
        let site = Site::start("localhost", None).await;
        let error = within(sseclient::open(&*site.url)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Roots);
        assert!(error.to_string().contains("install"), "{error}");
    }
}
