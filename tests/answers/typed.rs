//! Events as values.

use sseclient::{Delivery, ErrorKind, EventStream};

use crate::script::chunks;

#[derive(Debug, serde::Deserialize)]
struct Token {
    text: String,
}

#[tokio::test]
async fn events_come_as_values_and_an_undecodable_one_ends_nothing() {
    let input = "id: 7\ndata: {\"text\":\"a\"}\n\ndata: <\n\ndata: 0123456789012345678901234567890123456789\n\n\
                 data: {\"text\":\"b\"}\n\ndata: [DONE]\n\n";
    let events = EventStream::new(chunks([input])).max_event_size(30);
    // A setting may follow.
    let mut tokens = events.decode_as::<Token>().end_mark("[DONE]");
    let mut shown = Vec::new();
    while let Some(delivery) = tokens.recv().await {
        shown.push(match delivery.unwrap() {
            Delivery::Gap(gap) => gap.to_string(),
            Delivery::Event(token) => match token.value() {
                Ok(value) => format!("{} {}", value.text, token.event().last_event_id()),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Decode);
                    token.event().data().to_owned()
                }
            },
        });
    }
    assert_eq!(shown, ["a 7", "<", "1 event was skipped: over the size limit, 40 bytes", "b 7"]);
}

#[tokio::test]
async fn an_error_within_the_stream_is_a_variant_of_an_enum() {
    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Part {
        Token(String),
        Error { message: String },
    }
    let input = "event: token\ndata: \"a\"\n\nevent: error\ndata: {\"message\":\"overloaded\"}\n\n";
    let mut parts = EventStream::new(chunks([input])).decode_as::<Part>();
    let part = parts.recv().await.unwrap().unwrap().event().unwrap().into_value().unwrap();
    assert!(matches!(&*part, Part::Token(token) if token == "a"));
    let part = parts.recv().await.unwrap().unwrap().event().unwrap().into_value().unwrap();
    assert!(matches!(&*part, Part::Error { message } if message == "overloaded"));
    // As a `Stream`, too.
    assert!(tokio_stream::StreamExt::next(&mut parts).await.is_none());
}
