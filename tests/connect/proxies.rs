//! Proxies of each kind, with and without credentials. Errors name the proxy.

mod servers;

use std::convert::Infallible;
use std::error::Error as _;
use std::future::ready;
use std::time::Duration;

use http::HeaderMap;
use servers::{Socks, relay};
use sseclient::testing::Script;
use sseclient::{Client, ClientBuilder, Error, ErrorKind, Filter};
use tokio::net::TcpListener;

use crate::support::{
    self, Connection, RawServer, always, header, in_own_process, open, serve, short, staying, stream, within,
};

/// `Basic` for `user:pa:ss`.
const BASIC: &str = "Basic dXNlcjpwYTpzcw==";

/// An HTTP proxy that works.
async fn proxy() -> RawServer {
    RawServer::start(|_, connection: Connection| async move {
        relay(connection.io, &connection.request).await;
    })
    .await
}

/// The URL of a server, with a name that only the proxy can resolve.
fn elsewhere(url: &str) -> String {
    url.replace("127.0.0.1", "server.invalid")
}

/// The URL of a proxy, with or without credentials and a slash at the end.
fn at(scheme: &str, userinfo: &str, url: &str) -> String {
    url.replace("http://", &format!("{scheme}://{userinfo}")).replace("/stream", "")
}

fn through(url: &str) -> ClientBuilder {
    Client::builder().proxy(url).unwrap()
}

#[tokio::test]
async fn an_http_proxy_is_asked_by_the_whole_url_and_its_credentials_stay_there() {
    let (server, proxy) = (staying("data: a\n\n").await, proxy().await);
    let url = elsewhere(server.url());
    for (userinfo, authorization) in [("", None), ("user:pa%3Ass@", Some(BASIC.to_owned()))] {
        let mut events = open(through(&at("http", userinfo, &proxy.url)), &format!("{url}?q=1")).await.unwrap();
        assert_eq!(short(&mut events).await, "a");
        let asked = proxy.requests().pop().unwrap();
        assert!(asked.starts_with(&format!("GET {url}?q=1 HTTP/1.1\r\n")), "{asked}");
        assert_eq!(header(&asked, "proxy-authorization"), authorization);
        assert_eq!(header(&asked, "host").unwrap(), url.split('/').nth(2).unwrap());
    }
}

#[tokio::test]
async fn proxy_credentials_that_the_caller_sets_override_those_in_the_url() {
    let (server, proxy) = (staying("data: a\n\n").await, proxy().await);
    let client = through(&at("http", "user:pa%3Ass@", &proxy.url)).build();
    let stream = client.stream(elsewhere(server.url())).header("proxy-authorization", "Bearer own");
    let mut events = within(stream.open(Filter::all())).await.unwrap();
    assert_eq!(short(&mut events).await, "a");
    let asked = proxy.requests().pop().unwrap().to_lowercase();
    let sent: Vec<_> = asked.lines().filter(|line| line.starts_with("proxy-authorization:")).collect();
    assert_eq!(sent, ["proxy-authorization: bearer own"]);
}

/// The header reaches the proxy or the server that gets the request. It does not authorize a
/// tunnel.
#[tokio::test]
async fn the_callers_own_proxy_authorization_goes_with_the_request_only() {
    let server = staying("data: a\n\n").await;
    let socks = Socks::start(None).await;
    let ask = async |client: ClientBuilder, url: &str| {
        let stream = client.build().stream(url).header("proxy-authorization", "Bearer own");
        within(stream.open(Filter::all())).await
    };
    for (client, url) in [
        (Client::builder().no_proxy(), server.url()),
        (through(&format!("socks5://{}", socks.address)), &elsewhere(server.url())),
    ] {
        assert_eq!(short(&mut ask(client, url).await.unwrap()).await, "a");
        assert_eq!(server.requests().pop().unwrap().headers()["proxy-authorization"], "Bearer own");
    }
    if cfg!(feature = "tls") {
        let proxy = hostile(Hostile::HangsUp).await;
        ask(through(&at("http", "user:pa%3Ass@", &proxy.url)), "https://server.invalid/").await.unwrap_err();
        assert_eq!(proxy.headers("proxy-authorization"), [Some(BASIC.to_owned())]);
    }
}

