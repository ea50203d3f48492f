//! [`FileStore`]: keeps the last event ID in a file that is always whole.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use tokio::sync::{Mutex, oneshot};

use crate::resume::{MAX_ID, ResumeStore};

/// Keeps the last event ID in a file.
///
/// Each save writes a new file beside it, flushes it to the disk, and renames it over the old one,
/// which is kept as `<name>.previous`. So there is a whole file at any moment at which the program
/// or the machine dies. The file holds the ID twice; if the two differ, it is damaged, and the
/// previous one is used: some events come again then, and none is lost. On Unix only the owner can
/// read the files.
///
/// The directory must exist, and only the program should be able to write into it. If the path is a
/// symbolic link, the link stays, and the file that it leads to is replaced; the three files are
/// beside that one.
///
/// A file is for one stream of one running program. Two streams that share a file overwrite each
/// other's IDs.
///
/// # Errors
///
/// Building a stream fails if no file can be written there: no directory, no permission. The check
/// waits for the disk. Loading fails if neither file can be read and is whole, unless neither
/// exists. Saving fails if writing does: no space, the directory is gone. An ID over 8,000 bytes,
/// which no request can carry, is not saved, and of a file that is larger than such an ID needs, no
/// more is read.
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

/// The files of a store: `<name>`, `<name>.previous`, during a save `<name>.new`, and during a
/// check `<name>.check`.
#[derive(Debug)]
struct Files {
    path: PathBuf,
}

impl FileStore {
    /// Keeps the ID in the file at `path`. No file is touched before the stream is built.
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
            let done = work(&files).map_err(|error| files.named(&error));
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

    fn check(&self) -> io::Result<()> {
        // A stream that uses the files has checked them.
        self.files.try_lock().map_or(Ok(()), |files| files.check().map_err(|error| files.named(&error)))
    }

    async fn load(&self) -> io::Result<Option<String>> {
        self.on_own_thread(Files::load).await
    }

    async fn save(&self, id: String) -> io::Result<()> {
        self.on_own_thread(move |files| files.save(&id)).await
    }

    fn name(&self) -> String {
        // A stream that uses the files has named them.
        self.files.try_lock().map_or_else(|_| "a FileStore".to_owned(), |files| files.path.display().to_string())
    }
}

impl Files {
    /// Writes a file beside the store's own, and removes it.
    fn check(&self) -> io::Result<()> {
        let path = self.target()?;
        if path.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "a directory is there, not a file"));
        }
        // Not the file of a save, which another process may be writing at this moment.
        let trial = beside(&path, "check");
        match create(&trial) {
            Ok(file) => {
                drop(file);
                fs::remove_file(trial)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let message = format!("the directory {} does not exist; create it first", directory(&path).display());
                Err(io::Error::new(error.kind(), message))
            }
            Err(error) => Err(error),
        }
    }

    /// Loads the ID, from the previous file if the newest is damaged or missing.
    fn load(&self) -> io::Result<Option<String>> {
        let path = self.target()?;
        match (read(&path), read(&beside(&path, "previous"))) {
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
        let path = self.target()?;
        // The name is fixed, so that killed programs leave at most one such file behind.
        let new = beside(&path, "new");
        write(&new, id)?;
        // A damaged file never takes the place of a whole one.
        if let Ok(Some(before)) = read(&path) {
            let previous = beside(&path, "previous");
            // A file that others can read is written anew: another program may own it.
            if is_private(&path)? { fs::rename(&path, previous)? } else { write(&previous, &before)? }
        }
        // A rename is one step: after a crash there is the old file or the new one, and never half
        // of one.
        fs::rename(&new, &path)?;
        sync_directory(&path)
    }

    /// Returns the path of the file itself. A rename over a link would replace the link, and a file
    /// in another directory may be on another disk.
    fn target(&self) -> io::Result<PathBuf> {
        let mut path = self.path.clone();
        // Not `canonicalize`: before the first save, a link leads to no file.
        for _ in 0..MAX_LINKS {
            match fs::read_link(&path) {
                Ok(target) => path = directory(&path).join(target),
                // No link, or no file.
                Err(_) => return Ok(path),
            }
        }
        Err(io::Error::other(format!("more than {MAX_LINKS} symbolic links lead on from it")))
    }

    /// Adds the path to the text of an error.
    fn named(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
    }
}

/// As many links in a row as Linux follows.
const MAX_LINKS: usize = 40;

/// The first line of the file. Another format would have another one.
const FIRST_LINE: &str = "sseclient last event ID, version 1\n";

