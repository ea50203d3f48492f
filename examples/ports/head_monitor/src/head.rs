//! [`Head`]: the head of a chain as a node tells it.

use serde::{Deserialize, Deserializer, de};

/// The head of the chain, as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Head {
    #[serde(deserialize_with = "number")]
    pub slot: u64,
    /// The root of its block.
    pub block: String,
    /// The node has not verified the block's payload, so no validator should attest to it.
    #[serde(default)]
    pub execution_optimistic: bool,
}

/// A head that is newer than all before, of any node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHead {
    /// The place of the node in the list.
    pub node: usize,
    pub head: Head,
    pub source: Source,
}

/// How a head came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Event,
    /// Asked for, after events may have been lost.
    Asked,
}

impl NewHead {
    /// Returns true if this one replaces `newest`.
    ///
    /// A node that is behind is no news. One that changes its mind about the newest slot is news.
    /// Another node that sees another block there is not: the next slot shows who is right.
    pub(crate) fn replaces(&self, newest: Option<&Self>) -> bool {
        let is_news = newest.is_none_or(|newest| {
            let (ours, theirs) = (&self.head, &newest.head);
            let is_another_view = self.node == newest.node && ours.slot == theirs.slot && ours.block != theirs.block;
            ours.slot > theirs.slot || is_another_view
        });
        is_news && !self.head.execution_optimistic
    }
}

impl Head {
    /// Reads the answer to `GET /eth/v1/beacon/headers/head`.
    pub(crate) fn from_header(body: &[u8]) -> serde_json::Result<Self> {
        let Answer { execution_optimistic, data: Header { root, header } } = serde_json::from_slice(body)?;
        Ok(Self { slot: header.message.slot, block: root, execution_optimistic })
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    execution_optimistic: bool,
    data: Header,
}

#[derive(Deserialize)]
struct Header {
    root: String,
    header: SignedHeader,
}

#[derive(Deserialize)]
struct SignedHeader {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    #[serde(deserialize_with = "number")]
    slot: u64,
}

/// The API writes numbers as strings.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}
