//! [`Server`]: an HTTP server that follows scripts.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet};

use crate::client::{Client, ClientBuilder};
use crate::transport::{BoxFuture, Connector, Io};

use super::requests::check_resumed_from;
use super::run::{Assigned, Plan, ServerRun};
use super::serve::serve;
use super::socket::{Socket, pair};

/// How long [`Server::finish`] waits for what is left of the scripts.
const LIMIT: Duration = Duration::from_secs(10);

/// How long the server pauses after a connection that it could not accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The number of the next server in memory.
static NEXT_NUMBER: AtomicUsize = AtomicUsize::new(1);

/// An HTTP/1.1 server for tests, which follows a [`Script`](super::Script) on each connection, or
/// sends a [`Log`](super::Log): see [`Plan`].
///
/// **A test fails if a script was not followed to its end:** if the client leaves before all was
/// sent, does not connect as often as there are scripts, or connects once more.
/// [`finish`](Self::finish) waits for the rest and says which connection and which step it was.
///
/// [In memory](Self::in_memory) it needs no network, and works with a paused clock. On
/// [loopback](Self::start) the client's sockets are real. With real sockets a paused clock jumps to
/// the next timer whenever the runtime waits for the network: so do not pause it.
///
/// # Drop behavior
///
/// Closes all connections. Panics like [`finish`](Self::finish), but waits for nothing, and not
/// while the thread panics already.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sseclient::testing::{Script, Server};
/// use sseclient::{Event, Filter, Gap};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), sseclient::Error> {
/// let server = Server::in_memory([
///     Script::open().event(Event::builder().id("7").data("one")).reset(),
///     Script::open().expect_resumed_from("7").event(Event::builder().id("8").data("two")),
/// ]);
/// let mut events = server.client().stream(server.url()).open(Filter::all()).await?;
/// assert_eq!(events.recv().await.unwrap().event().unwrap().data(), "one");
/// assert_eq!(events.recv().await.unwrap().gap(), Some(Gap::reconnected(Some("7".to_owned()))));
/// assert_eq!(events.recv().await.unwrap().event().unwrap().data(), "two");
/// server.finish().await;
/// # Ok(())
/// # }
/// ```
pub struct Server {
    url: String,
    client: ClientBuilder,
    connect: ConnectToServer,
    run: Arc<ServerRun>,
    task: JoinHandle<()>,
    is_checked: bool,
}

/// Makes a connection to the server.
type ConnectToServer = Arc<dyn Fn() -> BoxFuture<io::Result<Box<dyn Io>>> + Send + Sync>;

