//! Follows the head of a beacon chain over several nodes, as a validator client needs it: the
//! newest head wins, and the health of each node says which one to ask.
//!
//! # What goes wrong with a node
//!
//! | what happens | what follows |
//! |---|---|
//! | its stream breaks, or is silent for five slots | the others go on; it reconnects by itself |
//! | heads were missed meanwhile, or one cannot be read | its REST API is asked for the head |
//! | it is behind, or optimistic | [`HeadMonitor::best`] names another node |
//! | its URL or token is wrong (404, 401) | it stays [`Health::Offline`] |
//!
//! **It believes its nodes**: one of another network, or one that tells a slot of the future, has the
//! newest head from then on. Compare the nodes' genesis before you start it.
//!
//! A slot without a block has no head, so a number that is left out is no sign of a loss. Beacon
//! nodes send no event IDs, so each reconnection is one.

mod head;
mod health;

use std::error::Error as StdError;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sseclient::{Client, Decoded, Delivery, Error, Monitor, ReconnectPolicy, Subscription};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::head::{Head, NewHead, Source};
pub use self::health::{Health, NodeHealth};

/// A node that is back should be heard in the next slot.
const CEILING: Duration = Duration::from_secs(12);

/// Five slots without a byte. Nodes also send comments.
const SILENCE: Duration = Duration::from_secs(60);

/// A head that comes later is of no use.
const ASK_TIMEOUT: Duration = Duration::from_secs(4);

/// A beacon node: the base of its URLs, without a slash at the end, and a client with what TLS and
/// proxies it needs.
#[derive(Debug, Clone)]
pub struct BeaconNode {
    pub url: String,
    pub client: Client,
}

/// The newest head that any node has, and the health of each.
///
/// # Drop behavior
///
/// All tasks end, and the connections close.
#[derive(Debug)]
pub struct HeadMonitor {
    chain: Arc<Chain>,
    newest: watch::Receiver<Option<NewHead>>,
    _tasks: JoinSet<()>,
}

/// What the tasks of the nodes share.
#[derive(Debug)]
struct Chain {
    nodes: Vec<Node>,
    newest: watch::Sender<Option<NewHead>>,
}

#[derive(Debug)]
struct Node {
    url: String,
    stream: Monitor,
    known: Mutex<Known>,
}

/// What a node has told.
#[derive(Debug, Default)]
struct Known {
    head: Option<Head>,
    /// Why its head could not be asked for, the last time.
    unanswered: Option<String>,
}

impl HeadMonitor {
    /// Connects to all nodes, in the background. `get` requests a URL of a node's REST API, and
    /// returns the body.
    ///
    /// # Errors
    ///
    /// A URL that cannot be used. All other failures are a node's [`Health`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start<F, Fut, E>(nodes: Vec<BeaconNode>, get: F) -> Result<Self, Error>
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<u8>, E>> + Send,
        E: Into<Box<dyn StdError + Send + Sync>> + Send,
    {
        let mut streams = Vec::new();
        for BeaconNode { url, client } in &nodes {
            let policy = ReconnectPolicy::daemon().ceiling(CEILING);
            let stream = client.stream(format!("{url}/eth/v1/events?topics=head"));
            let handle = stream.reconnect_policy(policy).idle_timeout(SILENCE).build()?;
            streams.push(handle.subscribe_as::<Head>("head"));
            handle.connect();
        }
        let node = |(BeaconNode { url, .. }, heads): (BeaconNode, &Subscription<Decoded<Head>>)| Node {
            url,
            stream: heads.handle().monitor(),
            known: Mutex::default(),
        };
        let nodes = nodes.into_iter().zip(&streams).map(node).collect();
        let (sender, newest) = watch::channel(None);
        let (chain, get) = (Arc::new(Chain { nodes, newest: sender }), Arc::new(get));
        let mut tasks = JoinSet::new();
        for (index, heads) in streams.into_iter().enumerate() {
            let (chain, get) = (Arc::clone(&chain), Arc::clone(&get));
            tasks.spawn(async move { chain.follow(index, heads, &*get).await });
        }
        Ok(Self { chain, newest, _tasks: tasks })
    }

