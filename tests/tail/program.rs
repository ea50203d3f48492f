//! Runs the example as a user does.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

/// Long enough for any machine; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts the example, which `cargo test` builds next to the test's own binary.
pub(crate) fn command(args: &[&str]) -> Command {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let mut program = PathBuf::from(profile);
    program.push("examples");
    program.push(format!("tail{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "run `cargo build --example tail` before `cargo test --test tail`");
    let mut command = Command::new(program);
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running `tail` whose output is read as it comes.
pub(crate) struct Tail {
    child: Child,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
}

/// A running `tail` whose pipes the test handles itself.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self(command(args).spawn().unwrap())
    }

    pub(crate) fn stdout(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.0.stdout.take().unwrap())
    }

    pub(crate) fn exit_status(&mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// The rest of its output, and its exit status.
pub(crate) struct Finished {
    pub(crate) status: Option<i32>,
    /// The lines that the test has not read yet.
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: String,
}

impl Tail {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::run(&mut command(args))
    }

    pub(crate) fn run(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        let (read, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                if read.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        Self { child, lines, stderr: Some(stderr) }
    }

    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("another line on standard output")
    }

    /// Skips to the next line of this `type`, and returns all its fields.
    pub(crate) fn next_of(&self, kind: &str) -> Value {
        loop {
            let value: Value = serde_json::from_str(&self.line()).unwrap();
            if value["type"] == kind {
                return value;
            }
        }
    }

    /// Skips to the line that announces this state.
    pub(crate) fn state(&self, name: &str) -> Value {
        loop {
            let value = self.next_of("state");
            if value["state"] == name {
                return value;
            }
        }
    }

    #[cfg(unix)]
    pub(crate) fn interrupt(&self) {
        interrupt(&self.child);
    }

    /// Stops the process, calls `meanwhile`, and lets it go on after `time`, in which it must be
    /// silent.
    #[cfg(unix)]
    pub(crate) fn stop_for(&self, time: Duration, meanwhile: impl FnOnce()) {
        signal(&self.child, "-STOP");
        // A signal takes effect a moment later.
        while !is_stopped(&self.child) {}
        meanwhile();
        let line = self.lines.recv_timeout(time);
        assert!(line.is_err(), "{line:?} from a process that is stopped");
        signal(&self.child, "-CONT");
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Finished {
        let mut stdout = Vec::new();
        while let Some(line) = self.next_before_the_end() {
            stdout.push(line);
        }
        let status = self.child.wait().unwrap().code();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        Finished { status, stdout, stderr }
    }

    fn next_before_the_end(&self) -> Option<String> {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(Disconnected) => None,
            Err(Timeout) => panic!("tail neither prints nor ends"),
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // The process is already gone if the test passed.
    let _ = child.kill();
    let _ = child.wait();
}

impl Finished {
    pub(crate) fn assert_quiet_success(&self) {
        assert_eq!((self.status, self.stderr.as_str()), (Some(0), ""));
    }

    /// The only line on standard error, after an exit with `status`.
    pub(crate) fn complaint(&self, status: i32) -> &str {
        assert_eq!(self.status, Some(status), "{}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        self.stderr.trim_end()
    }
}

/// Sends the signal of Ctrl-C.
#[cfg(unix)]
pub(crate) fn interrupt(child: &Child) {
    signal(child, "-INT");
}

#[cfg(unix)]
fn is_stopped(child: &Child) -> bool {
    let output = Command::new("ps").args(["-o", "state=", "-p", &child.id().to_string()]).output().unwrap();
    output.stdout.starts_with(b"T")
}

#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}