impl Server {
    /// Starts a server on a free port of the loopback interface.
    ///
    /// # Panics
    ///
    /// Without a port, or outside a tokio runtime.
    pub async fn start(plan: impl Into<Plan>) -> Self {
        let run = Arc::new(ServerRun::new(plan.into()));
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.unwrap_or_else(|error| panic!("no port on the loopback interface: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("a port without an address: {error}"));
        let task = tokio::spawn(listen(listener, Arc::clone(&run)));
        let connect: ConnectToServer =
            Arc::new(move || Box::pin(async move { Ok(Box::new(TcpStream::connect(address).await?) as Box<dyn Io>) }));
        let url = format!("http://{address}/stream");
        Self { url, client: Client::builder().no_proxy(), connect, run, task, is_checked: false }
    }

    /// Starts a server in memory, which only its own [`client`](Self::client) and its
    /// [`connector`](Self::connector) reach. It has a host name of its own in this process.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn in_memory(plan: impl Into<Plan>) -> Self {
        let run = Arc::new(ServerRun::new(plan.into()));
        let (connections, accepted) = unbounded_channel();
        let connecting = Arc::clone(&run);
        let connect: ConnectToServer = Arc::new(move || {
            let connected = match connecting.begin() {
                (_, Assigned::Refused) => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                (number, assigned) => {
                    let (client, server) = pair();
                    let sent = connections.send(Accepted { number, assigned, socket: server });
                    sent.map(|()| client).map_err(|_| io::ErrorKind::ConnectionRefused.into())
                }
            };
            Box::pin(async { connected.map(|client| Box::new(client) as Box<dyn Io>) })
        });
        let task = tokio::spawn(accept(accepted, Arc::clone(&run)));
        let url = format!("http://server-{}.invalid/stream", NEXT_NUMBER.fetch_add(1, Ordering::Relaxed));
        let client = Client::builder().connector(connector(&connect));
        Self { url, client, connect, run, task, is_checked: false }
    }

    /// Returns the URL of a stream. The server answers any path.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns a client that reaches the server, with the default settings and no proxy.
    pub fn client(&self) -> Client {
        self.client_builder().build()
    }

    /// Returns a builder of clients that reach the server, for other settings.
    pub fn client_builder(&self) -> ClientBuilder {
        self.client.clone()
    }

    /// Returns a connector to this server, also to one in memory; it ignores the URI. For a
    /// [`Transport`](crate::Transport) that is the program's own HTTP client, such as hyper, or for
    /// a client of several servers.
    pub fn connector(&self) -> impl Connector + Clone + use<> {
        connector(&self.connect)
    }

    /// Returns the requests so far: at most the first 10,000. Their URI is the path and the query.
    pub fn requests(&self) -> Vec<Request<Bytes>> {
        self.run.requests()
    }

    /// Asserts that the last request asked to resume after this ID; with `""`, after none.
    ///
    /// # Panics
    ///
    /// If it did not, or if there was no request.
    #[track_caller]
    pub fn assert_resumed_from(&self, id: &str) {
        check_resumed_from(&self.requests(), id);
    }

    /// Waits until every script was followed to its end, at most 10 s. Then it closes all
    /// connections.
    ///
    /// With a [`Log`](super::Log): until the client has got every event and, after that, a 204.
    ///
    /// With [`Plan::each`]: until the scripts of the connections so far were followed.
    ///
    /// It does not wait for connections that come after the last script: a client that would
    /// reconnect once more later is not noticed. With a paused clock the 10 s are virtual: they
    /// pass at once if nothing else runs. So await what a script sends after a longer stall, or a
    /// reconnection after a longer wait, before `finish`.
    ///
    /// # Panics
    ///
    /// If a script was not followed, or the events of a log were not all got: see [above](Self).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the server is, too.
    pub async fn finish(mut self) {
        // After the limit the check tells what is missing.
        let _ = tokio::time::timeout(LIMIT, self.run.settled()).await;
        self.is_checked = true;
        self.run.check();
    }
}

fn connector(connect: &ConnectToServer) -> impl Connector + Clone + use<> {
    let connect = Arc::clone(connect);
    move |_server: Uri| connect()
}

/// A connection in memory.
struct Accepted {
    number: usize,
    assigned: Assigned,
    socket: Socket,
}

/// Serves connections in memory. They end with this future.
async fn accept(mut accepted: UnboundedReceiver<Accepted>, run: Arc<ServerRun>) {
    let mut connections = JoinSet::new();
    while let Some(Accepted { number, assigned, socket }) = accepted.recv().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(serve(Arc::clone(&run), number, assigned, socket));
    }
}

/// Serves connections over TCP. They end with this future.
async fn listen(listener: TcpListener, run: Arc<ServerRun>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((tcp, _)) = listener.accept().await else {
            // The client has gone already, or the process has no descriptors left.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        // Without it the system would collect small pieces.
        let _ = tcp.set_nodelay(true);
        let (number, assigned) = run.begin();
        connections.spawn(serve(Arc::clone(&run), number, assigned, Socket::Tcp(tcp)));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        if !self.is_checked && !std::thread::panicking() {
            self.run.check();
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("url", &self.url).finish_non_exhaustive()
    }
}
