//! hyper without a parser. The sink gets HTTP chunks.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Reader, Sink};

type Conn = Connection<TokioIo<TcpStream>, Empty<Bytes>>;

/// Spawns the connection as a task of its own, which is the usual way.
pub async fn spawned(url: &str, sink: Sink<'_>) {
    let (sender, connection) = connect(url).await;
    tokio::spawn(connection);
    let mut body = request(sender, url).await;
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(chunk) = frame.into_data()
            && sink(&chunk).is_break()
        {
            break;
        }
    }
}

/// Polls the connection beside the body, in the task that reads it.
pub async fn same_task(url: &str, sink: Sink<'_>) {
    let (sender, connection) = connect(url).await;
    let mut connection = pin!(connection);
    let mut response = pin!(request(sender, url));
    let mut body = poll_fn(|context| {
        let _ = connection.as_mut().poll(context);
        response.as_mut().poll(context)
    })
    .await;
    let mut open = true;
    loop {
        let frame = poll_fn(|context| {
            // Polling the connection fills the body. A finished connection must not be polled
            // again.
            open = open && connection.as_mut().poll(context).is_pending();
            Pin::new(&mut body).poll_frame(context)
        })
        .await;
        let Some(Ok(frame)) = frame else { return };
        if let Ok(chunk) = frame.into_data()
            && sink(&chunk).is_break()
        {
            return;
        }
    }
}

/// Opens streams with a reader and a connection task each.
pub async fn open_idle(url: &str, readers: impl Iterator<Item = Reader>) {
    if let Some((url, certificate)) = url.split_once('#') {
        return open_idle_tls(url, certificate, readers).await;
    }
    for reader in readers {
        let (sender, connection) = connect(url).await;
        tokio::spawn(connection);
        let body = request(sender, url).await;
        tokio::spawn(read(body, reader));
    }
}

/// Counts events by their line ends, because an HTTP chunk may cut an event.
async fn read(mut body: Incoming, mut reader: Reader) {
    let mut lines = 0;
    reader.took(0);
    while let Some(Ok(frame)) = body.frame().await {
        let ends = frame.data_ref().map_or(0, |chunk| memchr::memchr_iter(b'\n', chunk).count());
        lines += ends;
        reader.took(lines / 2);
        lines %= 2;
    }
}

/// Opens silent streams over TLS, with one configuration for all.
async fn open_idle_tls(url: &str, certificate: &str, readers: impl Iterator<Item = Reader>) {
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(certificate).expect("the server has written it");
    roots.add(CertificateDer::from_pem_slice(&pem).expect("a certificate")).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.expect("ring has them").with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    for reader in readers {
        let socket = tcp(url).await;
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        let tls = connector.connect(name, socket).await.expect("the server greets");
        let (sender, connection) = handshake(TokioIo::new(tls)).await.expect("hyper's handshake sends nothing");
        tokio::spawn(connection);
        let body = request(sender, url).await;
        tokio::spawn(read(body, reader));
    }
}

async fn connect(url: &str) -> (SendRequest<Empty<Bytes>>, Conn) {
    let socket = tcp(url).await;
    handshake(TokioIo::new(socket)).await.expect("hyper's handshake sends nothing")
}

async fn tcp(url: &str) -> TcpStream {
    let uri: Uri = url.parse().expect("the URL from e2e");
    let address = uri.authority().expect("the URL from e2e").as_str();
    let socket = TcpStream::connect(address).await.expect("the server listens");
    socket.set_nodelay(true).expect("a live socket");
    socket
}

async fn request(mut sender: SendRequest<Empty<Bytes>>, url: &str) -> Incoming {
    let uri: Uri = url.parse().expect("the URL from e2e");
    let request = Request::get(uri.path())
        .header("host", uri.authority().expect("the URL from e2e").as_str())
        .header("accept", "text/event-stream")
        .body(Empty::new())
        .expect("a valid request");
    sender.send_request(request).await.expect("the server answers").into_body()
}
