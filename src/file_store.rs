//! [`FileStore`]: the last event ID in a file that is always whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::ResumeStore;

/// Keeps the last event ID in a file.
///
/// Each save writes a new file beside it, makes sure that it is on the disk, and puts it in the place of the
/// old one, which is kept as `<name>.previous`; so whenever the program is killed, or the machine, there is
/// a whole file. One that is damaged nevertheless is noticed (the ID stands in it twice), and the previous one is used: some events
/// come again then, and none is lost. The directory has to exist; on Unix nobody but the owner can read the file.
///
/// A file is for one stream of one running program: two that share one overwrite each other's IDs.
///
/// # Errors
///
/// Loading fails when neither file can be read or is whole, unless neither exists; saving fails as
/// writing does: no space, no permission.
///
/// # Cancel safety
///
/// A save that is given up may still be carried out, in the background; it never overwrites a later one of
/// the same store.
#[derive(Debug, Clone)]
pub struct FileStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// The number of the newest save that was carried out.
    carried_out: Mutex<u64>,
    asked: AtomicU64,
}

impl FileStore {
    /// Keeps the ID in the file at `path`. Nothing is touched before the first use.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let (carried_out, asked) = (Mutex::new(0), AtomicU64::new(0));
        Self { inner: Arc::new(Inner { path: path.into(), carried_out, asked }) }
    }
}

impl ResumeStore for FileStore {
    type Error = io::Error;

    async fn load(&self) -> io::Result<Option<String>> {
        let inner = Arc::clone(&self.inner);
        off_the_runtime(move || inner.load()).await
    }

    async fn save(&self, id: String) -> io::Result<()> {
        let inner = Arc::clone(&self.inner);
        let number = inner.asked.fetch_add(1, Ordering::Relaxed) + 1;
        off_the_runtime(move || inner.save(number, &id)).await
    }
}

/// Files block.
async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

impl Inner {
    fn load(&self) -> io::Result<Option<String>> {
        match (read(&self.path), read(&self.beside("previous"))) {
            (Ok(Some(id)), _) => Ok(Some(id)),
            // Nothing at all, or a program that was killed between two steps.
            (Ok(None), previous) => previous,
            (Err(error), Ok(Some(previous))) => {
                let path = self.path.display();
                tracing::warn!(name: "file_damaged", target: "sseclient", %error, %path, "the ID before the last is used");
                Ok(Some(previous))
            }
            (Err(error), _) => Err(error),
        }
    }

    fn save(&self, number: u64, id: &str) -> io::Result<()> {
        // Also keeps two saves apart, one of which was given up.
        let mut carried_out = self.carried_out.lock().unwrap_or_else(PoisonError::into_inner);
        if *carried_out >= number {
            return Ok(());
        }
        // Always the same name: a program that is killed leaves one such file behind, not one each time.
        let new = self.beside("new");
        write(&new, id)?;
        // A damaged file never takes the place of a whole one.
        if matches!(read(&self.path), Ok(Some(_))) {
            fs::rename(&self.path, self.beside("previous"))?;
        }
        fs::rename(&new, &self.path)?;
        self.sync_directory()?;
        *carried_out = number;
        Ok(())
    }

    fn beside(&self, extension: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(extension);
        name.into()
    }

    /// A name is safe only when its directory is. Windows cannot do this, and needs not.
    fn sync_directory(&self) -> io::Result<()> {
        if cfg!(unix) {
            let directory = self.path.parent().filter(|directory| !directory.as_os_str().is_empty());
            File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }
}

/// Another format would have another first line.
const FIRST_LINE: &str = "sseclient last event ID, version 1\n";

fn write(path: &Path, id: &str) -> io::Result<()> {
    if id.contains('\n') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an ID cannot hold a line feed"));
    }
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(format!("{FIRST_LINE}{id}\n{id}\n").as_bytes())?;
    file.sync_all()
}

/// `None` if there is no file.
fn read(path: &Path) -> io::Result<Option<String>> {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes).unwrap_or_default(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let twice =
        text.strip_prefix(FIRST_LINE).and_then(|ids| ids.strip_suffix('\n')).and_then(|ids| ids.split_once('\n'));
    match twice {
        Some((id, same)) if id == same => Ok(Some(id.to_owned())),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("sseclient-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    fn saved(path: &Path, ids: &[&str]) -> Inner {
        let inner = Inner { path: path.to_owned(), carried_out: Mutex::new(0), asked: AtomicU64::new(0) };
        for (number, id) in (1..).zip(ids) {
            inner.save(number, id).unwrap();
        }
        inner
    }

    #[test]
    fn a_file_that_was_torn_anywhere_gives_the_id_before() {
        let directory = directory("torn");
        let path = directory.join("id");
        saved(&path, &["before", "the newest"]);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            let zeros = vec![0; whole.len() - length];
            for torn in [whole[..length].to_vec(), [&whole[..length], &zeros].concat()] {
                fs::write(&path, torn).unwrap();
                assert_eq!(saved(&path, &[]).load().unwrap().as_deref(), Some("before"), "{length}");
            }
        }
        saved(&path, &["the next"]);
        assert_eq!(saved(&path, &[]).load().unwrap().as_deref(), Some("the next"));
        fs::write(&path, "").unwrap();
        assert_eq!(saved(&path, &[]).load().unwrap().as_deref(), Some("before"), "not the torn one");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_program_killed_between_two_steps_leaves_something_to_load() {
        let directory = directory("steps");
        let path = directory.join("id");
        assert_eq!(saved(&path, &[]).load().unwrap(), None);
        let inner = saved(&path, &["1", ""]);
        assert_eq!(inner.load().unwrap().as_deref(), Some(""));
        // The old file is out of the way, the new one not yet in its place.
        fs::rename(&path, inner.beside("new")).unwrap();
        assert_eq!(inner.load().unwrap().as_deref(), Some("1"));
        fs::write(inner.beside("previous"), "nonsense").unwrap();
        assert_eq!(inner.load().unwrap_err().kind(), io::ErrorKind::InvalidData);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_save_that_comes_late_does_not_undo_a_later_one() {
        let directory = directory("late");
        let inner = saved(&directory.join("id"), &["1", "2", "3"]);
        inner.save(2, "2").unwrap();
        assert_eq!(inner.load().unwrap().as_deref(), Some("3"));
        assert!(inner.save(4, "a\nb").is_err());
        fs::remove_dir_all(directory).unwrap();
    }
}
