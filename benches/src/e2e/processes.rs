//! Starts the server and the clients, and reads what a client prints.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::measure::children_cpu;

/// The server's process. It ends when this value is dropped or this process ends.
pub struct Server {
    child: Child,
    port: u16,
    tls_port: u16,
    /// The path of its certificate, in PEM.
    certificate: String,
}

impl Server {
    /// Starts a server on a free loopback port.
    pub fn start() -> Self {
        let mut child = Command::new(sibling("server"))
            // The server ends when its standard input does: with this process, even if that is
            // killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`server` is built beside this program");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the server says where it listens");
        let words: Vec<&str> = line.trim().splitn(3, ' ').collect();
        let [port, tls_port, certificate] = words[..] else { panic!("the server says {line:?}") };
        let number = |port: &str| port.parse().expect("a port");
        Self { child, port: number(port), tls_port: number(tls_port), certificate: certificate.to_owned() }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Returns the URL over TLS. The part after the `#` is the file of the certificate to trust.
    pub fn tls_url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}#{}", self.tls_port, self.certificate)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // There is nothing to do about a server that cannot be waited for.
        let _ = self.child.wait();
    }
}

/// The CPU time of a client process, and the numbers that it printed.
pub struct Ran {
    pub cpu: Duration,
    pub numbers: Vec<f64>,
}

/// The arguments of one run of the `client` program.
pub struct Measurement<'a> {
    pub mode: &'a str,
    pub contender: &'a str,
    pub url: &'a str,
    pub runtime: &'a str,
    /// The number of events or connections.
    pub count: usize,
    /// Further arguments of the mode.
    pub options: &'a [(&'a str, usize)],
}

impl Measurement<'_> {
    /// Runs the client process to its end.
    ///
    /// # Panics
    ///
    /// Panics if the client fails: a run that misses events measures nothing.
    pub fn run(&self) -> Ran {
        let before = children_cpu();
        let options = self.options.iter().flat_map(|(key, value)| [format!("--{key}"), value.to_string()]);
        let output = Command::new(sibling("client"))
            .arg(self.mode)
            .args(["--contender", self.contender, "--url", self.url])
            .args(["--runtime", self.runtime, "--count", &self.count.to_string()])
            .args(options)
            .stderr(Stdio::inherit())
            .output()
            .expect("`client` is built beside this program");
        let cpu = children_cpu() - before;
        let (contender, url, status) = (self.contender, self.url, output.status);
        assert!(status.success(), "{contender} with {url}: {status}");
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
        Ran { cpu, numbers: numbers.collect() }
    }
}

fn sibling(name: &str) -> PathBuf {
    std::env::current_exe().expect("Linux").with_file_name(name)
}
