//! https servers on loopback, and their certificate authorities, which are made for each test.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use sseclient::{Client, ClientBuilder, Delivery, Error, Filter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::{OPEN, within};

pub type Versions = &'static [&'static SupportedProtocolVersion];

pub static BOTH: Versions = &[&TLS12, &TLS13];
pub static ONLY_12: Versions = &[&TLS12];
pub static ONLY_13: Versions = &[&TLS13];

/// A certificate authority for one test.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// Makes an authority. Each test uses a `name` of its own, so that no chain is checked against
    /// the key of another.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("the authority of {name}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `name` that is valid between the starts of two years.
    pub fn vouch_between(&self, name: &str, from: i32, to: i32) -> Vouched {
        let mut params = params(name);
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().unwrap();
        Vouched::new(&params.signed_by(&key, &self.0).unwrap(), &key)
    }

    pub fn vouch(&self, name: &str) -> Vouched {
        self.vouch_for(name, &KeyPair::generate().unwrap())
    }

    pub fn vouch_for(&self, name: &str, key: &KeyPair) -> Vouched {
        Vouched::new(&params(name).signed_by(key, &self.0).unwrap(), key)
    }

    /// A verifier that accepts only client certificates of this authority.
    pub fn asking(&self) -> Arc<dyn ClientCertVerifier> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap()
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name.to_owned());
    params
}

pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A certificate and its key.
pub struct Vouched {
    pub certificate: CertificateDer<'static>,
    pub pem: String,
    pub key: PrivateKeyDer<'static>,
    pub key_pem: String,
}

impl Vouched {
    fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> Self {
        let (pem, key_pem) = (certificate.pem(), key.serialize_pem());
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Self { certificate: certificate.der().clone(), pem, key, key_pem }
    }

    /// A self-signed certificate, marked as an authority's or not.
    pub fn by_itself(name: &str, is_ca: bool) -> Self {
        let mut params = params(name);
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let key = KeyPair::generate().unwrap();
        Self::new(&params.self_signed(&key).unwrap(), &key)
    }
}

/// A server's configuration: its certificate, its TLS versions, and its verifier of clients.
pub fn config(shown: &Vouched, versions: Versions, clients: Option<Arc<dyn ClientCertVerifier>>) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions).unwrap();
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    let key = rustls::crypto::ring::sign::any_supported_type(&shown.key).unwrap();
    // `with_single_cert` would refuse the key of another certificate.
    let certified = CertifiedKey::new(vec![shown.certificate.clone()], key);
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"x-own".to_vec()];
    config
}

/// Serves each client one event, whose data names the negotiated protocols. Returns the URL.
pub async fn serve(config: ServerConfig) -> String {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    each(move |tcp| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut tls) = acceptor.accept(tcp).await else { return };
            let session = tls.get_ref().1;
            let version = session.protocol_version();
            let protocol = session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
            let agreed = format!("{:?} {}", version.unwrap(), protocol.unwrap_or_default());
            let mut head = [0; 4096];
            let _ = tls.read(&mut head).await;
            let _ = tls.write_all(format!("{OPEN}data: {agreed}\n\n").as_bytes()).await;
            let _ = tls.read(&mut head).await;
        }
    })
    .await
}

/// Answers the first bytes of each client with these bytes, and closes. Returns the URL.
pub async fn answer(bytes: &'static [u8]) -> String {
    each(move |mut tcp| async move {
        let mut greeting = [0; 4096];
        let _ = tcp.read(&mut greeting).await;
        let _ = tcp.write_all(bytes).await;
    })
    .await
}

async fn each<Fut>(serve: impl Fn(TcpStream) -> Fut + Send + 'static) -> String
where
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve(tcp));
        }
    });
    format!("https://localhost:{port}/")
}

/// A client that trusts this authority alone.
pub fn trusting(pem: &str) -> ClientBuilder {
    Client::builder().root_certificates_pem(pem.as_bytes()).unwrap()
}

/// The data of the first event at `url`, or the error of the first attempt.
pub async fn ask(client: ClientBuilder, url: &str) -> Result<String, Error> {
    let mut events = within(client.build().stream(url).open(Filter::all())).await?;
    let Some(Delivery::Event(event)) = within(events.recv()).await else { panic!("an event") };
    Ok(event.data().to_owned())
}
