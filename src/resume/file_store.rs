//! [`FileStore`]: keeps the last event ID in a file that is always whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use tokio::sync::{Mutex, oneshot};

use crate::resume::ResumeStore;

/// Keeps the last event ID in a file.
///
/// Each save writes a new file beside it, flushes it to the disk, and renames it over the old one,
/// which is kept as `<name>.previous`. So there is a whole file at any moment at which the program
/// or the machine dies. The file holds the ID twice; if the two differ, it is damaged, and the
/// previous one is used: some events come again then, and none is lost. The directory must exist.
/// On Unix only the owner can read the file.
///
/// A file is for one stream of one running program. Two streams that share a file overwrite each
/// other's IDs.
///
/// # Errors
///
/// Loading fails if neither file can be read and is whole, unless neither exists. Saving fails if
/// writing does: no space, no permission, no directory.
///
/// # Cancel safety
///
/// A save whose future is dropped may still be carried out in the background. It never overwrites a
/// later one of the same store, which waits for it. A disk that hangs holds one thread, however
/// often the store is called.
#[derive(Debug, Clone)]
pub struct FileStore {
    /// Locked by the thread that uses the files.
    files: Arc<Mutex<Files>>,
}

/// The files of a store: `<name>`, `<name>.previous` and, during a save, `<name>.new`.
#[derive(Debug)]
struct Files {
    path: PathBuf,
}

impl FileStore {
    /// Keeps the ID in the file at `path`. No file is touched before the first load or save.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { files: Arc::new(Mutex::new(Files { path: path.into() })) }
    }

    /// Runs `work` on a thread of its own. A disk that hangs blocks for good, and the runtime's
    /// blocking pool must stay free: it resolves host names, and the runtime waits for it at its
    /// end.
    async fn on_own_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Files) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let files = Arc::clone(&self.files).lock_owned().await;
        let (sender, result) = oneshot::channel();
        thread::Builder::new().name("sseclient-file".into()).spawn(move || {
            let done = work(&files);
            // Before the caller goes on, so that its next call finds the files free.
            drop(files);
            // The caller may have dropped its future.
            let _ = sender.send(done);
        })?;
        result.await.unwrap_or_else(|_| Err(io::Error::other("the thread that used the file panicked")))
    }
}

impl ResumeStore for FileStore {
    type Error = io::Error;

    async fn load(&self) -> io::Result<Option<String>> {
        self.on_own_thread(Files::load).await
    }

    async fn save(&self, id: String) -> io::Result<()> {
        self.on_own_thread(move |files| {
            let at = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", files.path.display()));
            files.save(&id).map_err(at)
        })
        .await
    }

    fn name(&self) -> String {
        // A stream that uses the files has named them.
        self.files.try_lock().map_or_else(|_| "a FileStore".to_owned(), |files| files.path.display().to_string())
    }
}

