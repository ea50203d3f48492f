//! [`Store`]: what the events make of the flags.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use sseclient::{CloseReason, Error};

/// A flag or a segment: its version, and the fields that an evaluation reads.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Item {
    /// Grows with each change.
    pub version: u64,
    /// All other fields.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// Whether the flags are up to date.
#[derive(Debug, Clone)]
pub enum Status {
    /// There are no flags yet. What went wrong last, if anything did.
    Initializing(Option<Error>),
    /// The flags are those of the server.
    Valid,
    /// The flags may be old, until the stream is back.
    Interrupted(Error),
    /// The stream has ended for good. The flags are the last ones that came.
    Off(CloseReason),
}

/// An event: its type is the variant.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change {
    Put { data: AllData },
    Patch { path: String, data: Arc<Item> },
    Delete { path: String, version: u64 },
}

#[derive(Debug, Deserialize)]
pub(crate) struct AllData {
    flags: HashMap<String, Arc<Item>>,
    segments: HashMap<String, Arc<Item>>,
}

#[derive(Debug)]
pub(crate) struct Store {
    flags: Entries,
    segments: Entries,
    pub(crate) status: Status,
}

#[derive(Debug, Default)]
struct Entries(HashMap<String, Entry>);

/// What is deleted keeps its version: an older patch that comes late does not bring it back.
#[derive(Debug)]
enum Entry {
    Present(Arc<Item>),
    Deleted(u64),
}

impl Store {
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Put { data } => {
                self.flags = Entries::new(&data.flags);
                self.segments = Entries::new(&data.segments);
                self.status = Status::Valid;
            }
            Change::Patch { path, data } => self.update(path, Entry::Present(Arc::clone(data))),
            Change::Delete { path, version } => self.update(path, Entry::Deleted(*version)),
        }
    }

    fn update(&mut self, path: &str, entry: Entry) {
        if let Some(key) = path.strip_prefix("/flags/") {
            self.flags.update(key, entry);
        } else if let Some(key) = path.strip_prefix("/segments/") {
            self.segments.update(key, entry);
        }
        // Other kinds are of a later version of the protocol.
    }

    pub(crate) fn interrupt(&mut self, cause: Error) {
        self.status = match self.status {
            Status::Initializing(_) => Status::Initializing(Some(cause)),
            _ => Status::Interrupted(cause),
        };
    }

    pub(crate) fn flag(&self, key: &str) -> Option<Arc<Item>> {
        self.flags.present(key)
    }

    pub(crate) fn segment(&self, key: &str) -> Option<Arc<Item>> {
        self.segments.present(key)
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { flags: Entries::default(), segments: Entries::default(), status: Status::Initializing(None) }
    }
}

impl Entries {
    fn new(items: &HashMap<String, Arc<Item>>) -> Self {
        Self(items.iter().map(|(key, item)| (key.clone(), Entry::Present(Arc::clone(item)))).collect())
    }

    /// Takes the entry, unless what is there is as new.
    fn update(&mut self, key: &str, entry: Entry) {
        if self.0.get(key).is_none_or(|known| known.version() < entry.version()) {
            self.0.insert(key.to_owned(), entry);
        }
    }

    fn present(&self, key: &str) -> Option<Arc<Item>> {
        match self.0.get(key) {
            Some(Entry::Present(item)) => Some(Arc::clone(item)),
            _ => None,
        }
    }
}

impl Entry {
    fn version(&self) -> u64 {
        match self {
            Self::Present(item) => item.version,
            Self::Deleted(version) => *version,
        }
    }
}
