//! [`Relay`]: what all parts share.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use sseclient::Handle;

use crate::args::Args;
use crate::clients::Clients;
use crate::observer::{self, Observed};
use crate::reconnect::ReconnectLimit;
use crate::status::{self, Snapshots};
use crate::{journal, upstream};

/// The stream that is followed, and those who follow it here.
pub(crate) struct Relay {
    pub(crate) args: Args,
    /// The upstream connection. Each client is a subscription of it.
    pub(crate) handle: Handle,
    pub(crate) clients: Clients,
    pub(crate) observed: Observed,
    pub(crate) snapshots: Snapshots,
    pub(crate) reconnect_limit: ReconnectLimit,
    /// Events that clients have taken.
    pub(crate) delivered: AtomicU64,
    /// Events that slow clients have lost, and were told of.
    pub(crate) missed: AtomicU64,
    /// Failed attempts to write the resume file.
    pub(crate) journal_failures: AtomicU64,
    /// The last attempt failed.
    pub(crate) journal_fails: AtomicBool,
}

impl Relay {
    /// Connects upstream, and starts to watch the stream.
    ///
    /// # Errors
    ///
    /// If the URL or a header cannot be used, or the resume file cannot be read.
    pub(crate) fn start(args: Args) -> Result<Arc<Self>, Box<dyn Error>> {
        let retained = match &args.resume_file {
            Some(path) => journal::load(path).map_err(|error| format!("{}: {error}", path.display()))?,
            None => Vec::new(),
        };
        let handle = upstream::stream(&args, retained).build()?;
        let relay = Arc::new(Self {
            clients: Clients::new(args.clients as usize),
            args,
            handle,
            observed: Observed::default(),
            snapshots: Snapshots::default(),
            reconnect_limit: ReconnectLimit::default(),
            delivered: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            journal_failures: AtomicU64::new(0),
            journal_fails: AtomicBool::new(false),
        });
        tokio::spawn(observer::observe(Arc::clone(&relay), relay.handle.transcript()));
        tokio::spawn(status::publish(Arc::clone(&relay)));
        relay.handle.connect();
        Ok(relay)
    }
}
