//! Custom connectors, Unix sockets and custom resolvers.

use std::error::Error as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Uri;
use sseclient::{Client, ErrorKind, Filter, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

#[cfg(feature = "tls")]
use crate::echo;
use crate::peers::naming_peers;
use crate::support::{OPEN, header, open, short, within};

/// A connector that makes connections inside this process and records the URLs that it was called
/// with.
fn inside(asked: &Arc<Mutex<Vec<String>>>) -> impl Fn(Uri) -> std::future::Ready<io::Result<DuplexStream>> + use<> {
    let asked = Arc::clone(asked);
    move |server: Uri| {
        asked.lock().unwrap().push(server.to_string());
        let (client, mut other) = duplex(4096);
        tokio::spawn(async move {
            let mut head = [0; 4096];
            let length = other.read(&mut head).await.unwrap();
            let host = header(&String::from_utf8_lossy(&head[..length]), "host").unwrap();
            other.write_all(format!("{OPEN}data: {host} inside\n\n").as_bytes()).await.unwrap();
            let _ = other.read(&mut head).await;
        });
        std::future::ready(Ok(client))
    }
}

#[tokio::test]
async fn a_closure_makes_the_connections_and_is_told_the_server_and_no_secrets() {
    let asked = Arc::default();
    for url in ["http://user:secret@server.invalid/path?token=secret", "http://[::1]:8080/"] {
        let mut events = open(Client::builder().connector(inside(&asked)), url).await.unwrap();
        let data = short(&mut events).await;
        assert!(["server.invalid inside", "[::1]:8080 inside"].contains(&&*data), "{data}");
    }
    assert_eq!(*asked.lock().unwrap(), ["http://server.invalid:80/", "http://[::1]:8080/"]);
}

#[tokio::test]
async fn a_failing_connector_is_a_connect_error_and_a_hanging_one_times_out() {
    let failing = |_: Uri| async { Err::<DuplexStream, _>("the line is cut") };
    let error = open(Client::builder().connector(failing), "http://server.invalid/").await.unwrap_err();
    assert_eq!((error.kind(), error.is_final()), (ErrorKind::Connect, false));
    assert_eq!(error.source().unwrap().to_string(), "the line is cut");
    let hanging = |_: Uri| std::future::pending::<io::Result<DuplexStream>>();
    let client = Client::builder().connector(hanging).build();
    for url in ["http://server.invalid/", "http://server.invalid:/"] {
        let stream = client.stream(url).connect_timeout(Duration::from_millis(20));
        let error = within(stream.open(Filter::all())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectTimeout);
        assert_eq!(error.to_string(), "no connection to server.invalid within the connect timeout of 20ms");
    }
}

#[tokio::test]
async fn a_connector_stands_in_place_of_proxies() {
    let client = Client::builder().connector(inside(&Arc::default())).proxy("http://proxy.invalid").unwrap();
    assert_eq!(short(&mut open(client, "http://server.invalid/").await.unwrap()).await, "server.invalid inside");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tls_is_done_on_top_of_a_connector() {
    // A certificate names an IPv6 address without the brackets that a URL has.
    for (name, host) in [("server.invalid", "server.invalid"), ("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")] {
        let site = echo::Site::new(name);
        let server = site.clone();
        let connector = move |_: Uri| {
            let (client, other) = duplex(4096);
            let server = server.clone();
            tokio::spawn(async move { server.echo(other).await });
            std::future::ready(Ok::<_, io::Error>(client))
        };
        let client = Client::builder().connector(connector).root_certificates_pem(site.root_pem.as_bytes()).unwrap();
        let heard = short(&mut open(client, &format!("https://{host}/x")).await.unwrap()).await;
        assert!(heard.starts_with("GET /x HTTP/1.1"), "{heard}");
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_host_that_no_certificate_can_name_is_a_final_error() {
    let client = Client::builder().connector(inside(&Arc::default()));
    for host in ["a..invalid", "-a.invalid", ".invalid"] {
        let error = open(client.clone(), &format!("https://{host}/")).await.unwrap_err();
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::InvalidUrl, true), "{host}");
        assert!(open(client.clone(), &format!("http://{host}/")).await.is_ok(), "{host}");
    }
}

#[cfg(feature = "tower-service-0-3")]
#[tokio::test]
async fn a_connector_of_hypers_world_is_one() {
    use hyper_util::client::legacy::connect::HttpConnector;
    use sseclient::ServiceConnector;

    let server = naming_peers().await;
    let client = Client::builder().connector(ServiceConnector::new(HttpConnector::new()));
    assert_eq!(short(&mut open(client.clone(), &server).await.unwrap()).await, "to 127.0.0.1");
    drop(server);
    let error = open(client, "http://127.0.0.1:1/").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.source().is_some());
}

#[cfg(unix)]
mod unix {
    use tokio::net::UnixListener;

    use super::*;
    use crate::support::folder::Folder;

    #[tokio::test]
    async fn a_unix_socket_is_asked_for_the_host_in_the_url_and_comes_back() {
        let folder = Folder::new("plain");
        let socket = folder.join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        tokio::spawn(async move {
            while let Ok((mut unix, _)) = listener.accept().await {
                let mut head = [0; 4096];
                let length = unix.read(&mut head).await.unwrap();
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let (host, id) = (header(&head, "host").unwrap(), header(&head, "last-event-id"));
                // Dropping the connection closes it.
                unix.write_all(format!("{OPEN}id: 7\ndata: {host} {id:?}\n\n").as_bytes()).await.unwrap();
            }
        });
        let client = Client::builder().unix_socket(&socket).build();
        let stream = client.stream("http://docker/v1/events").reconnection_time(Duration::ZERO);
        let mut events = within(stream.open(Filter::all())).await.unwrap();
        assert_eq!(short(&mut events).await, "docker None");
        assert_eq!(short(&mut events).await, "reconnected after Some(\"7\")");
        assert_eq!(short(&mut events).await, "docker Some(\"7\")");
    }

    #[tokio::test]
    async fn the_error_names_a_missing_socket() {
        let error = open(Client::builder().unix_socket("/nonexistent/socket"), "http://docker/").await.unwrap_err();
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::Connect, false));
        assert!(error.to_string().contains("/nonexistent/socket"), "{error}");
    }

    #[cfg(feature = "tls")]
    #[tokio::test]
    async fn tls_is_done_over_a_unix_socket() {
        let (folder, site) = (Folder::new("tls"), echo::Site::new("server.invalid"));
        let socket = folder.join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = site.clone();
        tokio::spawn(async move {
            let (unix, _) = listener.accept().await.unwrap();
            server.echo(unix).await;
        });
        let client = Client::builder().root_certificates_pem(site.root_pem.as_bytes()).unwrap();
        let mut events = open(client.unix_socket(&socket), "https://server.invalid/x").await.unwrap();
        let heard = short(&mut events).await;
        assert!(heard.starts_with("GET /x HTTP/1.1"), "{heard}");
    }
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn a_resolver_of_the_callers_own_is_asked_for_names_and_not_for_addresses() {
    let server = naming_peers().await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let names = Arc::clone(&asked);
    let lookup = move |name: String| {
        names.lock().unwrap().push(name);
        async { Ok::<_, io::Error>(vec![HERE]) }
    };
    let client = Client::builder().resolver(lookup);
    for url in [&*server.replace("127.0.0.1", "server.invalid"), &*server] {
        assert_eq!(short(&mut open(client.clone(), url).await.unwrap()).await, "to 127.0.0.1");
    }
    assert_eq!(*asked.lock().unwrap(), ["server.invalid"]);
}