impl Files {
    /// Loads the ID, from the previous file if the newest is damaged or missing.
    fn load(&self) -> io::Result<Option<String>> {
        match (read(&self.path), read(&self.beside("previous"))) {
            (Ok(Some(id)), _) => Ok(Some(id)),
            // A first run, or a program that was killed between two renames.
            (Ok(None), previous) => previous,
            (Err(error), Ok(Some(previous))) => {
                let path = self.path.display();
                tracing::warn!(
                    name: "file_damaged",
                    target: "sseclient",
                    %error,
                    %path,
                    "file_damaged: the file's newest ID cannot be read; the stream resumes after the one before"
                );
                Ok(Some(previous))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Writes a new file, and renames it into place. Each step leaves a whole file behind.
    fn save(&self, id: &str) -> io::Result<()> {
        // The name is fixed, so that killed programs leave at most one such file behind.
        let new = self.beside("new");
        write(&new, id)?;
        // A damaged file never takes the place of a whole one.
        if matches!(read(&self.path), Ok(Some(_))) {
            fs::rename(&self.path, self.beside("previous"))?;
        }
        // A rename is one step: after a crash there is the old file or the new one, and never half
        // of one.
        fs::rename(&new, &self.path)?;
        self.sync_directory()
    }

    /// Returns the path with an extension added.
    fn beside(&self, extension: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(extension);
        name.into()
    }

    /// Flushes the directory, without which a rename may be lost. Windows cannot and need not do
    /// it.
    fn sync_directory(&self) -> io::Result<()> {
        if cfg!(unix) {
            let directory = self.path.parent().filter(|directory| !directory.as_os_str().is_empty());
            File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }
}

/// The first line of the file. Another format would have another one.
const FIRST_LINE: &str = "sseclient last event ID, version 1\n";

/// Writes the ID twice into a file that only the owner can read, and flushes it to the disk.
fn write(path: &Path, id: &str) -> io::Result<()> {
    if id.contains('\n') {
        let message = "the ID holds a line feed, which the file cannot keep";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    // An ID may be a token that gives access to the stream.
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    // Twice, so that a file of which only a part reached the disk is noticed.
    file.write_all(format!("{FIRST_LINE}{id}\n{id}\n").as_bytes())?;
    // Before the rename, or the name may reach the disk before the bytes do.
    file.sync_all()
}

/// Reads the ID from a file; `None` if there is no file.
fn read(path: &Path) -> io::Result<Option<String>> {
    let text = match fs::read(path) {
        // A text that is not UTF-8 is damaged like an empty one.
        Ok(bytes) => String::from_utf8(bytes).unwrap_or_default(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let ids = text.strip_prefix(FIRST_LINE).and_then(|ids| ids.strip_suffix('\n'));
    match ids.and_then(|ids| ids.split_once('\n')) {
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

    fn saved(path: &Path, ids: &[&str]) -> Files {
        let files = Files { path: path.to_owned() };
        ids.iter().for_each(|id| files.save(id).unwrap());
        files
    }

    #[test]
    fn a_file_torn_at_any_byte_gives_the_previous_id() {
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

    /// What a subscriber has printed.
    #[derive(Clone, Default)]
    struct Printed(Arc<std::sync::Mutex<Vec<u8>>>);

    impl io::Write for Printed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_damaged_file_is_printed_as_a_warning_that_begins_with_its_name() {
        let directory = directory("printed");
        let files = saved(&directory.join("id"), &["before", "the newest"]);
        fs::write(&files.path, "torn").unwrap();
        let printed = Printed::default();
        let writer = printed.clone();
        let format = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        let loaded = tracing::subscriber::with_default(format.finish(), || files.load());
        assert_eq!(loaded.unwrap().as_deref(), Some("before"));
        let printed = String::from_utf8(printed.0.lock().unwrap().clone()).unwrap();
        assert_eq!(printed.matches("WARN sseclient: file_damaged: ").count(), 1, "{printed}");
        for field in ["error=", "is damaged", &format!("path={}", files.path.display())] {
            assert!(printed.contains(field), "no {field} in {printed}");
        }
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_program_killed_between_two_steps_leaves_something_to_load() {
        let directory = directory("steps");
        let path = directory.join("id");
        assert_eq!(saved(&path, &[]).load().unwrap(), None);
        let files = saved(&path, &["1", ""]);
        assert_eq!(files.load().unwrap().as_deref(), Some(""));
        // As if killed after the first rename and before the second.
        fs::rename(&path, files.beside("new")).unwrap();
        assert_eq!(files.load().unwrap().as_deref(), Some("1"));
        fs::write(files.beside("previous"), "nonsense").unwrap();
        assert_eq!(files.load().unwrap_err().kind(), io::ErrorKind::InvalidData);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn an_id_with_a_line_feed_is_refused_and_the_previous_one_stays() {
        let directory = directory("line-feed");
        let files = saved(&directory.join("id"), &["1"]);
        assert_eq!(files.save("a\nb").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(files.load().unwrap().as_deref(), Some("1"));
        fs::remove_dir_all(directory).unwrap();
    }

    /// Opening a pipe for writing blocks until a reader opens it. Dropped saves are not carried out
    /// later.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_disk_that_hangs_holds_one_thread_and_dropped_saves_are_not_saved() {
        let directory = directory("hangs");
        let files = Files { path: directory.join("id") };
        let store = FileStore::new(&files.path);
        let pipe = files.beside("new");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for number in 0..20 {
            let mut given_up = tokio_test::task::spawn(store.save(number.to_string()));
            assert!(given_up.poll().is_pending());
        }
        assert_eq!(Arc::strong_count(&store.files), 2, "one thread uses the files");

        // The disk comes back: the thread goes on, and fails, since a pipe keeps nothing.
        let reader = File::open(&pipe).unwrap();
        fs::remove_file(&pipe).unwrap();
        drop(reader);
        store.save("the next".into()).await.unwrap();
        assert_eq!(store.load().await.unwrap().as_deref(), Some("the next"));
        assert!(!files.beside("previous").exists());
        fs::remove_dir_all(directory).unwrap();
    }
}
