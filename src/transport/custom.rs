//! [`Custom`]: a caller's [`Connector`], whatever its type.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use http::Uri;

use crate::error::{Error, ErrorKind};
use crate::transport::Connector;
use crate::transport::target::Target;

use super::{BoxFuture, Io};

type Connected = Result<Box<dyn Io>, Box<dyn StdError + Send + Sync>>;

trait AnyConnector: Send + Sync {
    fn connect(self: Arc<Self>, server: Uri) -> BoxFuture<Connected>;
}

impl<C: Connector> AnyConnector for C {
    fn connect(self: Arc<Self>, server: Uri) -> BoxFuture<Connected> {
        Box::pin(async move {
            match Connector::connect(&*self, server).await {
                Ok(io) => Ok(Box::new(io) as Box<dyn Io>),
                Err(error) => Err(error.into()),
            }
        })
    }
}

#[derive(Clone)]
pub(crate) struct Custom(Arc<dyn AnyConnector>);

impl Custom {
    pub(crate) fn new(connector: impl Connector) -> Self {
        Self(Arc::new(connector))
    }

    pub(super) async fn connect(&self, target: &Target) -> Result<Box<dyn Io>, Error> {
        let failed = |error: Box<dyn StdError + Send + Sync>| {
            let message = format!("the client's connector did not reach {}", target.authority());
            Error::with_source(ErrorKind::Connect, message, error)
        };
        let server = target.server_uri().map_err(|error| failed(error.into()))?;
        Arc::clone(&self.0).connect(server).await.map_err(failed)
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Custom")
    }
}
