//! The resume file: the retained events, as an event stream.
//!
//! It holds what a client that comes late gets, in the same bytes. So a restarted relay has the
//! events that its clients may ask for, and knows by the last of them where to go on. Events are
//! appended as they come. When the file has grown to several times what is retained, or the disk was
//! too slow for all events, a new one takes its place.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use sseclient::wire::{Decoder, Frame};
use sseclient::{Delivery, Event, Filter, Gap, Overflow, SubscribeOptions, Subscription};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

use crate::gap;
use crate::relay::Relay;

/// The name of the journal's subscription.
pub(crate) const NAME: &str = "resume file";

/// How far a file may grow beyond twice what it began with.
const SLACK: usize = 1024 * 1024;

/// How long to wait after a failure, of a disk that is full for example, before the next attempt.
const PAUSE: Duration = Duration::from_secs(5);

/// The smallest queue.
const MIN_CAPACITY: usize = 256;

/// How long a disk that stalls holds up clients, once the queue is full.
const PATIENCE: Duration = Duration::from_millis(100);

/// How a file begins: a comment, by which the relay knows its own. It must not overwrite others.
const FIRST_LINE: &str = ": events retained by relay\n";

/// No file of the relay is larger: 16 MiB of retained text take up to seven times that in a file,
/// if it is all empty lines, and the file may grow to three times what it began with.
const MAX_FILE: u64 = 512 * 1024 * 1024;

/// Returns the events in the file; none if there is no file. An event that was cut off when the
/// relay was killed is left out: the server sends it again.
///
/// # Errors
///
/// If the file cannot be read or created, or is not one of a relay.
pub(crate) fn load(path: &Path) -> io::Result<Vec<Event>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // So that a directory that is missing or read-only shows at once.
            create(&new_file(path))?;
            return fs::remove_file(new_file(path)).map(|()| Vec::new());
        }
        file => file?.take(MAX_FILE).read_to_end(&mut bytes)?,
    };
    if !bytes.starts_with(FIRST_LINE.as_bytes()) {
        return Err(io::Error::new(ErrorKind::InvalidData, "this is not a resume file, and would be overwritten"));
    }
    let (mut decoder, mut events) = (Decoder::new(), Vec::new());
    decoder.push(bytes.into());
    while let Some(frame) = decoder.next_frame() {
        if let Frame::Event(event) = frame {
            events.push(event.to_event());
        }
    }
    Ok(events)
}

/// Starts to keep the resume file. The receiver learns at the end whether it is complete.
///
/// On a thread that nothing joins: a disk may hang, and the relay must end all the same.
pub(crate) fn start(relay: &Arc<Relay>) -> io::Result<Option<oneshot::Receiver<bool>>> {
    let Some(path) = relay.args.resume_file.clone() else { return Ok(None) };
    let (relay, runtime) = (Arc::clone(relay), Handle::current());
    let (complete, completed) = oneshot::channel();
    thread::Builder::new().name("resume-file".into()).spawn(move || {
        // The relay may have given up waiting.
        let _ = complete.send(keep(&relay, &path, &runtime));
    })?;
    Ok(Some(completed))
}

/// Keeps the file until the stream is over, and returns whether it is complete then.
fn keep(relay: &Relay, path: &Path, runtime: &Handle) -> bool {
    loop {
        match write_file(relay, subscribe(relay), path, runtime) {
            Ok(Ended::Outdated) => {}
            Ok(Ended::Stream) => return true,
            Err(error) => {
                relay.journal_failures.fetch_add(1, Ordering::Relaxed);
                relay.journal_fails.store(true, Ordering::Relaxed);
                warn!(path = %path.display(), %error, "the resume file cannot be written");
                if relay.handle.close_reason().is_some() {
                    return false;
                }
                // When the relay stops, it tries for the last time.
                let _ = runtime.block_on(async { timeout(PAUSE, relay.handle.closed()).await });
            }
        }
    }
}

/// Begins with what is retained, and goes on without a hole.
fn subscribe(relay: &Relay) -> Subscription {
    // While the disk stalls, the queue takes as much as is retained.
    let capacity = (relay.args.retain as usize).max(MIN_CAPACITY);
    let options = SubscribeOptions::default().name(NAME).replay().capacity(capacity);
    relay.handle.subscribe_with(Filter::all(), options.overflow(Overflow::Wait { patience: PATIENCE }))
}

/// Why a file is not continued.
enum Ended {
    /// A new one is better: it holds much that is not retained any more, or lacks something that is.
    Outdated,
    /// The stream is over.
    Stream,
}