#[tokio::test]
async fn a_socks_proxy_resolves_the_name_and_is_told_the_password() {
    let server = staying("data: a\n\n").await;
    let url = elsewhere(server.url());
    let target = url.split('/').nth(2).unwrap();
    for (scheme, userinfo, credentials) in
        [("socks", "", None), ("socks5", "", None), ("socks5h", "user:pa%3Ass@", Some("user:pa:ss"))]
    {
        let proxy = Socks::start(credentials).await;
        let client = through(&format!("{scheme}://{userinfo}{}", proxy.address));
        let mut events = open(client, &url).await.unwrap();
        assert_eq!(short(&mut events).await, "a");
        let heard: Vec<_> = credentials.into_iter().chain([target]).collect();
        assert_eq!(proxy.heard(), heard);
        let request = server.requests().pop().unwrap();
        assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("GET", "/stream"));
        assert!(!request.headers().contains_key("proxy-authorization"));
    }
}

#[tokio::test]
async fn a_refusal_by_a_socks_proxy_is_an_error_of_the_proxy() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (credentials, userinfo, says) in [
        (Some("user:other"), "user:wrong@", "credentials not accepted"),
        (Some("user:other"), "", "without credentials"),
        (None, "", "Connection refused"),
    ] {
        let proxy = Socks::start(credentials).await;
        let client = through(&format!("socks5://{userinfo}{}", proxy.address));
        let error = open(client, &format!("http://server.invalid:{}/", gone.port())).await.unwrap_err();
        let shown = format!("{error} {}", error.source().unwrap());
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::Proxy, false), "{shown}");
        assert!(shown.contains(&proxy.address) && shown.to_lowercase().contains(&says.to_lowercase()), "{shown}");
        assert!(!shown.contains("wrong"), "{shown}");
    }
}

#[tokio::test]
async fn an_unreachable_proxy_is_named_in_the_error() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for scheme in ["http", "socks5"] {
        let error =
            open(through(&format!("{scheme}://user:wrong@{gone}")), "http://server.invalid/").await.unwrap_err();
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::Proxy, false));
        assert!(error.to_string().starts_with(&format!("the proxy {gone} cannot be reached")), "{error}");
        assert_eq!(error.source().unwrap().downcast_ref::<Error>().unwrap().kind(), ErrorKind::Connect);
    }
}

const REFUSAL: &str = "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\
                       content-length: 4\r\n\r\nno!\n";

/// A proxy may refuse with any status. The client must not take its refusal for the server's.
#[tokio::test]
async fn a_proxys_own_refusal_is_retried_and_a_forwarded_one_is_the_servers() {
    for (answer, kind, is_final) in [
        ("403 Forbidden\r\nx-squid-error: ERR_ACCESS_DENIED 0", ErrorKind::Proxy, false),
        ("502 Bad Gateway\r\nproxy-status: gate; error=connection_refused", ErrorKind::Proxy, false),
        ("403 Forbidden\r\nproxy-status: gate; received-status=403", ErrorKind::Status, true),
        ("503 Service Unavailable", ErrorKind::Status, false),
    ] {
        let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
        let proxy = serve(Script::raw().bytes(answer.clone())).await;
        let error = open(through(&at("http", "", proxy.url())), "http://server.invalid/").await.unwrap_err();
        assert_eq!((error.kind(), error.is_final()), (kind, is_final), "{answer}");
        assert_eq!(error.status().unwrap().as_str(), &answer[9..12]);
        assert_eq!(error.to_string().contains("the proxy"), kind == ErrorKind::Proxy, "{error}");
    }
}

