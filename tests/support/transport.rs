//! The transports of the tests: most tests run on each of them.
//!
//! `SSECLIENT_TEST_TRANSPORT` names the one of this process: `reqwest`, or `memory`, which is hyper
//! without sockets. If it is not set, it is the built-in one.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::{LazyLock, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sseclient::testing::{self, Plan};
use sseclient::{Client, ClientBuilder, Connector as _, ErrorKind};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

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

/// Sends one request over a connection in memory, which ends with the response.
async fn through_memory(mut request: Request<Bytes>) -> Result<Response<Incoming>, BoxError> {
    let authority = request.uri().authority().ok_or("a URL without an authority")?.clone();
    let connect = LISTENERS.lock().unwrap().get(authority.as_str()).map(|connect| connect());
    let io = connect.ok_or("no server listens there")?.await?;
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
            let (sender, connections) = unbounded_channel();
            let authority = format!("memory-{}.invalid", LISTENERS.lock().unwrap().len());
            register(authority.clone(), move || {
                let (ours, theirs) = duplex(IN_FLIGHT);
                let sent = sender.send(theirs);
                async { sent.map(|()| ours).map_err(Into::into) }
            });
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

/// Makes a connection to a server.
type Connect = Box<dyn Fn() -> BoxFuture<'static, Result<Box<dyn Io>, BoxError>> + Send>;

/// How to connect to each server in memory, by its authority.
static LISTENERS: LazyLock<Mutex<HashMap<String, Connect>>> = LazyLock::new(Mutex::default);

/// Starts a server for the transport of this process, on loopback or in memory.
pub async fn serve(plan: impl Into<Plan>) -> testing::Server {
    if TestTransport::current() != TestTransport::Memory {
        return testing::Server::start(plan).await;
    }
    let server = testing::Server::in_memory(plan);
    let (uri, connector) = (server.url().parse::<Uri>().unwrap(), server.connector());
    register(uri.authority().unwrap().to_string(), move || {
        let (connector, uri) = (connector.clone(), uri.clone());
        async move { connector.connect(uri).await.map_err(Into::into) }
    });
    server
}

fn register<Fut, T>(authority: String, connect: impl Fn() -> Fut + Send + 'static)
where
    Fut: Future<Output = Result<T, BoxError>> + Send + 'static,
    T: Io + 'static,
{
    let boxed = move || -> BoxFuture<'static, _> {
        let connecting = connect();
        Box::pin(async move { Ok(Box::new(connecting.await?) as Box<dyn Io>) })
    };
    LISTENERS.lock().unwrap().insert(authority, Box::new(boxed));
}
