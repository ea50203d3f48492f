//! Bytes of a coding that decode to nothing yet, and the idle timeout.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A transport whose server answers with these bytes, one each second.
struct Trickling(Vec<u8>);

impl Connect for Trickling {
    fn connect(&self, _: &Target, _: Duration) -> BoxFuture<Result<HttpConnection, Error>> {
        let (client, mut server) = tokio::io::duplex(64 * 1024);
        let body = self.0.clone();
        tokio::spawn(async move {
            let head = EMPTY.replacen("\r\n\r\n", "\r\ncontent-encoding: gzip\r\n\r\n", 1);
            server.write_all(head.as_bytes()).await.unwrap();
            for byte in body {
                tokio::time::sleep(SECOND).await;
                if server.write_u8(byte).await.is_err() {
                    return;
                }
            }
            std::future::pending::<()>().await;
        });
        Box::pin(async { Ok(HttpConnection::Http1(Box::new(client))) })
    }
}

#[tokio::test(start_paused = true)]
async fn compressed_bytes_put_off_the_idle_timeout_before_they_decode() {
    // A head of ten bytes comes before anything that can be decoded.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(b"data: x\n\n").unwrap();
    encoder.flush().unwrap();
    let client = Client::with_connector(Arc::new(Trickling(encoder.get_ref().clone())));
    let handle = client.stream("http://host/").idle_timeout(5 * SECOND).build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    assert!(matches!(events.recv().await, Some(Delivery::Event(_))));
    assert_eq!(handle.stats().failures.len(), 0);
    handle.shutdown().await;
}
