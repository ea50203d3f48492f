//! The resume file: the retained events, as an event stream.
//!
//! It holds what a client that comes late gets, in the same bytes. So a restarted relay has the
//! events that its clients may ask for, and knows by the last of them where to go on. Events are
//! appended as they come. When the file has grown to several times what is retained, a new one
//! takes its place.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use sseclient::wire::{Decoder, Frame};
use sseclient::{Delivery, Event, Filter, SubscribeOptions, Subscription};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

use crate::gap;
use crate::relay::Relay;

/// How far a file may grow beyond twice what it began with.
const SLACK: usize = 1024 * 1024;

/// How long to wait after a failure, of a disk that is full for example, before the next attempt.
const PAUSE: Duration = Duration::from_secs(5);

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
        // It begins with what is retained, and goes on without a hole.
        let options = SubscribeOptions::default().name("resume file").replay();
        let subscription = relay.handle.subscribe_with(Filter::all(), options);
        match write_file(relay, subscription, path, runtime) {
            Ok(Ended::Full) => {}
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

/// Why a file is not continued.
enum Ended {
    /// It holds much that is not retained any more.
    Full,
    /// The stream is over.
    Stream,
}

/// Writes a new file, puts it in place of the old one, and appends to it.
fn write_file(relay: &Relay, mut subscription: Subscription, path: &Path, runtime: &Handle) -> io::Result<Ended> {
    let new = new_file(path);
    let mut file = create(&new)?;
    let mut text = FIRST_LINE.to_owned();
    while let Ok(delivery) = subscription.try_recv() {
        if text == FIRST_LINE {
            write_inherited_id(&mut text, &delivery);
        }
        gap::write(&mut text, &delivery);
    }
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    fs::rename(new, path)?;
    relay.journal_fails.store(false, Ordering::Relaxed);
    let (mut size, max) = (text.len(), 2 * text.len() + SLACK);
    while size < max {
        text.clear();
        let Some(delivery) = runtime.block_on(subscription.recv()) else {
            file.sync_data()?;
            return Ok(Ended::Stream);
        };
        gap::write(&mut text, &delivery);
        while text.len() < SLACK {
            let Ok(delivery) = subscription.try_recv() else { break };
            gap::write(&mut text, &delivery);
        }
        // Survives the end of the process. A machine that loses its power may lose the last
        // seconds, and the server sends them again.
        file.write_all(text.as_bytes())?;
        size += text.len();
    }
    Ok(Ended::Full)
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

/// Writes the ID that the first event has from one before it, which is not in the file any more, as
/// a block without data.
fn write_inherited_id(text: &mut String, first: &Delivery) {
    if let Delivery::Event(event) = first
        && event.id().is_none()
        && !event.last_event_id().is_empty()
    {
        text.extend(["id: ", event.last_event_id(), "\n\n"]);
    }
}
