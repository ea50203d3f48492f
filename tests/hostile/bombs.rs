//! Decompression bombs. The allocator counts what they cost.

#![cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]

use std::sync::Arc;

use tokio::io::AsyncWriteExt;

use crate::counting;
use crate::support::codings::{CODINGS, Coding};
use crate::support::{RawServer, follow, short, stream};

const MIB: usize = 1 << 20;

/// An event of 16 MiB, and a small one after it.
fn bomb(coding: &Coding) -> Vec<u8> {
    let mut encoder = (coding.encoder)();
    let part = "a".repeat(MIB);
    let mut body = encoder.flush("id: 1\ndata: ");
    (0..16).for_each(|_| body.extend(encoder.flush(&part)));
    body.extend(encoder.flush("\n\ndata: small\n\n"));
    body
}

#[test]
fn a_bomb_is_an_oversized_event_in_bounded_memory_and_the_stream_goes_on() {
    counting::alone(async {
        for coding in CODINGS {
            let body: Arc<[u8]> = [coding.open().into_bytes(), bomb(coding)].concat().into();
            assert!(body.len() < MIB / 8, "{}: {} bytes", coding.name, body.len());
            let server = RawServer::start(move |_, mut connection| {
                let body = Arc::clone(&body);
                async move {
                    connection.io.write_all(&body).await.unwrap();
                    connection.closed().await;
                }
            })
            .await;
            let following = async {
                let (handle, mut subscription) = follow(stream(&server.url).max_event_size(64 * 1024));
                assert_eq!(short(&mut subscription).await, "1 oversized, Some(\"1\")", "{}", coding.name);
                assert_eq!(short(&mut subscription).await, "small", "{}", coding.name);
                handle
            };
            let (handle, most) = counting::most(following).await;
            assert!(most < MIB as isize, "{}: {most} bytes", coding.name);
            handle.shutdown().await;
        }
    });
}
