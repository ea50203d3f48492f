//! Minimal proxies that work. They connect to this machine for every target name.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// Forwards what an HTTP client asks for: a request with an absolute URL, or a tunnel.
pub async fn relay(mut io: impl AsyncRead + AsyncWrite + Unpin, head: &str) {
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    if method == "CONNECT" {
        let answer = "HTTP/1.1 200 Connection established\r\ncontent-length: 7\r\n\r\n";
        return tunnel(io, head, answer).await;
    }
    let (authority, path) = target.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut server = here(authority).await;
    let lines = head.lines().skip(1).filter(|line| !line.to_lowercase().starts_with("proxy-"));
    let lines: Vec<_> = [format!("{method} /{path} HTTP/1.1")].into_iter().chain(lines.map(str::to_owned)).collect();
    server.write_all(format!("{}\r\n", lines.join("\r\n")).as_bytes()).await.unwrap();
    let _ = copy_bidirectional(&mut io, &mut server).await;
}

/// Opens the tunnel that `head` asks for, with this answer.
pub async fn tunnel(mut io: impl AsyncRead + AsyncWrite + Unpin, head: &str, answer: &str) {
    let mut server = here(head.split(' ').nth(1).unwrap()).await;
    io.write_all(answer.as_bytes()).await.unwrap();
    let _ = copy_bidirectional(&mut io, &mut server).await;
}

/// Connects to the server at the port of `authority`. Only the proxy can resolve its name.
async fn here(authority: &str) -> TcpStream {
    let (name, port) = authority.rsplit_once(':').unwrap();
    assert_eq!(name, "server.invalid", "names are the proxy's affair");
    TcpStream::connect(("127.0.0.1", port.parse().unwrap())).await.unwrap()
}

/// A SOCKS5 proxy (RFC 1928), with a password (RFC 1929) or without.
pub struct Socks {
    pub address: String,
    /// The credentials and targets of all clients, in order.
    pub heard: Arc<Mutex<Vec<String>>>,
}

impl Socks {
    pub async fn start(credentials: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let notes = Arc::clone(&notes);
                tokio::spawn(async move { drop(serve(tcp, credentials, &notes).await) });
            }
        });
        Self { address, heard }
    }

    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

async fn text(tcp: &mut TcpStream) -> std::io::Result<String> {
    let mut text = vec![0; tcp.read_u8().await?.into()];
    tcp.read_exact(&mut text).await?;
    Ok(String::from_utf8(text).unwrap())
}

async fn serve(
    mut tcp: TcpStream,
    credentials: Option<&str>,
    heard: &Mutex<Vec<String>>,
) -> Result<(), std::io::Error> {
    assert_eq!(tcp.read_u8().await?, 5);
    let methods = text(&mut tcp).await?;
    let method = if credentials.is_some() { 2 } else { 0 };
    if !methods.as_bytes().contains(&method) {
        return tcp.write_all(&[5, 0xFF]).await;
    }
    tcp.write_all(&[5, method]).await?;
    if let Some(credentials) = credentials {
        assert_eq!(tcp.read_u8().await?, 1);
        let given = format!("{}:{}", text(&mut tcp).await?, text(&mut tcp).await?);
        heard.lock().unwrap().push(given.clone());
        tcp.write_all(&[1, u8::from(given != credentials)]).await?;
    }
    let mut request = [0; 4];
    tcp.read_exact(&mut request).await?;
    assert_eq!(request, [5, 1, 0, 3], "a stream to a name");
    let (name, port) = (text(&mut tcp).await?, tcp.read_u16().await?);
    heard.lock().unwrap().push(format!("{name}:{port}"));
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return tcp.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await;
    };
    tcp.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut tcp, &mut server).await.map(drop)
}
