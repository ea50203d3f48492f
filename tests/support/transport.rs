//! The transports of the tests: most tests run on each of them.
//!
//! `SSECLIENT_TEST_TRANSPORT` names the one of this process: `reqwest`, or `memory`, which is hyper
//! without sockets. If it is not set, it is the built-in one.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::io;
use std::sync::{LazyLock, Mutex};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sseclient::testing::Server;
use sseclient::{Client, ClientBuilder, Connector as _, ErrorKind};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type BoxError = Box<dyn StdError + Send + Sync>;

/// Room for many clients at once. A client that finds the queue full would retry a second later.
const BACKLOG: u32 = 4096;

/// How many bytes are under way in memory, as in a socket's buffers.
const IN_FLIGHT: usize = 64 * 1024;

/// The transport of this process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TestTransport {
    BuiltIn,
    Reqwest,
    Memory,
}

impl TestTransport {
    pub fn current() -> Self {
        static CURRENT: LazyLock<TestTransport> =
            LazyLock::new(|| match std::env::var("SSECLIENT_TEST_TRANSPORT").as_deref() {
                Err(_) => TestTransport::BuiltIn,
                Ok("reqwest") => TestTransport::Reqwest,
                Ok("memory") => TestTransport::Memory,
                Ok(other) => panic!("no transport of the tests: {other}"),
            });
        *CURRENT
    }

    /// The number of tasks that it has for each response that is open.
    pub fn tasks(self) -> usize {
        usize::from(self != Self::BuiltIn)
    }
}

/// A client with the transport of this process, and all defaults.
pub fn client() -> Client {
    client_builder().build()
}

/// A builder of such a client.
pub fn client_builder() -> ClientBuilder {
    match TestTransport::current() {
        TestTransport::BuiltIn => Client::builder(),
        TestTransport::Reqwest => Client::builder().transport(through_reqwest()),
        TestTransport::Memory => Client::builder().transport(through_memory),
    }
}

/// A builder of clients with the transport of this process, which reach this server.
pub fn client_builder_of(server: &Server) -> ClientBuilder {
    match TestTransport::current() {
        TestTransport::BuiltIn => server.client_builder(),
        TestTransport::Reqwest => client_builder(),
        TestTransport::Memory => {
            let connector = server.connector();
            Client::builder().transport(move |request: Request<Bytes>| {
                let connector = connector.clone();
                async move {
                    let io = connector.connect(request.uri().clone()).await.map_err(Into::into)?;
                    send(io, request).await
                }
            })
        }
    }
}

/// The kind of error if a server's answer is no HTTP response. What a transport fails with is its
/// own.
pub fn no_response() -> ErrorKind {
    match TestTransport::current() {
        TestTransport::BuiltIn => ErrorKind::Protocol,
        _ => ErrorKind::Transport,
    }
}

/// A reqwest client as the guide advises.
fn through_reqwest() -> impl sseclient::Transport {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        // The scripts of the servers answer one request on each connection.
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();
    move |request: Request<Bytes>| {
        let sending = reqwest::Request::try_from(request).map(|request| client.execute(request));
        async { sending?.await.map(Response::<reqwest::Body>::from) }
    }
}

/// Sends one request to a server that listens in memory.
async fn through_memory(request: Request<Bytes>) -> Result<Response<Incoming>, BoxError> {
    let authority = request.uri().authority().ok_or("a URL without an authority")?;
    let io = LISTENERS.lock().unwrap().connect(authority.as_str())?;
    send(io, request).await
}

/// Sends one request over a connection that ends with the response.
async fn send(io: impl Io + 'static, mut request: Request<Bytes>) -> Result<Response<Incoming>, BoxError> {
    let authority = request.uri().authority().ok_or("a URL without an authority")?.clone();
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    tokio::spawn(connection);
    request.headers_mut().entry(HOST).or_insert(HeaderValue::from_str(authority.as_str())?);
    *request.uri_mut() = request.uri().path_and_query().ok_or("a URL without a path")?.as_str().parse()?;
    Ok(sender.send_request(request.map(Full::new)).await?)
}

/// A connection, as a server sees it.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// The server's end of a transport.
pub enum Listener {
    Tcp(TcpListener),
    Memory(UnboundedReceiver<DuplexStream>),
}

impl Listener {
    /// Listens at an address of its own. Returns its authority, for URLs.
    pub fn bind() -> (Self, String) {
        if TestTransport::current() == TestTransport::Memory {
            let (authority, connections) = LISTENERS.lock().unwrap().listen();
            return (Self::Memory(connections), authority);
        }
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(BACKLOG).unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        (Self::Tcp(listener), authority)
    }

    pub async fn accept(&mut self) -> Option<Box<dyn Io>> {
        match self {
            Self::Tcp(listener) => {
                let (tcp, _) = listener.accept().await.ok()?;
                tcp.set_nodelay(true).unwrap();
                Some(Box::new(tcp))
            }
            Self::Memory(connections) => Some(Box::new(connections.recv().await?)),
        }
    }
}

/// Who listens in memory, by authority.
#[derive(Default)]
struct Listeners {
    senders: HashMap<String, UnboundedSender<DuplexStream>>,
}

static LISTENERS: LazyLock<Mutex<Listeners>> = LazyLock::new(Mutex::default);

impl Listeners {
    fn listen(&mut self) -> (String, UnboundedReceiver<DuplexStream>) {
        let authority = format!("memory-{}.invalid", self.senders.len());
        let (sender, receiver) = unbounded_channel();
        self.senders.insert(authority.clone(), sender);
        (authority, receiver)
    }

    fn connect(&self, authority: &str) -> io::Result<DuplexStream> {
        let (ours, theirs) = duplex(IN_FLIGHT);
        let sent = self.senders.get(authority).is_some_and(|listener| listener.send(theirs).is_ok());
        sent.then_some(ours).ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }
}
