//! The engine's own client, which publishes the same events without the bridge.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, context::ContextBuilder};
use bridge::entry::{DATA, ID, TYPE};
use bridge::jetstream::{stream_name, subject};
use bridge::redis_streams::stream_key;
use bridge::sources::BATCH;

use crate::server::{EVENT_TYPE, data};
use crate::{EVENTS, Failure};

/// Publishes the events, and returns how many it took per second.
pub(crate) async fn direct(url: &str, group: &str) -> Result<f64, Failure> {
    let took = if url.starts_with("nats") { to_nats(url, group).await? } else { to_redis(url, group).await? };
    Ok(EVENTS as f64 / took.as_secs_f64())
}

fn batches() -> impl Iterator<Item = RangeInclusive<u64>> {
    (1..=EVENTS).step_by(BATCH).map(|first| first..=EVENTS.min(first + BATCH as u64 - 1))
}

async fn to_nats(url: &str, group: &str) -> Result<Duration, Failure> {
    let client = async_nats::connect(url).await?;
    let context = ContextBuilder::new().max_ack_inflight(2 * BATCH).build(client);
    let (name, subjects) = (stream_name(group), vec![subject(group, "*")]);
    context.create_stream(jetstream::stream::Config { name, subjects, ..Default::default() }).await?;
    let started = Instant::now();
    for batch in batches() {
        let mut sent = Vec::with_capacity(BATCH);
        for number in batch {
            let mut headers = HeaderMap::new();
            headers.insert(TYPE.nats, EVENT_TYPE);
            headers.insert(ID.nats, number.to_string());
            let message = PublishMessage::build().payload(data(number).into()).headers(headers);
            let message = message.message_id(number.to_string());
            sent.push(context.send_publish(subject(group, "s0"), message).await?);
        }
        for acknowledgement in sent {
            acknowledgement.await?;
        }
    }
    Ok(started.elapsed())
}

async fn to_redis(url: &str, group: &str) -> Result<Duration, Failure> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    connection.set_response_timeout(Duration::from_secs(5));
    let key = stream_key(group, "s0");
    let started = Instant::now();
    for batch in batches() {
        let mut pipeline = redis::pipe();
        // A transaction, as the bridge's append is one.
        pipeline.atomic();
        for number in batch {
            pipeline.cmd("XADD").arg(&key).arg("MAXLEN").arg("~").arg(1_000_000).arg("*");
            pipeline.arg(TYPE.redis).arg(EVENT_TYPE).arg(ID.redis).arg(number).arg(DATA).arg(data(number)).ignore();
        }
        let _: () = pipeline.query_async(&mut connection).await?;
    }
    Ok(started.elapsed())
}
