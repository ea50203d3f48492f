//! [`Redirects`]: how far a stream follows redirects.

/// Which redirects (301, 302, 303, 307 and 308 with a `Location`) an attempt follows: see
/// [`StreamBuilder::redirects`](crate::StreamBuilder::redirects).
///
/// Whatever it is, no redirect leads from https to http, and each reconnection starts at the stream's own URL again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it takes effect in a stream's builder"]
pub struct Redirects {
    most: usize,
    across_origins: bool,
}

/// How many are followed by default: what browsers follow (Fetch, section 4.4).
const MOST: usize = 20;

impl Redirects {
    /// Follows up to `most` in a row, 20 by default. One more fails the attempt, which is tried again like other
    /// faults: loops of load balancers pass.
    pub const fn follow(most: usize) -> Self {
        Self { most, across_origins: true }
    }

    /// Follows up to 20 in a row within the origin (scheme, host and port); one that leads elsewhere is final.
    pub const fn same_origin() -> Self {
        Self { most: MOST, across_origins: false }
    }

    /// Follows none: a redirect is final, and in the error.
    pub const fn none() -> Self {
        Self { most: 0, across_origins: false }
    }

    pub(crate) fn most(self) -> usize {
        self.most
    }

    pub(crate) fn cross_origins(self) -> bool {
        self.across_origins
    }
}

impl Default for Redirects {
    fn default() -> Self {
        Self::follow(MOST)
    }
}
