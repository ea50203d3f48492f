//! A TCP relay that cuts a connection in the middle of an event.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// How the relay ends a connection.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Cut {
    /// An orderly end (FIN).
    Close,
    /// An abortive end (RST).
    Reset,
}

/// A relay between client and server that cuts their connection when told.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    orders: mpsc::Sender<Order>,
}

struct Order {
    cut: Cut,
    severed: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

/// The time after a cut: a new connection waits in the relay's backlog until this ends.
pub(crate) struct Outage(oneshot::Sender<()>);

impl Outage {
    pub(crate) fn end(self) {
        self.0.send(()).expect("the relay waits");
    }
}

impl Relay {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        Self::start_at("127.0.0.1", server).await
    }

    /// Starts a relay to the first address of this name.
    pub(crate) async fn start_at(name: &str, server: SocketAddr) -> Self {
        let listener = TcpListener::bind((name, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (orders, inbox) = mpsc::channel(1);
        tokio::spawn(Self::run(listener, server, inbox));
        Self { address, orders }
    }

    /// Cuts inside the next piece that the server sends, and returns when that is done.
    pub(crate) async fn sever(&self, cut: Cut) -> Outage {
        let (severed, done) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let order = Order { cut, severed, ended };
        assert!(self.orders.send(order).await.is_ok(), "the relay runs");
        done.await.expect("the relay runs");
        Outage(end)
    }

    /// Serves one connection at a time, since the client has only one.
    async fn run(listener: TcpListener, server: SocketAddr, mut inbox: mpsc::Receiver<Order>) {
        loop {
            let (client, _) = listener.accept().await.expect("a listener");
            let server = TcpStream::connect(server).await.expect("the server listens");
            if let Some(order) = Self::forward(client, server, &mut inbox).await {
                order.severed.send(()).expect("the test waits");
                order.ended.await.expect("the test ends the outage");
            }
        }
    }

    /// Forwards until an order is carried out, or until one side closes.
    async fn forward(mut client: TcpStream, mut server: TcpStream, inbox: &mut mpsc::Receiver<Order>) -> Option<Order> {
        let mut order: Option<Order> = None;
        let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
        loop {
            tokio::select! {
                // An order applies to the bytes that come after it.
                biased;
                next = inbox.recv(), if order.is_none() => order = Some(next?),
                read = server.read(&mut down) => {
                    let size = read.ok().filter(|&size| size > 0)?;
                    let Some(order) = order.take() else {
                        client.write_all(&down[..size]).await.ok()?;
                        continue;
                    };
                    // In both framings, the last bytes of an event are part of its data and its
                    // end.
                    client.write_all(&down[..size.saturating_sub(8)]).await.ok()?;
                    if order.cut == Cut::Reset {
                        SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("a live socket");
                    }
                    return Some(order);
                }
                read = client.read(&mut up) => {
                    let size = read.ok().filter(|&size| size > 0)?;
                    server.write_all(&up[..size]).await.ok()?;
                }
            }
        }
    }
}
