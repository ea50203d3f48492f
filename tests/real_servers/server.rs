//! The servers, each in a process that ends with the test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::{fs, thread};

/// A server process, which is killed when this is dropped.
pub(crate) struct Server {
    /// The address for publishing, over HTTP/1.1 in clear.
    pub(crate) publish: SocketAddr,
    pub(crate) subscribe: SocketAddr,
    /// The same server, on a Unix socket.
    pub(crate) socket: Option<PathBuf>,
    /// The same events over TLS, with or without a reverse proxy, and the PEM of the certificate's
    /// authority.
    pub(crate) over_tls: Option<(SocketAddr, String)>,
    process: Child,
    /// A directory that is removed with it.
    prefix: Option<PathBuf>,
}

impl Server {
    /// nginx with nchan, on free ports.
    pub(crate) fn nchan() -> Self {
        let module = nchan_module();
        // Another process may take the free port before nginx binds it.
        let mut attempts = (0..5).map(|_| Self::start_nginx(&module));
        attempts.find_map(|server| server).expect("nginx starts; its log stands above")
    }

    fn start_nginx(module: &Path) -> Option<Self> {
        let free = [0; 2].map(|_| std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port"));
        let [address, tls] = free.each_ref().map(|free| free.local_addr().expect("bound"));
        let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nginx-{}", address.port()));
        fs::create_dir_all(&prefix).expect("a directory for nginx");
        // The path of a socket must be short, so it is not in that directory.
        let socket = std::env::temp_dir().join(format!("sseclient-nginx-{}", address.port()));
        let configuration = include_str!("nginx.conf")
            .replace("@MODULE@", module.to_str().expect("a path in UTF-8"))
            .replace("@PORT@", &address.port().to_string())
            .replace("@TLS_PORT@", &tls.port().to_string())
            .replace("@SOCKET@", socket.to_str().expect("a path in UTF-8"));
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let certificate = certified.cert.pem();
        for (name, content) in [
            ("nginx.conf", &configuration),
            ("certificate.pem", &certificate),
            ("key.pem", &certified.signing_key.serialize_pem()),
        ] {
            fs::write(prefix.join(name), content).expect("a directory to write to");
        }
        drop(free);

        let process = nginx(|command| {
            command.arg("-p").arg(&prefix).args(["-c", "nginx.conf", "-e", "stderr"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()
        });
        let over_tls = Some((tls, certificate));
        let mut server = Self {
            publish: address,
            subscribe: address,
            socket: Some(socket),
            over_tls,
            process,
            prefix: Some(prefix),
        };
        let log = server.process.stderr.take().expect("a pipe");
        listens(log).then_some(server)
    }

    /// A server with Node's own `http`, on a free port.
    pub(crate) fn node() -> Self {
        Self::scripted(Command::new("node").arg(script("server.mjs")), "needs node (Debian: nodejs)")
    }

    /// better-sse on Node, over this version of HTTP.
    pub(crate) fn better_sse(version: &str) -> Self {
        Self::scripted(&mut better_sse(version), "needs node (Debian: nodejs)")
    }

    /// The same over TLS, in the version of HTTP that the client prefers.
    pub(crate) fn better_sse_over_tls() -> Self {
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let certificate = certified.cert.pem();
        let mut command = better_sse("tls");
        command.env("CERTIFICATE", &certificate).env("KEY", certified.signing_key.serialize_pem());
        let mut server = Self::scripted(&mut command, "needs node (Debian: nodejs)");
        server.over_tls = Some((server.subscribe, certificate));
        server
    }

    /// sse-starlette on uvicorn.
    pub(crate) fn starlette() -> Self {
        let packages = packages("python");
        assert!(packages.join("sse_starlette").exists(), "needs sse-starlette and uvicorn (PyPI) in {packages:?}");
        let mut command = Command::new("python3");
        Self::scripted(command.arg(script("server.py")).env("PYTHONPATH", packages), "needs python3")
    }

    /// Starts a script that prints its ports, the one for publishing first, and that ends with its
    /// standard input.
    fn scripted(command: &mut Command, needs: &str) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect(needs);
        let mut ports = String::new();
        let output = process.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut ports).expect("it prints its ports");
        let ports: Vec<u16> = ports.split_whitespace().map(|port| port.parse().expect("a port")).collect();
        let address = |port: Option<&u16>| SocketAddr::from(([127, 0, 0, 1], *port.expect("a port")));
        let (publish, subscribe) = (address(ports.first()), address(ports.last()));
        Self { publish, subscribe, socket: None, over_tls: None, process, prefix: None }
    }
}

fn better_sse(version: &str) -> Command {
    let packages = packages("node").join("node_modules");
    assert!(packages.join("better-sse").exists(), "needs better-sse (npm) in {packages:?}");
    let mut command = Command::new("node");
    command.arg(script("better.mjs")).arg(version).arg(packages);
    command
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_servers").join(name)
}

/// The folder in which .ci/run installs what Debian does not have.
fn packages(language: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers").join(language)
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process may have ended already. Waiting for it leaves no zombie.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(prefix) = &self.prefix {
            let _ = fs::remove_dir_all(prefix);
        }
        if let Some(socket) = &self.socket {
            let _ = fs::remove_file(socket);
        }
    }
}

/// Runs nginx with a pipe for its log. Not every user has `sbin` in the path.
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
    // The first log line after nginx has bound its sockets says how it polls them.
    let listens = lines.any(|line| line.contains("[notice]") && line.contains("using the \""));
    thread::spawn(move || lines.for_each(drop));
    listens
}
