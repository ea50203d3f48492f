//! Mutual TLS: client certificates, and the errors of clients without a valid one.

#![cfg(feature = "tls")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer};
use sseclient::{Client, ErrorKind};

use crate::site::{Authority, ONLY_12, ONLY_13, Vouched, ask, config, serve, trusting};

/// A key for these tests only. ring cannot generate RSA keys.
const RSA_KEY: &str = include_str!("rsa_key.pem");

/// The bytes of a PKCS#8 key in front of the SEC1 encoding of a P-256 key.
const SEC1_AT: usize = 29;

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// rcgen reads PKCS#8 only, so this wraps the PKCS#1 key.
fn rsa_pair() -> KeyPair {
    let key = PrivatePkcs1KeyDer::from_pem_slice(RSA_KEY.as_bytes()).unwrap();
    let key = key.secret_pkcs1_der();
    let long = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], content].concat()
    };
    let algorithm = b"\x02\x01\x00\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    let pkcs8 = long(0x30, &[&algorithm[..], &long(0x04, key)].concat());
    KeyPair::try_from(&*pkcs8).unwrap()
}

/// For every format in which a private key can be written.
#[tokio::test]
async fn a_server_that_asks_gets_the_clients_certificate() {
    let authority = Authority::new("mutual");
    let client = authority.vouch("client.example");
    let sec1 = pem("EC PRIVATE KEY", &client.key.secret_der()[SEC1_AT..]);
    let rsa = authority.vouch_for("client.example", &rsa_pair());
    let together = format!("{}{}{}", client.key_pem, client.pem, authority.pem());
    for versions in [ONLY_12, ONLY_13] {
        let shown = authority.vouch("localhost");
        let url = serve(config(&shown, versions, Some(authority.asking()))).await;
        for (certificates, key) in [
            (&client.pem, &client.key_pem),
            (&client.pem, &sec1),
            (&rsa.pem, &RSA_KEY.to_owned()),
            (&together, &together),
        ] {
            let builder = trusting(&authority.pem()).identity_pem(certificates.as_bytes(), key.as_bytes()).unwrap();
            assert!(ask(builder, &url).await.unwrap().ends_with("http/1.1"), "{key}");
        }
    }
}

#[tokio::test]
async fn the_error_says_that_the_server_wants_another_client_certificate() {
    let authority = Authority::new("strict");
    let stranger = Authority::new("strangers").vouch("client.example");
    let late = authority.vouch_between("client.example", 1999, 2001);
    for versions in [ONLY_12, ONLY_13] {
        let url = serve(config(&authority.vouch("localhost"), versions, Some(authority.asking()))).await;
        let showing = |shown: &Vouched| {
            trusting(&authority.pem()).identity_pem(shown.pem.as_bytes(), shown.key_pem.as_bytes()).unwrap()
        };
        for (client, says) in [
            (trusting(&authority.pem()), "the server wants a client certificate: give one with identity_pem"),
            (showing(&stranger), "does not know the authority that issued the client certificate"),
            (showing(&late), "the client certificate has expired"),
        ] {
            let error = ask(client, &url).await.unwrap_err();
            assert_eq!((error.kind(), error.is_final()), (ErrorKind::Tls, false), "{error}");
            assert!(error.to_string().contains(says), "{says}: {error}");
        }
    }
}

#[test]
fn an_identity_that_cannot_be_used_is_refused_when_it_is_given() {
    let authority = Authority::new("unusable");
    let (client, other) = (authority.vouch("client.example"), authority.vouch("other.example"));
    let encrypted = pem("ENCRYPTED PRIVATE KEY", client.key.secret_der());
    let broken_certificate = pem("CERTIFICATE", b"AAAA");
    let broken_key = pem("PRIVATE KEY", b"AAAA");
    let cut = &client.key_pem[..client.key_pem.len() - 30];
    for (certificates, key, says) in [
        ("", &*client.key_pem, "holds no client certificate"),
        (&client.key_pem, &client.key_pem, "holds no client certificate"),
        (&broken_certificate, &client.key_pem, "certificate cannot be read"),
        (&client.pem, "", "holds no private key"),
        (&client.pem, &client.pem, "holds no private key"),
        (&client.pem, cut, "holds no private key"),
        (&client.pem, &broken_key, "private key cannot be used"),
        (&client.pem, &encrypted, "encrypted"),
        (&client.pem, &other.key_pem, "does not belong"),
        (&format!("{}{}", authority.pem(), client.pem), &client.key_pem, "put that certificate first"),
    ] {
        let error = Client::builder().identity_pem(certificates.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{says}");
        assert!(error.to_string().contains(says), "{says}: {error}");
        assert_silent(&format!("{error:?} {error:#?}"), &client);
    }
}

#[test]
fn debug_shows_that_there_is_an_identity_and_nothing_of_its_key() {
    let client = Authority::new("secret").vouch("client.example");
    let builder = Client::builder().identity_pem(client.pem.as_bytes(), client.key_pem.as_bytes()).unwrap();
    let shown = format!("{builder:?}");
    assert!(shown.contains("1 certificates and a key"), "{shown}");
    assert_silent(&shown, &client);
    assert_silent(&format!("{:?}", builder.build()), &client);
}

/// Asserts that `shown` contains neither the text of the key nor its bytes as `Debug` prints them.
fn assert_silent(shown: &str, client: &Vouched) {
    let PrivateKeyDer::Pkcs8(key) = &client.key else { panic!("rcgen writes PKCS#8") };
    let secret = &key.secret_pkcs8_der()[SEC1_AT + 8..SEC1_AT + 16];
    let bytes = format!("{secret:?}");
    assert!(!shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
    for line in client.key_pem.lines().filter(|line| !line.starts_with('-')) {
        assert!(!shown.contains(line), "{shown}");
    }
}