    /// Returns the newest head; `None` before the first.
    pub fn newest(&self) -> Option<NewHead> {
        self.newest.borrow().clone()
    }

    /// Waits for a newer head than at the last call. A slow caller skips heads.
    ///
    /// # Cancel safety
    ///
    /// No head is lost if the future is dropped.
    pub async fn changed(&mut self) -> NewHead {
        // The monitor holds the sender, so there always is one.
        while self.newest.changed().await.is_ok() {
            if let Some(newest) = self.newest.borrow_and_update().clone() {
                return newest;
            }
        }
        std::future::pending().await
    }

    /// Returns the health of each node, in the order of the list.
    pub fn health(&self) -> Vec<NodeHealth> {
        let newest_slot = self.newest.borrow().as_ref().map_or(0, |newest| newest.head.slot);
        self.chain.nodes.iter().map(|node| node.health(newest_slot)).collect()
    }

    /// Returns the node to ask: the first one that is synced, or else the one that is least behind;
    /// `None` if there is none.
    pub fn best(&self) -> Option<usize> {
        let health = self.health();
        let ranked = health.iter().enumerate().filter_map(|(index, node)| Some((node.health.rank()?, index)));
        ranked.min().map(|(_, index)| index)
    }
}

impl Chain {
    /// Notes the heads of one node until its stream closes for good.
    async fn follow<F, Fut, E>(&self, index: usize, mut heads: Subscription<Decoded<Head>>, get: &F)
    where
        F: Fn(String) -> Fut,
        Fut: Future<Output = Result<Vec<u8>, E>>,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        // The stream tells changes only, so the first head is asked for. If it fails for good, the
        // subscription ends.
        let mut is_lost = heads.handle().opened().await.is_ok();
        loop {
            if is_lost {
                // Heads that come meanwhile stay in the queue.
                match self.ask(index, get).await {
                    Ok(head) => self.note(index, head, Source::Asked),
                    Err(error) => self.nodes[index].known().unanswered = Some(error.to_string()),
                }
            }
            let Some(delivery) = heads.recv().await else { return };
            is_lost = match delivery {
                Delivery::Event(event) => match event.value() {
                    Ok(head) => {
                        self.note(index, head.clone(), Source::Event);
                        false
                    }
                    Err(_) => true,
                },
                Delivery::Gap(gap) => gap.is_loss(),
            };
        }
    }

    /// Asks a node for its head.
    async fn ask<F, Fut, E>(&self, index: usize, get: &F) -> Result<Head, Box<dyn StdError + Send + Sync>>
    where
        F: Fn(String) -> Fut,
        Fut: Future<Output = Result<Vec<u8>, E>>,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let answer = get(format!("{}/eth/v1/beacon/headers/head", self.nodes[index].url));
        let body = tokio::time::timeout(ASK_TIMEOUT, answer).await?.map_err(Into::into)?;
        Ok(Head::from_header(&body)?)
    }

    fn note(&self, index: usize, head: Head, source: Source) {
        self.nodes[index].known().note(&head, source);
        let new = NewHead { node: index, head, source };
        self.newest.send_if_modified(|newest| {
            let is_newer = new.replaces(newest.as_ref());
            if is_newer {
                *newest = Some(new);
            }
            is_newer
        });
    }
}

impl Known {
    fn note(&mut self, head: &Head, source: Source) {
        self.unanswered = None;
        // Events that waited while the node was asked are older than its answer.
        let is_older = self.head.as_ref().is_some_and(|last| head.slot < last.slot);
        if source == Source::Asked || !is_older {
            self.head = Some(head.clone());
        }
    }
}

impl Node {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self, newest_slot: u64) -> NodeHealth {
        let known = self.known();
        let health = Health::new(self.stream.state(), known.head.as_ref(), newest_slot);
        NodeHealth { url: self.url.clone(), health, head: known.head.clone(), unanswered: known.unanswered.clone() }
    }
}