#[tokio::test]
async fn an_endless_407_is_retried_without_asking_for_server_credentials() {
    let proxy = always(|| Script::raw().bytes(REFUSAL)).await;
    let client = through(&at("http", "", proxy.url())).build();
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&asked);
    let source = move |reason| {
        if let sseclient::CredentialsReason::Rejected { .. } = reason {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        ready(Ok::<_, Infallible>(HeaderMap::new()))
    };
    let handle =
        client.stream("http://server.invalid/").credentials(source).reconnection_time(Duration::ZERO).build().unwrap();
    let _events = handle.subscribe(Filter::all());
    handle.connect();
    support::until("it is asked again", || proxy.requests().len() > 3).await;
    assert!(handle.stats().failures.get(&ErrorKind::Proxy).is_some_and(|&times| times > 2));
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_407_of_an_http_proxy_says_what_to_do() {
    let proxy = always(|| Script::raw().bytes(REFUSAL)).await;
    for (userinfo, says) in [("", "it wants credentials"), ("user:wrong@", "it does not take the credentials")] {
        let error = open(through(&at("http", userinfo, proxy.url())), "http://server.invalid/").await.unwrap_err();
        assert_eq!((error.kind(), error.status().unwrap().as_u16()), (ErrorKind::Proxy, 407));
        assert_eq!(error.body().unwrap(), "no!\n");
        assert!(error.to_string().contains(says) && error.to_string().contains("407"), "{error}");
    }
    // Without a proxy, a 407 is an answer of the server.
    let error = within(stream(proxy.url()).open(Filter::all())).await.unwrap_err();
    assert_eq!((error.kind(), error.is_final()), (ErrorKind::Status, true));
}

/// A hostile proxy.
#[derive(Clone, Copy, Debug)]
enum Hostile {
    Silent,
    HangsUp,
    EndlessHead,
    Nonsense,
    /// Its whole answer to a request for a tunnel.
    #[cfg(feature = "tls")]
    Says(&'static str),
}

async fn hostile(how: Hostile) -> RawServer {
    RawServer::start(move |_, mut connection| async move {
        match how {
            Hostile::Silent => connection.closed().await,
            Hostile::HangsUp => {}
            Hostile::Nonsense => drop(connection.send("220 ready\r\n\r\n").await),
            Hostile::EndlessHead => {
                connection.send("HTTP/1.1 200 OK\r\n").await;
                let line = format!("x: {}\r\n", "y".repeat(1000));
                while connection.send(&line).await {}
            }
            #[cfg(feature = "tls")]
            Hostile::Says(text) => {
                connection.send(text).await;
                connection.closed().await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_hostile_proxy_is_an_error_in_time_and_in_bounded_memory_for_http() {
    for (how, kind) in [
        (Hostile::Silent, ErrorKind::ResponseTimeout),
        (Hostile::HangsUp, ErrorKind::Proxy),
        (Hostile::Nonsense, ErrorKind::Proxy),
        (Hostile::EndlessHead, ErrorKind::Proxy),
    ] {
        let proxy = hostile(how).await;
        let client = through(&at("http", "", &proxy.url)).build();
        let stream = client.stream("http://server.invalid/").response_timeout(match how {
            Hostile::Silent => Duration::from_millis(50),
            _ => support::LIMIT,
        });
        let error = within(stream.open(Filter::all())).await.unwrap_err();
        assert_eq!((error.kind(), error.is_final()), (kind, false), "{how:?}");
        assert!(error.to_string().contains(&at("the proxy ", "", &proxy.url).replace("://", "")), "{error}");
    }
}

#[cfg(feature = "tls")]
mod tls {
    use std::sync::Arc;

    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::echo::{self, Site};
    use crate::site;

    /// An https server, and its URL with a name that only the proxy can resolve.
    async fn secure(site: &Site) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://server.invalid:{}/", listener.local_addr().unwrap().port());
        let site = site.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let site = site.clone();
                tokio::spawn(async move { site.echo(tcp).await });
            }
        });
        url
    }

    #[tokio::test]
    async fn an_https_server_is_reached_through_a_tunnel_which_sees_nothing() {
        let (site, proxy) = (Site::new("server.invalid"), proxy().await);
        let url = secure(&site).await;
        let socks = Socks::start(Some("user:pa:ss")).await;
        for proxy_url in [at("http", "user:pa%3Ass@", &proxy.url), format!("socks5://user:pa%3Ass@{}", socks.address)] {
            let client = through(&proxy_url).root_certificates_pem(site.root_pem.as_bytes()).unwrap();
            let mut events = open(client, &url).await.unwrap();
            let heard = short(&mut events).await.to_lowercase();
            assert!(heard.starts_with("get / http/1.1") && !heard.contains("proxy-authorization"), "{heard}");
        }
        let asked = proxy.requests().remove(0);
        let server = url.split('/').nth(2).unwrap();
        assert!(asked.starts_with(&format!("CONNECT {server} HTTP/1.1\r\n")), "{asked}");
        assert_eq!(header(&asked, "host").unwrap(), server);
        assert_eq!(header(&asked, "proxy-authorization").unwrap(), BASIC);
        assert_eq!(socks.heard(), ["user:pa:ss", server]);
    }

    #[tokio::test]
    async fn a_proxy_may_be_behind_tls_itself() {
        let site = Site::new("localhost");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = site.acceptor.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let mut tls = acceptor.accept(tcp).await.unwrap();
                echo::echo(&mut tls).await;
            }
        });
        let client = through(&format!("https://user:pa%3Ass@localhost:{port}"));
        let client = client.root_certificates_pem(site.root_pem.as_bytes()).unwrap();
        let mut events = open(client, "http://server.invalid/").await.unwrap();
        let heard = short(&mut events).await;
        assert!(heard.starts_with("GET http://server.invalid/ HTTP/1.1"), "{heard}");
        assert!(heard.contains(BASIC), "{heard}");
    }

    /// TLS inside of TLS. The proxy would rather speak HTTP/2, which the client offers to servers.
    #[tokio::test]
    async fn a_proxy_behind_tls_is_asked_in_http_1_for_a_tunnel_that_carries_tls() {
        let authority = site::Authority::new("a proxy");
        let mut config = site::config(&authority.vouch("localhost"), site::BOTH, None);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut tls = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
            assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            let asked = echo::head(&mut tls).await.unwrap();
            relay(tls, &asked).await;
        });
        let server = Site::new("server.invalid");
        let client = through(&format!("https://localhost:{port}"))
            .root_certificates_pem(server.root_pem.as_bytes())
            .and_then(|client| client.add_root_certificates_pem(authority.pem().as_bytes()));
        let heard = short(&mut open(client.unwrap(), &secure(&server).await).await.unwrap()).await;
        assert!(heard.to_lowercase().starts_with("get / http/1.1"), "{heard}");
    }

    /// Any 2xx is a tunnel (RFC 9110, section 9.3.6), and has no body, also if its headers announce one.
    #[tokio::test]
    async fn any_success_in_answer_to_connect_opens_the_tunnel() {
        let site = Site::new("server.invalid");
        let url = secure(&site).await;
        for status in [200, 201, 202, 204, 205, 226, 299] {
            for headers in ["", "content-length: 7\r\n", "transfer-encoding: chunked\r\n", "connection: close\r\n"] {
                let answer = format!("HTTP/1.1 {status} Connection established\r\n{headers}\r\n");
                let proxy = RawServer::start(move |_, connection| {
                    let answer = answer.clone();
                    async move { servers::tunnel(connection.io, &connection.request, &answer).await }
                })
                .await;
                let client =
                    through(&at("http", "", &proxy.url)).root_certificates_pem(site.root_pem.as_bytes()).unwrap();
                let mut events = open(client, &url).await.unwrap();
                let heard = short(&mut events).await.to_lowercase();
                assert!(heard.starts_with("get / http/1.1"), "{status} {headers}: {heard}");
            }
        }
    }

    #[tokio::test]
    async fn a_proxy_that_opens_no_tunnel_is_an_error_in_time_and_in_bounded_memory() {
        for (how, kind, says) in [
            (Hostile::Silent, ErrorKind::ConnectTimeout, "no connection to server.invalid through the proxy"),
            (Hostile::HangsUp, ErrorKind::Proxy, "gave no answer"),
            (Hostile::Nonsense, ErrorKind::Proxy, "gave no answer"),
            (Hostile::EndlessHead, ErrorKind::Proxy, "gave no answer"),
            (Hostile::Says(REFUSAL), ErrorKind::Proxy, "refused the tunnel to server.invalid:443: 407 Proxy Auth"),
            (Hostile::Says("HTTP/1.1 403 No\r\n\r\n"), ErrorKind::Proxy, "server.invalid:443: 403 Forbidden"),
            (Hostile::Says("HTTP/1.1 502 No\r\ncontent-length: 9\r\n\r\n"), ErrorKind::Proxy, ": 502 Bad Gateway"),
            (Hostile::Says("HTTP/1.1 200 OK\r\n\r\nHELLO"), ErrorKind::Proxy, "sent data into the tunnel"),
            (Hostile::Says("HTTP/1.1 204 OK\r\n\r\nHELLO"), ErrorKind::Proxy, "sent data into the tunnel"),
            (Hostile::Says("HTTP/1.1 304 No\r\n\r\n"), ErrorKind::Proxy, ": 304 Not Modified"),
        ] {
            let proxy = hostile(how).await;
            let client = through(&at("http", "", &proxy.url)).build();
            let stream = client.stream("https://server.invalid/").connect_timeout(match how {
                Hostile::Silent => Duration::from_millis(50),
                _ => support::LIMIT,
            });
            let error = within(stream.open(Filter::all())).await.unwrap_err();
            assert_eq!((error.kind(), error.is_final()), (kind, false), "{how:?} {error:?}");
            assert!(error.to_string().contains(says), "{error}");
            let answered = matches!(how, Hostile::Says(text) if !text.contains("HELLO"));
            assert_eq!(error.status().is_some(), answered, "{how:?}");
        }
    }
}

