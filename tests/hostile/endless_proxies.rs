//! Proxies that answer without end or with garbage. The allocator counts what that costs.

use std::time::Duration;

use sseclient::{Client, Error, ErrorKind, Filter};

use crate::counting;
use crate::flood::{Flood, Script};
use crate::support::{LIMIT, until, within};

const MIB: usize = 1 << 20;

/// An attempt may allocate its buffers and one response head.
const MOST_MEMORY: isize = MIB as isize;

/// A hostile proxy, and the request that goes through it.
struct Asked {
    proxy: &'static str,
    url: &'static str,
    script: Script,
    /// The connect timeout and the response timeout.
    patience: [Duration; 2],
}

const SHORT: Duration = Duration::from_millis(300);

impl Asked {
    fn to(proxy: &'static str, url: &'static str, script: Script) -> Self {
        Self { proxy, url, script, patience: [LIMIT; 2] }
    }

    /// Returns the error of one attempt. Asserts that it took little memory and read little.
    async fn failed(self, name: &str) -> Error {
        let flood = Flood::start(self.script).await;
        let client = Client::builder().proxy(format!("{}://{}", self.proxy, flood.address)).unwrap().build();
        let stream = client.stream(self.url).connect_timeout(self.patience[0]).response_timeout(self.patience[1]);
        let (opened, memory) = counting::most(within(stream.open(Filter::all()))).await;
        let (error, written) = (opened.expect_err(name), flood.finish().await);
        assert!(memory < MOST_MEMORY, "{name}: {memory} bytes of memory");
        if matches!(error.kind(), ErrorKind::Proxy | ErrorKind::Protocol) {
            // This includes what the socket buffers hold.
            assert!(written < 16 * MIB, "{name}: {written} bytes were sent");
        }
        error
    }
}

const TOO_LONG: &str = "gave no answer";

#[test]
fn an_http_proxy_that_forwards_without_end_costs_bounded_memory() {
    counting::alone(async {
        for (start, part, kind, says) in [
            ("HTTP/1.1 200 OK\r\n", "x: y\r\n", ErrorKind::Proxy, TOO_LONG),
            ("HTTP/1.1 200 OK\r\nx: ", "y", ErrorKind::Proxy, TOO_LONG),
            ("", "HTTP", ErrorKind::Proxy, TOO_LONG),
            (
                "",
                "HTTP/1.1 103 Early Hints\r\n\r\n",
                ErrorKind::ResponseTimeout,
                "sent no response head through the proxy",
            ),
            ("HTTP/1.1 407 No\r\n\r\n", "no end ", ErrorKind::Proxy, "it wants credentials"),
            ("HTTP/1.1 502 No\r\nx-squid-error: 1\r\n\r\n", "no end ", ErrorKind::Proxy, "refused the request: 502"),
        ] {
            let mut asked = Asked::to("http", "http://server.invalid/", Script::http(start, part));
            if kind == ErrorKind::ResponseTimeout {
                asked.patience[1] = SHORT;
            }
            let error = asked.failed(&format!("{start}{part}")).await;
            assert_eq!((error.kind(), error.is_final()), (kind, false), "{start}{part}: {error}");
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(error.body().map_or(0, |body| body.len()), if error.status().is_some() { 8 * 1024 } else { 0 });
        }
    });
}

#[cfg(feature = "tls")]
#[test]
fn a_proxy_that_answers_connect_without_end_costs_bounded_memory() {
    counting::alone(async {
        let huge = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(MIB));
        for (start, part, kind, says) in [
            ("HTTP/1.1 200 OK\r\n", "x: y\r\n", ErrorKind::Proxy, TOO_LONG),
            ("HTTP/1.1 200 OK\r\nx: ", "y", ErrorKind::Proxy, TOO_LONG),
            (&*huge, "", ErrorKind::Proxy, TOO_LONG),
            ("", "HTTP", ErrorKind::Proxy, TOO_LONG),
            ("", "HTTP/1.1 103 Early Hints\r\n\r\n", ErrorKind::ConnectTimeout, "through the proxy"),
            ("HTTP/1.1 407 No\r\n\r\n", "no end ", ErrorKind::Proxy, "it wants credentials"),
            ("HTTP/1.1 502 No\r\n\r\n", "no end ", ErrorKind::Proxy, "502"),
            ("HTTP/1.1 200 OK\r\n\r\n", "no end ", ErrorKind::Proxy, "sent data into the tunnel"),
        ] {
            let mut asked = Asked::to("http", "https://server.invalid/", Script::http(start, part));
            if kind == ErrorKind::ConnectTimeout {
                asked.patience[0] = SHORT;
            }
            let name = &start[..start.len().min(40)];
            let error = asked.failed(&format!("{name}{part}")).await;
            assert_eq!((error.kind(), error.is_final()), (kind, false), "{name}{part}: {error}");
            assert!(error.to_string().contains(says), "{error}");
            assert!(error.body().is_none_or(|body| body.is_empty()), "{name}");
        }
    });
}

