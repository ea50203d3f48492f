//! A server behind TLS, with a certificate authority made for the test.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, Stream};

use crate::folder::Folder;

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) folder: Folder,
    /// The path of its certificate in PEM, in that folder.
    pub(crate) file: PathBuf,
}

impl Authority {
    /// Each test uses a `name` of its own, so that parallel tests do not collide.
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let folder = Folder::new(name);
        let file = folder.join("authority.pem");
        std::fs::write(&file, certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), folder, file }
    }

    /// A server with a certificate of this authority that answers each request with `response`.
    pub(crate) fn serve(&self, response: &'static str) -> String {
        self.serve_with(WebPkiClientVerifier::no_client_auth(), response)
    }

    /// Like the server above, but only for clients with a certificate of this authority.
    pub(crate) fn serve_its_own(&self, response: &'static str) -> String {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.file).unwrap()).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
        self.serve_with(clients.build().unwrap(), response)
    }

    /// A client certificate and its key, as PEM.
    pub(crate) fn identity(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["client.example".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn serve_with(&self, clients: Arc<dyn ClientCertVerifier>, response: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let config = Arc::new(self.server_config(clients));
        thread::spawn(move || {
            while let Ok((mut socket, _)) = listener.accept() {
                let mut session = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = Stream::new(&mut session, &mut socket);
                // Clients that do not trust this server close early.
                if matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
                    let _ = stream.write_all(response.as_bytes());
                }
            }
        });
        url
    }

    fn server_config(&self, clients: Arc<dyn ClientCertVerifier>) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }
}