/// The proxy need not speak the protocol of the server.
#[cfg(feature = "http2")]
#[tokio::test]
async fn a_server_that_is_known_to_speak_http2_is_reached_through_a_tunnel() {
    let proxy = hostile(Hostile::HangsUp).await;
    let client = through(&at("http", "", &proxy.url)).http2_prior_knowledge(true);
    assert_eq!(open(client, "http://server.invalid/").await.unwrap_err().kind(), ErrorKind::Proxy);
    assert!(proxy.requests()[0].starts_with("CONNECT server.invalid:80 HTTP/1.1\r\n"));
}

/// An HTTP/2 server may send its settings before the client sends anything (RFC 9113, section 3.4).
#[cfg(feature = "http2")]
mod http2 {
    use bytes::Bytes;
    use http::Response;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, copy_bidirectional, duplex};
    use tokio::net::TcpStream;

    use super::*;

    /// Answers each request with an event, and allows two of them at once.
    async fn serve(io: DuplexStream) {
        let mut server = h2::server::Builder::new().max_concurrent_streams(2).handshake(io).await.unwrap();
        let mut bodies = Vec::new();
        while let Some(Ok((_, mut answer))) = server.accept().await {
            let head = Response::builder().header("content-type", "text/event-stream").body(()).unwrap();
            let mut body = answer.send_response(head, false).unwrap();
            body.send_data(Bytes::from_static(b"data: a\n\n"), false).unwrap();
            bodies.push(body);
        }
    }

    /// Reads a request for a tunnel, and returns the answer that grants it.
    async fn asked(scheme: &str, status: &str, tcp: &mut TcpStream) -> Vec<u8> {
        let mut request = Vec::new();
        if scheme == "http" {
            while !request.ends_with(b"\r\n\r\n") {
                request.push(tcp.read_u8().await.unwrap());
            }
            return format!("HTTP/1.1 {status}\r\n\r\n").into_bytes();
        }
        tcp.read_exact(&mut [0; 3]).await.unwrap();
        tcp.write_all(&[5, 0]).await.unwrap();
        let target = "server.invalid";
        tcp.read_exact(&mut vec![0; 4 + 1 + target.len() + 2]).await.unwrap();
        [5, 0, 0, 1, 0, 0, 0, 0, 0, 0].to_vec()
    }

    /// A proxy may send both in one packet.
    #[tokio::test]
    async fn server_bytes_behind_the_proxys_own_response_are_not_lost() {
        for (scheme, status) in [("http", "200 OK"), ("http", "204 No Content"), ("socks5", "")] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = through(&format!("{scheme}://{}", listener.local_addr().unwrap()));
            tokio::spawn(async move {
                let mut tcp = listener.accept().await.unwrap().0;
                let mut words = asked(scheme, status, &mut tcp).await;
                let (server, mut near) = duplex(64 * 1024);
                tokio::spawn(serve(server));
                near.read_buf(&mut words).await.unwrap();
                tcp.write_all(&words).await.unwrap();
                let _ = copy_bidirectional(&mut tcp, &mut near).await;
            });
            let client = client.http2_prior_knowledge(true).build();
            // The second request uses the same connection, because the server's settings allow two.
            // There is no other connection.
            let mut open = Vec::new();
            for _ in 0..2 {
                let stream = client.stream("http://server.invalid/").open(Filter::all());
                open.push(within(stream).await.unwrap());
            }
            for events in &mut open {
                assert_eq!(short(events).await, "a", "{scheme}");
            }
        }
    }
}