#[test]
fn a_hundred_endless_407_responses_cost_no_more_than_one() {
    counting::alone(async {
        let flood = Flood::start(Script::http("HTTP/1.1 407 No\r\n\r\n", "no end ")).await;
        let schemes = if cfg!(feature = "tls") { &["http", "https"][..] } else { &["http"] };
        for scheme in schemes {
            let client = Client::builder().proxy(format!("http://{}", flood.address)).unwrap().build();
            let refused = async {
                let stream = client.stream(format!("{scheme}://server.invalid/")).reconnection_time(Duration::ZERO);
                let handle = stream.build().unwrap();
                handle.connect();
                let refused = || handle.stats().failures.get(&ErrorKind::Proxy).copied().unwrap_or(0);
                until("it is refused again", || refused() > 100).await;
                within(handle.shutdown()).await
            };
            let (_, memory) = counting::most(refused).await;
            assert!(memory < MOST_MEMORY, "{scheme}: {memory} bytes of memory");
        }
        flood.finish().await;
    });
}

/// Each answer is valid up to some byte and then continues without end.
#[test]
fn a_socks_proxy_that_sends_garbage_costs_bounded_memory() {
    counting::alone(async {
        // RFC 1928: no credentials; a reply with the longest possible name as its address; a reply
        // that is cut off.
        let (welcome, name, cut) = ([5, 0], [&[5, 0, 0, 3, 255][..], &[b'n'; 257]].concat(), [5, 0, 0, 3, 255, b'n']);
        let after = |more: &[u8]| [&welcome[..], more].concat();
        for (bytes, start, part, kind) in [
            ("zeros", vec![], vec![0], ErrorKind::Proxy),
            ("ones", vec![], vec![0xff], ErrorKind::Proxy),
            ("an older version", vec![4, 0], vec![4], ErrorKind::Proxy),
            ("http", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), b"no end ".to_vec(), ErrorKind::Proxy),
            ("no method", vec![5, 0xff], vec![5, 0xff], ErrorKind::Proxy),
            ("a method unasked for", vec![5, 2], vec![5, 2], ErrorKind::Proxy),
            ("welcomes", welcome.to_vec(), welcome.to_vec(), ErrorKind::Proxy),
            ("ones after a welcome", after(&[]), vec![0xff], ErrorKind::Proxy),
            ("a reason that there is not", after(&[5, 0x77, 0, 1]), vec![0], ErrorKind::Proxy),
            ("an address of no kind", after(&[5, 0, 0, 9]), vec![9], ErrorKind::Proxy),
            ("half a word", vec![5], vec![], ErrorKind::ConnectTimeout),
            ("half an answer", after(&cut), vec![], ErrorKind::ConnectTimeout),
            // The tunnel is open, so the rest is the server's answer.
            ("a stream of words", after(&name), b"no end ".to_vec(), ErrorKind::Protocol),
        ] {
            let is_asked = |asked: &[u8]| asked.len() >= 3;
            let script = Script { greeting: Vec::new(), is_asked, start, part };
            let mut asked = Asked::to("socks5", "http://server.invalid/", script);
            if kind == ErrorKind::ConnectTimeout {
                asked.patience[0] = SHORT;
            }
            let error = asked.failed(bytes).await;
            assert_eq!((error.kind(), error.is_final()), (kind, false), "{bytes}: {error}");
            let names_the_proxy = error.to_string().contains("the proxy 127.0.0.1:");
            assert_eq!(names_the_proxy, kind != ErrorKind::Protocol, "{bytes}: {error}");
        }
    });
}