#[tokio::test]
async fn a_failing_or_empty_resolver_is_a_dns_error_and_a_hanging_one_times_out() {
    for (answer, says) in [(Err("no line"), "no line"), (Ok(Vec::new()), "returned no address")] {
        let client = Client::builder().resolver(move |_| std::future::ready(answer.clone()));
        let error = open(client, "http://server.invalid/").await.unwrap_err();
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::Dns, false));
        assert!(error.source().unwrap().to_string().contains(says), "{error:?}");
    }
    let client = Client::builder().resolver(|_| std::future::pending::<io::Result<Vec<IpAddr>>>()).build();
    let stream = client.stream("http://server.invalid/").connect_timeout(Duration::from_millis(20));
    assert_eq!(within(stream.open(Filter::all())).await.unwrap_err().kind(), ErrorKind::ConnectTimeout);
}

/// On Linux every address in 127.0.0.0/8 is this machine.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn connections_come_from_the_address_that_was_given() {
    let server = naming_peers().await;
    let client = Client::builder()
        .local_address("127.0.0.2".parse().unwrap())
        .tcp_nodelay(false)
        .tcp_keepalive(TcpKeepalive::new().probes(5))
        .happy_eyeballs_timeout(None);
    assert_eq!(short(&mut open(client, &server).await.unwrap()).await, "to 127.0.0.2");
}