#[test]
fn the_builder_refuses_invalid_proxy_urls() {
    for (url, says) in [
        ("", "cannot be read"),
        ("ftp://proxy", "use http, https or socks5"),
        ("socks4://user:hunter2@proxy", "use a SOCKS5 proxy"),
        ("socks4a://proxy", "use a SOCKS5 proxy"),
        ("http://user:hunter2@[fe80::1%25eth0]", "a zone"),
        ("http://user:hunter2@pro xy", "cannot be read"),
    ] {
        let error = Client::builder().proxy(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

/// The test starts itself in a process of its own, to set its environment.
#[tokio::test]
async fn the_environment_names_the_proxy_unless_the_client_was_told() {
    const NAME: &str = "proxies::the_environment_names_the_proxy_unless_the_client_was_told";
    let Ok(url) = std::env::var("SSECLIENT_TEST_URL") else {
        let (server, proxy) = (staying("data: server\n\n").await, staying("data: proxy\n\n").await);
        let variables = [
            ("http_proxy", &*at("http", "", proxy.url())),
            ("https_proxy", "no URL"),
            ("NO_PROXY", "localhost,.bücher.example"),
            ("SSECLIENT_TEST_URL", server.url()),
        ];
        return in_own_process(NAME, &variables).await;
    };
    let local = url.replace("127.0.0.1", "localhost");
    #[cfg(feature = "idn")]
    {
        // A name in another script is compared as hosts are: in ASCII.
        let client = Client::builder().resolver(|_| ready(Ok::<_, Infallible>(vec!["127.0.0.1".parse().unwrap()])));
        let mut events = open(client, &url.replace("127.0.0.1", "Straße.BÜCHER.example")).await.unwrap();
        assert_eq!(short(&mut events).await, "server");
    }
    for (client, url, expected) in [
        (Client::builder(), "http://server.invalid/", "proxy"),
        (Client::builder(), &*url, "proxy"),
        (Client::builder(), &*local, "server"),
        (Client::builder().no_proxy(), &*url, "server"),
    ] {
        let mut events = open(client, url).await.unwrap();
        assert_eq!(short(&mut events).await, expected, "{url}");
    }
    if cfg!(feature = "tls") {
        let error = open(Client::builder(), "https://server.invalid/").await.unwrap_err();
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::InvalidConfig, true));
        assert!(error.to_string().contains("https_proxy"), "{error}");
    }
}

/// Desktops set this scheme for a proxy of either version of SOCKS.
#[tokio::test]
async fn the_environment_may_name_a_socks_proxy_for_all_schemes() {
    const NAME: &str = "proxies::the_environment_may_name_a_socks_proxy_for_all_schemes";
    let Ok(url) = std::env::var("SSECLIENT_TEST_URL") else {
        let (server, socks) = (staying("data: a\n\n").await, Socks::start(None).await);
        let all = format!("socks://{}/", socks.address);
        let url = elsewhere(server.url());
        return in_own_process(NAME, &[("ALL_PROXY", &all), ("SSECLIENT_TEST_URL", &url)]).await;
    };
    assert_eq!(short(&mut open(Client::builder(), &url).await.unwrap()).await, "a");
}
