//! Statistics and states on a health page.

use std::time::Duration;

use serde_json::{Value, json};
use sseclient::testing::Script;
use sseclient::{Filter, State};
use tokio::sync::oneshot;

use crate::support::{client, serve, status, until, within};

/// Times depend on the machine: any whole number becomes 0.
fn without_times(mut value: Value) -> Value {
    for (name, value) in value.as_object_mut().unwrap() {
        if name.ends_with("_ms") {
            assert!(value.is_u64() || value.is_null(), "{name}: {value}");
            *value = json!(0);
        }
    }
    value
}

#[tokio::test]
async fn states_and_stats_serialize_without_secrets_and_with_whole_milliseconds() {
    let (answer, answers) = oneshot::channel::<()>();
    let busy = "HTTP/1.1 503 Busy\r\nset-cookie: secret\r\ncontent-length: 6\r\n\r\nsecret";
    let busy = Script::raw().wait_for(answers).bytes(busy);
    let server = serve([busy, Script::open().bytes("data: x\n\n"), status(404)]).await;
    let url = format!("{}?token=secret", server.url());
    let stream = client().stream(&url).reconnection_time(Duration::from_secs(3600));
    let handle = stream.header("x-key", "secret").build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    let state = || serde_json::to_value(handle.state()).unwrap();
    assert_eq!(state(), json!({"state": "idle"}));
    handle.connect();
    until("it connects", || !matches!(handle.state(), State::Idle)).await;
    assert_eq!(state(), json!({"state": "connecting", "attempt": 1}));

    answer.send(()).unwrap();
    within(handle.first_attempt()).await.unwrap_err();
    let waiting = state();
    assert!(waiting["remaining_ms"].as_u64().unwrap() <= waiting["delay_ms"].as_u64().unwrap());
    assert!((3_600_000..=5_400_000).contains(&waiting["delay_ms"].as_u64().unwrap()), "{waiting}");
    let cause = waiting["cause"].clone();
    assert_eq!((&cause["kind"], &cause["status"], &cause["causes"]), (&json!("status"), &json!(503), &json!([])));
    assert!(cause["message"].as_str().unwrap().starts_with("the server answered 503"), "{cause}");
    assert_eq!(waiting["attempt"], 2);

    handle.reconnect();
    within(events.recv()).await.unwrap();
    let response = json!({"url": server.url(), "status": 200, "version": "HTTP/1.1"});
    assert_eq!(without_times(state()), json!({"state": "open", "open_ms": 0, "attempt": 2, "response": response}));
    let stats = serde_json::to_value(handle.stats()).unwrap();
    assert_eq!((&stats["events"], &stats["opens"], &stats["failures"]), (&json!(1), &json!(1), &json!({"status": 1})));
    assert!(stats["last_event_ms"].is_u64() && stats.get("last_event").is_none(), "{stats}");

    handle.reconnect();
    within(handle.closed()).await;
    let closed = state();
    assert_eq!(
        (&closed["state"], &closed["reason"], &closed["status"]),
        (&json!("closed"), &json!("failed"), &json!(404))
    );
    for value in [waiting, stats, closed] {
        assert!(!value.to_string().contains("secret"), "{value}");
    }
    let never = client().stream(&url).build().unwrap();
    within(never.shutdown()).await;
    assert_eq!(serde_json::to_value(never.state()).unwrap(), json!({"state": "closed", "reason": "shutdown"}));
}
