//! A folder for what one test writes.

use std::ops::Deref;
use std::path::{Path, PathBuf};

/// An empty folder, which is removed with all that is in it when this is dropped, also by a test
/// that fails. Its path is short enough for the sockets in it.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes a folder. Each test uses a `name` of its own.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sseclient-{}-{name}", std::process::id()));
        // Left by a killed process that had the same ID.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A test may have removed it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
