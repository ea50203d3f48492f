//! [`Resolver`]: looks up the addresses of a host name, with the system's resolver or the caller's.
//!
//! The system's resolver blocks a thread of the runtime's blocking pool until it answers, also if
//! the attempt has been given up meanwhile. Nothing is cached: each attempt looks the name up
//! again, so that a server which has moved is found.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

use super::connector::BoxFuture;

/// The result of a lookup, as hyper's connector expects it.
type Addresses = Result<vec::IntoIter<SocketAddr>, Unresolved>;

/// A resolver as hyper's connector calls it. Its error is [`Unresolved`], which tells a failed
/// lookup from a failed connection.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<dyn Fn(Name) -> BoxFuture<Addresses> + Send + Sync>);

impl Default for Resolver {
    /// Looks names up with the system's resolver, on the runtime's blocking pool.
    fn default() -> Self {
        Self(Arc::new(|name| {
            let looking_up = GaiResolver::new().call(name);
            Box::pin(async {
                let addresses = looking_up.await.map_err(|error| Unresolved(error.to_string()))?;
                // Collected, so that both kinds of resolver return the same type.
                Ok(addresses.collect::<Vec<_>>().into_iter())
            })
        }))
    }
}

impl Resolver {
    /// Looks names up with the caller's function. An error or an empty list fails the attempt with
    /// `Dns`. Host names that are addresses are not looked up.
    pub(crate) fn custom<F, Fut, E>(lookup: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<IpAddr>, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Self(Arc::new(move |name| {
            let looking_up = lookup(name.as_str().to_owned());
            Box::pin(async {
                let addresses = looking_up.await.map_err(|error| Unresolved(error.into().to_string()))?;
                if addresses.is_empty() {
                    return Err(Unresolved("the client's resolver returned no address for the name".to_owned()));
                }
                // hyper's connector sets the port.
                let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
                Ok(addresses.collect::<Vec<_>>().into_iter())
            })
        }))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = BoxFuture<Addresses>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        (self.0)(name)
    }
}

/// The error of a name that has no address.
#[derive(Debug)]
pub(crate) struct Unresolved(pub(super) String);

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Unresolved {}