/// Writes a new file, puts it in place of the old one, and appends to it.
fn write_file(relay: &Relay, mut subscription: Subscription, path: &Path, runtime: &Handle) -> io::Result<Ended> {
    let new = new_file(path);
    let mut file = create(&new)?;
    let mut text = Text { text: FIRST_LINE.to_owned(), last_id: String::new() };
    if !text.append_queued(&mut subscription, usize::MAX) {
        return Ok(Ended::Outdated);
    }
    file.write_all(text.text.as_bytes())?;
    file.sync_data()?;
    fs::rename(new, path)?;
    relay.journal_fails.store(false, Ordering::Relaxed);
    let (mut size, max) = (text.text.len(), 2 * text.text.len() + SLACK);
    while size < max {
        text.text.clear();
        let Some(delivery) = runtime.block_on(subscription.recv()) else {
            file.sync_data()?;
            return Ok(Ended::Stream);
        };
        let is_whole = text.append(&delivery) && text.append_queued(&mut subscription, SLACK);
        // Survives the end of the process. A machine that loses its power may lose the last
        // seconds, and the server sends them again.
        file.write_all(text.text.as_bytes())?;
        if !is_whole {
            break;
        }
        size += text.text.len();
    }
    Ok(Ended::Outdated)
}

/// Text to be written, with the IDs that events have from blocks before them.
struct Text {
    text: String,
    /// The last event ID at the end of what was written.
    last_id: String,
}

impl Text {
    /// Appends what is queued until there are about `max` bytes. Returns false as
    /// [`append`](Self::append) does.
    fn append_queued(&mut self, subscription: &mut Subscription, max: usize) -> bool {
        while self.text.len() < max {
            let Ok(delivery) = subscription.try_recv() else { break };
            if !self.append(&delivery) {
                return false;
            }
        }
        true
    }

    /// Appends a delivery. Returns false in place of events that are missing here alone, since the
    /// disk was slow: they may still be retained, and then a new file has them.
    fn append(&mut self, delivery: &Delivery) -> bool {
        match delivery {
            Delivery::Gap(Gap::Lagged { .. }) => return false,
            Delivery::Gap(_) => {}
            Delivery::Event(event) if event.id().is_some() => self.last_id = event.last_event_id().to_owned(),
            Delivery::Event(event) => self.set_id(event.last_event_id()),
        }
        gap::write(&mut self.text, delivery);
        true
    }

    /// Makes this the last event ID, by a block without data, unless it is.
    fn set_id(&mut self, id: &str) {
        if id != self.last_id {
            self.text.extend(["id: ", id, "\n\n"]);
            self.last_id = id.to_owned();
        }
    }
}

/// Creates a file that only its owner can read, since events may be private.
fn create(path: &Path) -> io::Result<File> {
    // An earlier run may have been killed before the file was whole.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Returns the name of a file until it is whole.
fn new_file(path: &Path) -> PathBuf {
    path.with_added_extension("new")
}

#[cfg(test)]
mod tests {
    use std::env::temp_dir;

    use clap::Parser as _;
    use sseclient::testing::{Script, Server};
    use tokio::task::{spawn_blocking, yield_now};

    use super::*;
    use crate::args::Args;

    /// Waits until the stream has brought so many events.
    async fn events_came(relay: &Relay, events: u64) {
        let came = async {
            while relay.handle.stats().events < events {
                yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), came).await.unwrap();
    }

    /// Removes the file when it is dropped.
    struct TestFile(PathBuf);

    impl Drop for TestFile {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[tokio::test]
    async fn events_that_come_while_the_disk_stalls_are_in_the_file() {
        let path = temp_dir().join(format!("relay-journal-{}", std::process::id()));
        let _removed = TestFile(path.clone());
        let events: String = (1..=9).map(|id| format!("id: {id}\ndata: number {id}\n\n")).collect();
        let server = Server::start([Script::open().bytes(events.clone())]).await;
        let relay = Relay::start(Args::parse_from(["relay", server.url()])).unwrap();
        // Nothing is taken from this queue before it has lost the first events.
        let full = SubscribeOptions::default().capacity(4).overflow(Overflow::DropOldest);
        let stalled = relay.handle.subscribe_with(Filter::all(), full);
        events_came(&relay, 9).await;
        let (journal, file, runtime) = (Arc::clone(&relay), path.clone(), Handle::current());
        let written = spawn_blocking(move || match write_file(&journal, stalled, &file, &runtime)? {
            Ended::Outdated => Ok::<_, io::Error>(keep(&journal, &file, &runtime)),
            Ended::Stream => Ok(true),
        });
        relay.handle.shutdown().await;
        assert!(timeout(Duration::from_secs(20), written).await.unwrap().unwrap().unwrap());
        let found = fs::read_to_string(&path).unwrap();
        assert_eq!(found, FIRST_LINE.to_owned() + &events);
        server.finish().await;
    }
}
