//! An https server with a certificate authority of its own.

use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::support::OPEN;

#[derive(Clone)]
pub struct Site {
    pub root_pem: String,
    pub acceptor: TlsAcceptor,
}

impl Site {
    pub fn new(name: &str) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.distinguished_name.push(rcgen::DnType::CommonName, format!("root of {name}"));
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        Self { root_pem: authority.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    /// Answers one request with an event whose data is the request head, and stays until the client
    /// closes.
    pub async fn echo(&self, io: impl AsyncRead + AsyncWrite + Unpin) {
        let Ok(mut tls) = self.acceptor.accept(io).await else { return };
        echo(&mut tls).await;
    }
}

/// Reads a request head, and nothing that comes after it.
pub async fn head(io: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await?);
    }
    Ok(String::from_utf8(head).unwrap())
}

/// Answers one request with an event whose data is the request head, and stays until the client
/// closes.
pub async fn echo(io: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let Ok(head) = head(io).await else { return };
    let event: String = head.trim_end().lines().map(|line| format!("data: {line}\n")).collect();
    let _ = io.write_all(format!("{OPEN}{event}\n").as_bytes()).await;
    let _ = io.flush().await;
    let _ = io.read_u8().await;
}
