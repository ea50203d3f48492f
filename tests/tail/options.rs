//! Options, and the requests that they make.

use std::io::Read;

use crate::after_response;
use crate::folder::Folder;
use crate::program::Tail;
use crate::server::Server;
#[cfg(feature = "tls")]
use crate::tls;

#[test]
fn wrong_usage_exits_with_2() {
    let cases: [&[&str]; 20] = [
        &["--no-such-option"],
        &["http://localhost/", "surplus"],
        &["-n", "0"],
        &["-n", "many"],
        &["--retry", "-1"],
        &["--connect-timeout", "soon"],
        &["--max-event-size", "0"],
        &["--query", "no equals sign"],
        &["--cookie", "no equals sign"],
        &["http://localhost/", "--cookie", "a=b; c=d"],
        &["--user", "a:b", "--bearer", "c"],
        &["http://localhost/", "-X", "no method"],
        &["http://localhost/", "-X", "HEAD"],
        &["http://localhost/", "-H", "no colon"],
        &["http://localhost/", "-H", "bad name: x"],
        &["not a url"],
        &["ftp://localhost/"],
        &["http://"],
        &["http://localhost/", "-x", "ftp://proxy"],
        &["http://localhost/", "-x", "http://user:hunter2@"],
    ];
    for case in cases {
        let finished = Tail::start(case).finish();
        assert_eq!(finished.status, Some(2), "{case:?}: {}", finished.stderr);
        assert!(!finished.stderr.is_empty(), "{case:?}");
        assert!(!finished.stderr.contains("hunter2"), "{}", finished.stderr);
        assert_eq!(finished.stdout.len(), 0, "{case:?}");
    }
}

#[test]
fn a_value_in_the_wrong_form_or_place_is_not_repeated() {
    let cases: [&[&str]; 13] = [
        &["http://localhost/", "-H", "no colon SECRET"],
        &["http://localhost/", "--header=SECRET"],
        &["http://localhost/", "-H", "bad name: SECRET"],
        &["http://localhost/", "-H", "Authorization: Bearer", "SECRET"],
        &["http://localhost/", "-H", "X-Key: \u{7}SECRET"],
        &["http://localhost/", "--cookie", "SECRET"],
        &["http://localhost/", "--cookie", "a=SECRET; b"],
        &["http://localhost/", "--query", "SECRET"],
        &["http://localhost/", "--bearer", "\u{7}SECRET"],
        &["http://localhost/", "--bearrer=SECRET"],
        &["http://localhost/", "-n", "SECRET"],
        &["http://localhost/", "-x", "http://user:SECRET@"],
        &["http://user:SECRET @localhost/"],
    ];
    for case in cases {
        let finished = Tail::start(case).finish();
        assert_eq!(finished.status, Some(2), "{case:?}: {}", finished.stderr);
        assert!(!finished.stderr.is_empty() && !finished.stderr.contains("SECRET"), "{}", finished.stderr);
    }
    // It still says where to look.
    let finished = Tail::start(cases[0]).finish();
    assert!(finished.stderr.contains("--header") && finished.stderr.contains("Name: value"), "{}", finished.stderr);
}

#[cfg(feature = "tls")]
#[test]
fn an_unusable_certificate_file_is_wrong_usage() {
    for file in ["/no/such/file", file!()] {
        for option in ["--cacert", "--cert"] {
            let finished = Tail::start(&["https://localhost/", option, file]).finish();
            let complaint = finished.complaint(2);
            assert!(complaint.contains(option) && complaint.contains(file), "{complaint}");
        }
    }
}

#[test]
fn the_request_carries_what_the_options_say() {
    let server = Server::start();
    let _tail = Tail::start(&[
        &server.url,
        "-H",
        "X-One: 1",
        "--header",
        "X-Two:two: 2",
        "--last-event-id",
        "41",
        "--bearer",
        "s3cret",
        "--query",
        "a=b c",
        "--query",
        "d=e&f",
        "--cookie",
        "g=h",
        "--cookie",
        "i=j",
    ]);
    let connection = server.accept();
    assert_eq!(connection.header("content-length"), None);
    assert_eq!(connection.request_line(), "GET /stream?a=b%20c&d=e%26f HTTP/1.1");
    let expected = [
        ("accept", "text/event-stream"),
        ("cache-control", "no-cache"),
        ("x-one", "1"),
        ("x-two", "two: 2"),
        ("last-event-id", "41"),
        ("authorization", "Bearer s3cret"),
        ("cookie", "g=h; i=j"),
    ];
    for (name, value) in expected {
        assert_eq!(connection.header(name), Some(value), "{}", connection.head);
    }
}

#[test]
fn a_body_is_posted_as_it_is_unless_another_method_is_given() {
    let server = Server::start();
    for (options, method) in [
        (&["-d", "a=é&b"][..], "POST"),
        (&["--data", "a=é&b", "--method", "PUT"], "PUT"),
        (&["-X", "REPORT", "-d", "a=é&b", "-H", "Content-Type: text/plain"], "REPORT"),
    ] {
        let _tail = Tail::start(&[&[&*server.url], options].concat());
        let mut connection = server.accept();
        assert_eq!(connection.request_line(), format!("{method} /stream HTTP/1.1"));
        let content_type = options.contains(&"-H").then_some("text/plain");
        assert_eq!(connection.header("content-type"), content_type);
        assert_eq!(connection.header("content-length"), Some("6"));
        let mut body = [0; 6];
        connection.socket.read_exact(&mut body).unwrap();
        assert_eq!(body, "a=é&b".as_bytes());
    }
    let _tail = Tail::start(&[&server.url, "-X", "POST"]);
    assert_eq!(server.accept().request_line(), "POST /stream HTTP/1.1");
}

