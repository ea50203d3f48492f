//! The servers, each in a process that ends with the test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;

/// A server in a process of its own, ended by its id when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    process: Child,
    /// A directory that goes with it.
    prefix: Option<PathBuf>,
}

impl Server {
    /// nginx with nchan, on a free port.
    pub(crate) fn nchan() -> Self {
        let module = nchan_module();
        // Between our asking for a free port and nginx's binding it, somebody else may take it.
        let mut attempts = (0..5).map(|_| Self::start_nginx(&module));
        attempts.find_map(|server| server).expect("nginx starts; its log stands above")
    }

    fn start_nginx(module: &Path) -> Option<Self> {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = free.local_addr().expect("bound");
        let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nginx-{}", address.port()));
        fs::create_dir_all(&prefix).expect("a directory for nginx");
        let configuration = include_str!("nginx.conf")
            .replace("@MODULE@", module.to_str().expect("a path in UTF-8"))
            .replace("@PORT@", &address.port().to_string());
        fs::write(prefix.join("nginx.conf"), configuration).expect("a directory to write to");
        drop(free);

        let process = nginx(|command| {
            command.arg("-p").arg(&prefix).args(["-c", "nginx.conf", "-e", "stderr"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()
        });
        let mut server = Self { address, process, prefix: Some(prefix) };
        let log = server.process.stderr.take().expect("a pipe");
        listens(log).then_some(server)
    }

    /// Node's own `http`, on a port it picks itself.
    pub(crate) fn node() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/server.mjs");
        let mut process = Command::new("node")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("needs node (Debian: nodejs)");
        let mut port = String::new();
        let output = process.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut port).expect("node prints its port");
        let port: u16 = port.trim().parse().expect("a port");
        Self { address: SocketAddr::from(([127, 0, 0, 1], port)), process, prefix: None }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; the wait leaves no zombie.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(prefix) = &self.prefix {
            let _ = fs::remove_dir_all(prefix);
        }
    }
}

/// Runs nginx with a pipe for its log; `sbin` is not in everybody's path.
fn nginx<T>(run: impl Fn(&mut Command) -> std::io::Result<T>) -> T {
    let in_turn = ["nginx", "/usr/sbin/nginx"].into_iter();
    let mut attempts = in_turn.map(|program| run(Command::new(program).stderr(Stdio::piped())));
    attempts.find_map(Result::ok).expect("needs nginx (Debian: nginx-light)")
}

/// The file of the nchan module, in the directory that nginx was built to look in.
fn nchan_module() -> PathBuf {
    let about = nginx(|command| command.arg("-V").output()).stderr;
    let about = String::from_utf8_lossy(&about);
    let built_in = about.split_whitespace().find_map(|option| option.strip_prefix("--modules-path="));
    let module = Path::new(built_in.unwrap_or("/usr/lib/nginx/modules")).join("ngx_nchan_module.so");
    assert!(module.exists(), "needs {module:?} (Debian: libnginx-mod-nchan)");
    module
}

/// Reads nginx's log until it listens, and prints all of it. False if nginx ended instead.
fn listens(log: ChildStderr) -> bool {
    let mut lines = BufReader::new(log).lines().map_while(Result::ok).inspect(|line| eprintln!("{line}"));
    // The first thing that it does after binding its sockets is to say how it will wait on them.
    let listens = lines.any(|line| line.contains("[notice]") && line.contains("using the \""));
    thread::spawn(move || lines.for_each(drop));
    listens
}
