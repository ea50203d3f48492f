//! [`Resolver`]: the addresses of a name, from the system or from the caller.

use std::error::Error as StdError;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{fmt, vec};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

use super::BoxFuture;

/// With errors that can be told from those of connecting.
#[derive(Clone)]
pub(crate) enum Resolver {
    System(GaiResolver),
    Given(Arc<Lookup>),
}

type Lookup = dyn Fn(String) -> BoxFuture<Result<Vec<IpAddr>, Unresolved>> + Send + Sync;

impl Resolver {
    /// The caller's.
    pub(crate) fn given<F, Fut, E>(lookup: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<IpAddr>, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Self::Given(Arc::new(move |name| {
            let looking = lookup(name);
            Box::pin(async { looking.await.map_err(|error| Unresolved(error.into().to_string())) })
        }))
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::System(GaiResolver::new())
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if let Self::System(_) = self { "System" } else { "Given" })
    }
}

/// A name that has no address.
#[derive(Debug)]
pub(crate) struct Unresolved(pub(super) String);

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Unresolved {}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = BoxFuture<Result<Self::Response, Unresolved>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        // Both always are.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        match self {
            Self::System(system) => {
                let looking = system.call(name);
                Box::pin(async {
                    let addresses = looking.await.map_err(|error| Unresolved(error.to_string()))?;
                    Ok(addresses.collect::<Vec<_>>().into_iter())
                })
            }
            Self::Given(lookup) => {
                let looking = lookup(name.as_str().to_owned());
                Box::pin(async {
                    let addresses = looking.await?;
                    if addresses.is_empty() {
                        return Err(Unresolved("the client's resolver knows no address of it".to_owned()));
                    }
                    // The port is set by whoever asked.
                    Ok(addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect::<Vec<_>>().into_iter())
                })
            }
        }
    }
}