/// The size of the file with the longest ID.
const MAX_FILE: usize = FIRST_LINE.len() + 2 * (MAX_ID + 1);

/// Returns the path with an extension added.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(".");
    name.push(extension);
    name.into()
}

/// Returns the directory of a file.
fn directory(path: &Path) -> &Path {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    directory.unwrap_or_else(|| Path::new("."))
}

/// Flushes the directory of a file, without which a rename may be lost. Windows cannot and need not
/// do it.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory(path))?.sync_all() } else { Ok(()) }
}

/// Returns true if only the owner can read and write the file.
#[cfg(unix)]
fn is_private(path: &Path) -> io::Result<bool> {
    Ok(std::os::unix::fs::MetadataExt::mode(&fs::metadata(path)?) & 0o077 == 0)
}

/// Returns true: without Unix modes, the directory decides who can read a file.
#[cfg(not(unix))]
fn is_private(_: &Path) -> io::Result<bool> {
    Ok(true)
}

/// Creates a file that only the owner can read, in place of one that was left there.
fn create(path: &Path) -> io::Result<File> {
    // Removed, not opened: it may be a link, or a file that others can read.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    // An ID may be a token that gives access to the stream.
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Writes the ID twice into a new file, and flushes it to the disk.
fn write(path: &Path, id: &str) -> io::Result<()> {
    let refused = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    if id.contains('\n') {
        return refused("the ID holds a line feed, which the file cannot keep");
    }
    if id.len() > MAX_ID {
        return refused("the ID is over 8,000 bytes, and no request can carry it");
    }
    let mut file = create(path)?;
    // Twice, so that a file of which only a part reached the disk is noticed.
    file.write_all(format!("{FIRST_LINE}{id}\n{id}\n").as_bytes())?;
    // Before the rename, or the name may reach the disk before the bytes do.
    file.sync_all()
}

/// Reads the ID from a file; `None` if there is no file.
fn read(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    // One byte too many is enough to tell that it is no file of this store.
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
    // A text that is not UTF-8 is damaged like an empty one.
    let text = String::from_utf8(bytes).unwrap_or_default();
    let ids = text.strip_prefix(FIRST_LINE).and_then(|ids| ids.strip_suffix('\n'));
    match ids.and_then(|ids| ids.split_once('\n')) {
        Some((id, same)) if id == same => Ok(Some(id.to_owned())),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the file is damaged, or is none of this store")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of one test, which is removed with all that is in it when this is dropped.
    struct TestFolder(PathBuf);

    impl TestFolder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("sseclient-{}-{name}", std::process::id()));
            // Left by a killed process that had the same ID.
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir(&folder).unwrap();
            Self(folder)
        }
    }

    impl std::ops::Deref for TestFolder {
        type Target = Path;

        fn deref(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for TestFolder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn saved(path: &Path, ids: &[&str]) -> Files {
        let files = Files { path: path.to_owned() };
        ids.iter().for_each(|id| files.save(id).unwrap());
        files
    }

    #[test]
    fn a_file_torn_at_any_byte_gives_the_previous_id() {
        let folder = TestFolder::new("torn");
        let path = folder.join("id");
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
        let folder = TestFolder::new("printed");
        let files = saved(&folder.join("id"), &["before", "the newest"]);
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
    }

    #[test]
    fn a_program_killed_between_two_steps_leaves_something_to_load() {
        let folder = TestFolder::new("steps");
        let path = folder.join("id");
        assert_eq!(saved(&path, &[]).load().unwrap(), None);
        let files = saved(&path, &["1", ""]);
        assert_eq!(files.load().unwrap().as_deref(), Some(""));
        // As if killed after the first rename and before the second.
        fs::rename(&path, beside(&path, "new")).unwrap();
        assert_eq!(files.load().unwrap().as_deref(), Some("1"));
        fs::write(beside(&path, "previous"), "nonsense").unwrap();
        assert_eq!(files.load().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn an_id_with_a_line_feed_is_refused_and_the_previous_one_stays() {
        let folder = TestFolder::new("line-feed");
        let files = saved(&folder.join("id"), &["1"]);
        assert_eq!(files.save("a\nb").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(files.load().unwrap().as_deref(), Some("1"));
    }

    #[test]
    fn an_id_that_no_request_can_carry_is_refused_and_the_longest_is_kept() {
        let folder = TestFolder::new("long");
        let longest = "x".repeat(MAX_ID);
        let files = saved(&folder.join("id"), &[&longest]);
        assert_eq!(files.save(&format!("{longest}y")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(files.load().unwrap(), Some(longest));
    }

    #[cfg(unix)]
    #[test]
    fn of_a_huge_file_no_more_is_read_than_an_id_needs() {
        let folder = TestFolder::new("huge");
        let path = folder.join("id");
        let files = saved(&path, &["before", "the newest"]);
        // Sparse. No machine has the memory to read it whole.
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(files.load().unwrap().as_deref(), Some("before"));
    }

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777
    }

    #[cfg(unix)]
    #[test]
    fn a_file_or_a_link_that_others_left_in_the_way_is_replaced() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};

        let folder = TestFolder::new("left");
        let (path, victim) = (folder.join("id"), folder.join("victim"));
        fs::write(&victim, "untouched").unwrap();
        let new = beside(&path, "new");
        fs::write(&new, "").unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o666)).unwrap();
        let files = saved(&path, &["1"]);
        assert_eq!(mode(&path), 0o600, "a file that all can read");
        for target in [&victim, &folder.join("nowhere")] {
            symlink(target, &new).unwrap();
            files.save("2").unwrap();
            assert_eq!(files.load().unwrap().as_deref(), Some("2"));
            assert!(!path.is_symlink());
        }
        symlink(&victim, &new).unwrap();
        files.check().unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        assert!(!folder.join("nowhere").exists());
    }

    #[cfg(unix)]
    #[test]
    fn the_previous_file_is_private_even_if_the_store_found_one_that_was_not() {
        use std::os::unix::fs::PermissionsExt as _;

        for (found, saves) in [(0o666, 1), (0o640, 1), (0o602, 2), (0o600, 1)] {
            let folder = TestFolder::new("private");
            let path = folder.join("id");
            let files = saved(&path, &["0"]);
            fs::set_permissions(&path, fs::Permissions::from_mode(found)).unwrap();
            for id in 1..=saves {
                files.save(&id.to_string()).unwrap();
                let previous = beside(&path, "previous");
                assert_eq!((mode(&path), mode(&previous)), (0o600, 0o600), "{found:o}");
                assert_eq!(read(&previous).unwrap(), Some((id - 1).to_string()), "{found:o}");
            }
        }
    }

    /// As with a volume that is mounted elsewhere.
    #[cfg(unix)]
    #[test]
    fn a_path_that_is_a_link_stays_one_and_its_target_is_written() {
        use std::os::unix::fs::symlink;

        let folder = TestFolder::new("link");
        let volume = folder.join("volume");
        fs::create_dir(&volume).unwrap();
        let path = folder.join("id");
        symlink("again", &path).unwrap();
        symlink(volume.join("id"), folder.join("again")).unwrap();
        for id in ["1", "2"] {
            let files = saved(&path, &[]);
            files.check().unwrap();
            files.save(id).unwrap();
            assert_eq!(files.load().unwrap().as_deref(), Some(id));
            assert!(path.is_symlink() && !volume.join("id").is_symlink());
        }
        assert_eq!(saved(&beside(&volume.join("id"), "previous"), &[]).load().unwrap().as_deref(), Some("1"));
        assert_eq!(fs::read_dir(&*folder).unwrap().count(), 3, "all files are on the volume");

        fs::remove_file(&path).unwrap();
        symlink("id", &path).unwrap();
        for failure in [saved(&path, &[]).save("3"), saved(&path, &[]).check()] {
            assert!(failure.unwrap_err().to_string().contains("symbolic links"), "it leads to itself");
        }
    }

    /// Opening a pipe for reading blocks until a writer opens it. Dropped saves are not carried out
    /// later.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_disk_that_hangs_holds_one_thread_and_dropped_saves_are_not_saved() {
        let folder = TestFolder::new("hangs");
        let pipe = folder.join("id");
        let store = FileStore::new(&pipe);
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for number in 0..20 {
            let mut given_up = tokio_test::task::spawn(store.save(number.to_string()));
            assert!(given_up.poll().is_pending());
        }
        assert_eq!(Arc::strong_count(&store.files), 2, "one thread uses the files");
        assert!(store.check().is_ok(), "it waits for no disk while the files are used");

        // The disk comes back: the thread goes on with the first save.
        drop(File::options().write(true).open(&pipe).unwrap());
        store.save("the next".into()).await.unwrap();
        assert_eq!(store.load().await.unwrap().as_deref(), Some("the next"));
        let previous = saved(&beside(&pipe, "previous"), &[]);
        assert_eq!(previous.load().unwrap().as_deref(), Some("0"));
    }
}