#[test]
fn a_redirect_is_followed_unless_that_is_ruled_out() {
    const MOVED: &str = "302 Found\r\nLocation: /elsewhere";
    let server = Server::start();
    let _tail = Tail::start(&[&server.url]);
    server.accept().respond(MOVED, "");
    assert_eq!(server.accept().request_line(), "GET /elsewhere HTTP/1.1");
    let finished = after_response(&["--json", "--no-follow"], MOVED, "");
    let complaint = finished.complaint(1);
    assert!(complaint.contains("302") && complaint.contains("give the URL that it points to"), "{complaint}");
}

#[cfg(feature = "http2")]
#[test]
fn http2_is_spoken_at_once_to_a_server_that_is_known_to_speak_it() {
    let server = Server::start();
    let _tail = Tail::start(&[&server.url, "--http2-prior-knowledge"]);
    // The preface of HTTP/2 starts like a request head.
    assert_eq!(server.accept().request_line(), "PRI * HTTP/2.0");
}

#[cfg(feature = "gzip")]
#[test]
fn a_compressed_stream_is_asked_for_only_when_it_is_wanted() {
    let server = Server::start();
    for (options, wanted) in [(&["--compressed"][..], true), (&[], false)] {
        let _tail = Tail::start(&[&[&*server.url], options].concat());
        assert_eq!(server.accept().header("accept-encoding").is_some(), wanted);
    }
}

#[test]
fn a_proxy_is_asked_in_the_servers_stead() {
    let server = Server::start();
    let proxy = server.url.replace("/stream", "").replace("http://", "http://user:secret@");
    let _tail = Tail::start(&["http://server.invalid/x", "-x", &proxy]);
    let connection = server.accept();
    assert_eq!(connection.request_line(), "GET http://server.invalid/x HTTP/1.1");
    assert_eq!(connection.header("proxy-authorization"), Some("Basic dXNlcjpzZWNyZXQ="));
}

#[cfg(unix)]
#[test]
fn a_unix_socket_stands_in_for_the_host() {
    use std::io::Read as _;

    let folder = Folder::new("tail");
    let path = folder.join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let _tail = Tail::start(&["http://docker/events", "--unix-socket", path.to_str().unwrap()]);
    let mut start = [0; 22];
    listener.accept().unwrap().0.read_exact(&mut start).unwrap();
    assert_eq!(&start[..], b"GET /events HTTP/1.1\r\n");
}

#[test]
fn user_and_password_become_basic_authentication() {
    let server = Server::start();
    let _tail = Tail::start(&[&server.url, "--user", "Aladdin:open sesame"]);
    let connection = server.accept();
    assert_eq!(connection.header("authorization"), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
}

#[cfg(feature = "tls")]
#[test]
fn only_the_given_certificates_are_trusted() {
    let authority = tls::Authority::new("only_the_given_certificates_are_trusted");
    let other = tls::Authority::new("only_the_given_certificates_are_trusted_other");
    let url = authority.serve("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: secret\n\n");
    let start = |trusted: &tls::Authority| {
        let file = trusted.file.to_str().unwrap();
        Tail::start(&[&url, "--json", "-n", "1", "--cacert", file])
    };
    let trusting = start(&authority);
    assert_eq!(trusting.next_of("event")["data"], "secret");
    trusting.finish().assert_quiet_success();
    let waiting = start(&other).state("waiting");
    assert!(waiting["reason"].as_str().unwrap().contains("certificate"), "{waiting}");
}

#[cfg(feature = "tls")]
#[test]
fn a_client_certificate_is_sent_and_insecure_accepts_any_server() {
    let authority = tls::Authority::new("a_client_certificate_is_shown");
    let url = authority.serve_its_own("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: secret\n\n");
    let (certificate, key) = authority.identity();
    let file = |name: &str, text: &str| {
        let path = authority.folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (certificate, key, both) =
        (file("cert", &certificate), file("key", &key), file("both", &format!("{certificate}{key}")));
    for identity in [&["--cert", &certificate, "--key", &key][..], &["--cert", &both]] {
        let tail = Tail::start(&[&[&url, "--json", "-n", "1", "-k"], identity].concat());
        assert_eq!(tail.next_of("event")["data"], "secret");
        tail.finish().assert_quiet_success();
    }
    let waiting = Tail::start(&[&url, "--json", "--insecure"]).state("waiting");
    assert!(waiting["reason"].as_str().unwrap().contains("wants a client certificate"), "{waiting}");
}

#[cfg(feature = "tls")]
#[test]
fn a_silent_peer_is_given_up_after_the_connect_timeout() {
    let authority = tls::Authority::new("a_silent_peer_is_given_up_after_the_connect_timeout");
    // This listener accepts, and never answers the TLS handshake.
    let server = Server::start();
    let url = server.url.replace("http:", "https:");
    let file = authority.file.to_str().unwrap();
    let timeout = ["--connect-timeout", "50", "--retry", "100000"];
    let tail = Tail::start(&[&[&url, "--json", "--cacert", file], &timeout[..]].concat());
    assert_eq!(tail.state("waiting")["attempt"], 2);
}
