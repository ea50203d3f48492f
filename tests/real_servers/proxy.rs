//! Proxies and a load balancer, each in a process that ends with the test.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The user and password that the proxies accept.
pub(crate) const USER: &str = "user";
pub(crate) const PASSWORD: &str = "pass";

/// How long a process may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process that listens on a port. It is killed, and its directory removed, when this is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    process: Child,
    prefix: PathBuf,
}

impl Proxy {
    /// Squid, which asks for basic authentication, forwards requests, and opens tunnels.
    pub(crate) fn squid() -> Self {
        Self::start("squid", |prefix, port| {
            let script =
                format!("while read -r who; do [ \"$who\" = '{USER} {PASSWORD}' ] && echo OK || echo ERR; done");
            fs::write(prefix.join("authenticate.sh"), script).expect("a directory to write to");
            let configuration = include_str!("squid.conf")
                .replace("@PORT@", &port.to_string())
                .replace("@PREFIX@", prefix.to_str().expect("a path in UTF-8"));
            let mut command = Command::new("squid");
            command.arg("-N").arg("-f").arg(written(prefix, "squid.conf", &configuration));
            command
        })
    }

    /// microsocks, a SOCKS5 proxy with a password.
    pub(crate) fn microsocks() -> Self {
        Self::start("microsocks", |_, port| {
            let mut command = Command::new("microsocks");
            command.args(["-i", "127.0.0.1", "-u", USER, "-P", PASSWORD, "-p"]).arg(port.to_string());
            command
        })
    }

    /// HAProxy in front of two servers.
    #[cfg(feature = "cookies")]
    pub(crate) fn haproxy(servers: [SocketAddr; 2]) -> Self {
        Self::start("haproxy", |prefix, port| {
            let configuration = include_str!("haproxy.cfg")
                .replace("@PORT@", &port.to_string())
                .replace("@ONE@", &servers[0].port().to_string())
                .replace("@TWO@", &servers[1].port().to_string());
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(written(prefix, "haproxy.cfg", &configuration));
            command
        })
    }

    /// Its URL, with a valid user and password.
    pub(crate) fn url(&self, scheme: &str) -> String {
        self.url_by_way_of(self.address, scheme)
    }

    /// Its URL for clients that reach it at another address.
    pub(crate) fn url_by_way_of(&self, address: SocketAddr, scheme: &str) -> String {
        format!("{scheme}://{USER}:{PASSWORD}@{address}")
    }

    fn start(name: &str, command: impl Fn(&Path, u16) -> Command) -> Self {
        // Another process may take the free port before this one binds it.
        let mut attempts = (0..5).map(|_| Self::try_start(name, &command));
        attempts.find_map(|proxy| proxy).unwrap_or_else(|| panic!("{name} starts; what it said stands above"))
    }

    fn try_start(name: &str, command: impl Fn(&Path, u16) -> Command) -> Option<Self> {
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = free.local_addr().expect("bound");
        let prefix = std::env::temp_dir().join(format!("sseclient-{name}-{}", address.port()));
        fs::create_dir_all(&prefix).expect("a directory of its own");
        open_to_all(&prefix);
        let mut command = command(&prefix, address.port());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        drop(free);
        let process = command.spawn().unwrap_or_else(|error| panic!("needs {name} (Debian: {name}): {error}"));
        let mut proxy = Self { address, process, prefix };
        proxy.listens().then_some(proxy)
    }

    /// Waits until it listens. Returns false if it ended instead.
    fn listens(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            if self.process.try_wait().is_ok_and(|ended| ended.is_some()) {
                return false;
            }
            std::thread::yield_now();
        }
        false
    }
}

fn written(prefix: &Path, name: &str, content: &str) -> PathBuf {
    let path = prefix.join(name);
    fs::write(&path, content).expect("a directory to write to");
    path
}

/// Squid changes to another user if root starts it.
fn open_to_all(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("a directory of our own");
    }
    #[cfg(not(unix))]
    let _ = path;
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The process may have ended already. Waiting for it leaves no zombie.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.prefix);
    }
}
