//! Events decoded as typed values.

#![cfg(feature = "json")]

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use serde::Deserialize;
use serde::de::Deserializer;
use sseclient::testing::Script;
use sseclient::{Delivery, ErrorKind, Event, Filter, Gap, SubscribeOptions, TryRecvError};

use crate::support::{serve, staying, stream, within};

fn event(event_type: &str, data: &str) -> Event {
    Event::builder().event_type(event_type).data(data).build().unwrap()
}

/// The events of a stream, with every kind of enum variant.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Change {
    Put {
        key: String,
        value: u32,
    },
    Delete(String),
    Move(String, String),
    Inner(Switch),
    Clear,
    #[serde(other)]
    Other,
}

/// An enum inside another type is in the data.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Switch {
    On,
    Off,
}

#[test]
fn an_enum_has_the_event_type_for_its_variant_and_the_data_in_it() {
    for (event_type, data, expected) in [
        ("put", r#"{"key":"a","value":7}"#, Some(Change::Put { key: "a".into(), value: 7 })),
        ("put", r#" ["a",7] "#, Some(Change::Put { key: "a".into(), value: 7 })),
        ("delete", r#""a\n""#, Some(Change::Delete("a\n".into()))),
        ("move", r#"["a","b"]"#, Some(Change::Move("a".into(), "b".into()))),
        ("inner", r#""on""#, Some(Change::Inner(Switch::On))),
        ("clear", "", Some(Change::Clear)),
        ("clear", "no JSON", Some(Change::Clear)),
        ("message", "{}", Some(Change::Other)),
        ("put", r#"{"key":"a"}"#, None),
        ("put", r#"{"key":"a","value":7} more"#, None),
        ("delete", "7", None),
        ("inner", r#""on" "#, Some(Change::Inner(Switch::On))),
        ("inner", r#""neither""#, None),
        ("delete", "", None),
    ] {
        let decoded = event(event_type, data).json::<Change>();
        assert_eq!(decoded.as_deref().ok(), expected.as_ref(), "{event_type}: {data}");
    }
}

#[test]
fn other_types_are_the_data_alone() {
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(tag = "kind", rename_all = "lowercase")]
    enum Tagged {
        On,
        Level { percent: u8 },
    }
    #[derive(Debug, Deserialize, PartialEq)]
    struct Wrapped(Switch);

    assert_eq!(*event("x", "[1,2]").json::<Vec<u8>>().unwrap(), [1, 2]);
    assert_eq!(*event("x", "null").json::<Option<u8>>().unwrap(), None);
    assert_eq!(*event("x", "7").json::<Option<u8>>().unwrap(), Some(7));
    assert_eq!(
        *event("x", r#"{"a":1}"#).json::<BTreeMap<String, u8>>().unwrap(),
        BTreeMap::from([("a".to_owned(), 1)])
    );
    assert_eq!(event("x", r#"{"a":1}"#).json::<serde_json::Value>().unwrap()["a"], 1);
    assert_eq!(*event("x", r#"{"kind":"on"}"#).json::<Tagged>().unwrap(), Tagged::On);
    assert_eq!(*event("x", r#"{"percent":9,"kind":"level"}"#).json::<Tagged>().unwrap(), Tagged::Level { percent: 9 });
    assert_eq!(*event("x", r#""off""#).json::<Wrapped>().unwrap(), Wrapped(Switch::Off));
}

#[test]
fn an_error_says_which_type_and_what_is_wrong_and_has_its_source() {
    let error = event("put", r#"{"key":7}"#).json::<Change>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.to_string().starts_with(r#"an event of type "put" cannot be decoded: invalid type"#), "{error}");
    assert!(std::error::Error::source(&error).unwrap().is::<serde_json::Error>());
}

static DECODED: AtomicUsize = AtomicUsize::new(0);

/// Counts how often it is decoded.
struct Counted;

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DECODED.fetch_add(1, Ordering::Relaxed);
        u8::deserialize(deserializer).map(|_| Self)
    }
}

#[test]
fn an_event_is_decoded_once_for_each_type_however_many_ask_at_once() {
    let (good, bad) = (event("x", "7"), event("x", "seven"));
    let (first, errors) = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| (good.clone().json::<Counted>(), bad.clone().json::<Counted>()))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .map(|(good, bad)| (good.unwrap(), bad.err().unwrap()))
            .collect::<(Vec<_>, Vec<_>)>()
    });
    assert_eq!(DECODED.load(Ordering::Relaxed), 2);
    assert!(first.iter().all(|value| Arc::ptr_eq(value, &first[0])));
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::Decode));
    assert_eq!(*good.json::<u8>().unwrap(), 7);
    assert_eq!(*good.json::<u64>().unwrap(), 7);
}

static SHARED: AtomicUsize = AtomicUsize::new(0);

/// Counts how often it is decoded, for another test.
#[derive(Debug)]
struct Shared(u32);

impl<'de> Deserialize<'de> for Shared {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SHARED.fetch_add(1, Ordering::Relaxed);
        u32::deserialize(deserializer).map(Self)
    }
}

/// Whether their filters are the same or not.
#[tokio::test]
async fn subscriptions_of_one_type_share_each_decoded_value() {
    let body: String = (0..100).map(|number| format!("event: n\ndata: {number}\n\n")).collect();
    let server = staying(body).await;
    let handle = stream(server.url()).build().unwrap();
    let mut named: Vec<_> = (0..5).map(|_| handle.subscribe_as::<Shared>("n")).collect();
    let mut all = handle.subscribe_with(Filter::all(), SubscribeOptions::default()).decode_as::<Shared>();
    handle.connect();
    for number in 0..100 {
        let first = within(all.recv()).await.unwrap().event().unwrap().into_value().unwrap();
        assert_eq!(first.0, number);
        for one in &mut named {
            let value = within(one.recv()).await.unwrap().event().unwrap().into_value().unwrap();
            assert!(Arc::ptr_eq(&first, &value));
        }
    }
    assert_eq!(SHARED.load(Ordering::Relaxed), 100);
    assert_eq!(all.try_recv().unwrap_err(), TryRecvError::Empty);
    handle.shutdown().await;
}

/// A type whose `Deserialize` panics.
#[derive(Debug)]
struct Brittle;

impl<'de> Deserialize<'de> for Brittle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        assert!(number != 1, "not this one");
        Ok(Self)
    }
}

#[tokio::test]
async fn a_panicking_decoder_panics_in_recv_and_harms_no_other_subscriber() {
    let server = staying("data: 0\n\ndata: 1\n\ndata: 2\n\n").await;
    let handle = stream(server.url()).build().unwrap();
    let mut brittle = handle.subscribe_as::<Brittle>(Filter::all());
    let mut sound = handle.subscribe_as::<u64>(Filter::all());
    handle.connect();
    let taker = tokio::spawn(async move {
        assert!(within(brittle.recv()).await.unwrap().event().unwrap().value().is_ok());
        let taken = AssertUnwindSafe(brittle.recv()).catch_unwind().await;
        assert!(taken.is_err());
        // The subscription has taken the event, and the next one is not affected.
        let next = within(brittle.recv()).await.unwrap().event().unwrap();
        assert_eq!(next.event().data(), "2");
    });
    for number in 0..3 {
        let event = within(sound.recv()).await.unwrap().event().unwrap();
        assert_eq!(*event.value().unwrap(), number);
    }
    taker.await.unwrap();
    handle.shutdown().await;
}

/// Gaps keep their places.
#[tokio::test]
async fn an_undecodable_event_is_an_item_between_the_others() {
    let first = "event: put\nid: 1\ndata: {\"key\":\"a\",\"value\":1}\n\nevent: put\nid: 2\ndata: oops\n\nevent: delete\nid: 3\ndata: \"a\"\n\n";
    let second = Script::open().bytes("event: clear\ndata\n\n");
    let server = serve([Script::open().bytes(first).end(), second]).await;
    let handle = stream(server.url()).build().unwrap();
    let mut changes = handle.subscribe_as::<Change>(["put", "delete", "clear"]);
    handle.connect();
    let mut taken = Vec::new();
    while taken.len() < 5 {
        let missing = 5 - taken.len();
        within(changes.recv_many(&mut taken, missing)).await;
    }
    let [
        Delivery::Event(put),
        Delivery::Event(bad),
        Delivery::Event(delete),
        Delivery::Gap(gap),
        Delivery::Event(clear),
    ] = &taken[..]
    else {
        panic!("{taken:?}");
    };
    assert_eq!(put.value().unwrap(), &Change::Put { key: "a".into(), value: 1 });
    assert_eq!((bad.value().unwrap_err().kind(), bad.event().data()), (ErrorKind::Decode, "oops"));
    assert_eq!(delete.value().unwrap(), &Change::Delete("a".into()));
    assert_eq!(*gap, Gap::reconnected(Some("3".into())));
    assert_eq!(clear.value().unwrap(), &Change::Clear);
    handle.shutdown().await;
}
