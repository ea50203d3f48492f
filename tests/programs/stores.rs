//! A program that keeps its place in a file, and gets the directory wrong.

use std::error::Error as _;

use sseclient::{Commit, ErrorKind, FileStore, Filter, ResumeStore as _};

use crate::support::folder::Folder;
use crate::support::{numbered, resuming, stream, until, within};

/// Not a warning each second for as long as the program runs.
#[test]
fn a_file_store_that_can_save_nothing_is_an_error_of_build() {
    let directory = Folder::new("missing");
    let missing = directory.join("missing");
    let file = directory.join("file");
    std::fs::write(&file, "").unwrap();
    let cannot = "the resume store cannot be used: ";
    for (path, says) in [
        (missing.join("id"), format!("the directory {} does not exist; create it first", missing.display())),
        (file.join("id"), String::new()),
        (directory.to_path_buf(), "a directory is there, not a file".into()),
    ] {
        for commit in [Commit::Delivery, Commit::Acknowledgement] {
            let store = FileStore::new(&path);
            let error = stream("http://127.0.0.1:9/").resume_store(store, commit).build().unwrap_err();
            assert_eq!((error.kind(), error.is_final()), (ErrorKind::InvalidConfig, true));
            let text = error.to_string();
            assert!(text.starts_with(&format!("{cannot}{}: ", path.display())) && text.contains(&says), "{text}");
            assert!(error.source().is_none(), "the text has it all");
        }
    }
    // Another process saves at this moment.
    std::fs::write(directory.join("id.new"), "its ID").unwrap();
    FileStore::new(directory.join("id")).check().unwrap();
    assert_eq!(std::fs::read_dir(&*directory).unwrap().count(), 2, "the check leaves nothing behind");
    assert_eq!(std::fs::read(directory.join("id.new")).unwrap(), b"its ID");
}

#[tokio::test]
async fn a_folder_removed_later_is_counted_and_a_new_one_is_used() {
    let directory = Folder::new("removed");
    let path = directory.join("id");
    let server = resuming(|after| numbered(after + 1..=3)).await;
    let handle = stream(server.url()).resume_store(FileStore::new(&path), Commit::Delivery).build().unwrap();
    let _events = handle.subscribe(Filter::all());
    std::fs::remove_dir_all(&*directory).unwrap();
    handle.connect();
    let failures = || handle.stats().failures.get(&ErrorKind::Store).copied().unwrap_or_default();
    until("a save failed", || failures() > 0).await;
    assert_eq!(handle.last_event_id(), "3", "the stream goes on");
    std::fs::create_dir(&*directory).unwrap();
    until("the ID is in the file", || path.exists()).await;
    within(handle.shutdown()).await;
    assert_eq!(FileStore::new(&path).load().await.unwrap().as_deref(), Some("3"));
}
