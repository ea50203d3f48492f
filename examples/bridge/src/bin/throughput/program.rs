//! [`Bridge`]: the program beside this one, and what it uses.

use std::env;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::Failure;

/// The kernel counts processor time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

pub(crate) struct Bridge(Child);

impl Bridge {
    /// Starts the bridge over streams with this many events each.
    pub(crate) fn start(url: &str, server: SocketAddr, group: &str, streams: u64, events: u64) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?.with_file_name("bridge"));
        command.args(["--to", url, "--group", group]);
        for stream in 0..streams {
            command.arg("--stream").arg(format!("s{stream}=http://{server}/{events}"));
        }
        command.stderr(Stdio::null()).kill_on_drop(true).spawn().map(Self)
    }

    pub(crate) async fn kill(mut self) -> io::Result<()> {
        self.0.kill().await
    }

    pub(crate) fn processor_time(&self) -> Result<Duration, Failure> {
        let stat = self.read("stat")?;
        // The name before these fields may have spaces. Then come user and system time (proc(5)).
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
        let ticks: u32 = fields.filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
        Ok(TICK * ticks)
    }

    /// Returns its memory in KiB.
    pub(crate) fn resident_memory(&self) -> Result<f64, Failure> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    fn read(&self, file: &str) -> Result<String, Failure> {
        let id = self.0.id().ok_or("the bridge has ended")?;
        Ok(fs::read_to_string(format!("/proc/{id}/{file}"))?)
    }
}
