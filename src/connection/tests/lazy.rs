//! Lazy streams, which are open only while there are subscribers: stories, with their times.

use std::task::Poll;

use super::row::{STOP, overheard, short_request, short_state, tenths};
use super::*;
use crate::{Commit, Delivery, Resume, ResumeStore, Subscription, TranscriptItem};

/// An act of the program.
enum Do {
    Subscribe,
    /// Takes what the oldest subscription has, and drops it.
    Drop,
    Reconnect,
    ResumeFrom(&'static str),
    SetHeader,
    Shutdown,
    /// Of all that is left.
    DropEverything,
}
use Do::{Drop, DropEverything, Reconnect, ResumeFrom, SetHeader, Shutdown, Subscribe};

struct Story {
    what: &'static str,
    /// In seconds.
    linger: u64,
    answers: Vec<Script>,
    /// Each after so many seconds since the beginning.
    steps: &'static [(f64, Do)],
    requests: &'static [&'static str],
    states: &'static [&'static str],
    /// Of each subscription that was dropped by itself, in that order.
    deliveries: &'static [&'static str],
}

/// The deliveries that a subscription has now, in short.
fn taken(mut subscription: Subscription) -> String {
    let mut all = Vec::new();
    while let Poll::Ready(Some(delivery)) = tokio_test::task::spawn(subscription.recv()).poll() {
        all.push(match delivery {
            Delivery::Event(event) => event.data().to_owned(),
            Delivery::Gap(gap) => gap.to_string(),
        });
    }
    all.join(", ")
}

async fn check(story: Story) {
    let heard = Heard::default();
    let scripted = Scripted { scripts: overheard(story.answers, &heard), asked: watch::Sender::default() };
    let stream = Client::with_connector(Arc::new(scripted)).stream("http://host/");
    let policy = ReconnectPolicy::daemon().jitter(0.0);
    let stream = stream.reconnect_policy(policy).lazy(Duration::from_secs(story.linger));
    let handle = stream.build().unwrap();
    // Neither of these counts as a subscriber.
    let mut transcript = handle.transcript();
    let monitor = handle.monitor();
    let begun = Instant::now();
    handle.connect();
    let watching = tokio::spawn(async move {
        let mut states = Vec::new();
        while let Some(item) = transcript.recv().await {
            if let TranscriptItem::State(state) = item {
                states.push(format!("{} {}", tenths(begun.elapsed()), short_state(&state, begun)));
            }
            if let State::Closed(_) = monitor.state() {
                break;
            }
        }
        states
    });
    let (mut handle, mut subscriptions, mut deliveries) = (Some(handle), Vec::new(), Vec::new());
    for (when, step) in story.steps {
        tokio::time::sleep_until(begun + Duration::from_secs_f64(*when)).await;
        let asked = handle.as_ref().unwrap();
        match step {
            Subscribe => subscriptions.push(asked.subscribe(Filter::all())),
            Drop => deliveries.push(taken(subscriptions.remove(0))),
            Reconnect => asked.reconnect(),
            ResumeFrom(id) => asked.reconnect_from(Resume::Id((*id).to_owned())).unwrap(),
            SetHeader => asked.set_header("x-changed", "yes").unwrap(),
            Shutdown => drop(asked.shutdown()),
            DropEverything => {
                subscriptions.clear();
                handle = None;
            }
        }
    }
    // A day is longer than any story.
    let states = tokio::time::timeout(24 * 3600 * SECOND, watching).await;
    let heard = heard.lock().unwrap();
    let request =
        |(when, head): &(Instant, String)| format!("{} {}", tenths(when.duration_since(begun)), short_request(head));
    let requests: Vec<_> = heard.iter().map(|heard| request(heard).trim_end().to_owned()).collect();
    assert_eq!(requests, story.requests, "requests, {}", story.what);
    assert_eq!(states.unwrap().unwrap(), story.states, "states, {}", story.what);
    assert_eq!(deliveries, story.deliveries, "deliveries, {}", story.what);
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// An event with an ID, and then silence.
fn stays() -> Script {
    Script::Answer(WITH_ID, HOUR)
}

#[tokio::test(start_paused = true)]
async fn it_dials_for_the_first_lingers_after_the_last_and_resumes_for_the_next() {
    check(Story {
        what: "one after the other, with an overlap, a short absence, and a long one",
        linger: 10,
        answers: vec![stays()],
        steps: &[
            (5.0, Subscribe),
            (6.0, Subscribe),
            (7.0, Drop),
            (8.0, Drop),
            (17.0, Subscribe),
            (20.0, Drop),
            (40.0, Subscribe),
            (41.0, Drop),
            (60.0, Shutdown),
        ],
        requests: &["5.0", "40.0 last-event-id: 7"],
        states: &[
            "5.0 connecting 1",
            "5.0 open 1 since 5.0",
            "30.0 idle",
            "40.0 connecting 1",
            "40.0 open 1 since 40.0",
            "51.0 idle",
            "60.0 closed: shut down",
        ],
        deliveries: &["x", "", "", "reconnected, resuming after ID \"7\", x"],
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn events_without_a_subscriber_move_the_id() {
    check(Story {
        what: "a second event comes when the first subscription has gone",
        linger: 10,
        answers: vec![Script::Talk(vec![(AT_ONCE, WITH_ID), (5 * SECOND, "id: 8\ndata: y\n\n"), (HOUR, "")]), stays()],
        steps: &[(0.0, Subscribe), (1.0, Drop), (20.0, Subscribe), (21.0, Drop), (22.0, Shutdown)],
        requests: &["0.0", "20.0 last-event-id: 8"],
        states: &[
            "0.0 connecting 1",
            "0.0 open 1 since 0.0",
            "11.0 idle",
            "20.0 connecting 1",
            "20.0 open 1 since 20.0",
            "22.0 closed: shut down",
        ],
        deliveries: &["x", "reconnected, resuming after ID \"8\", x"],
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_any_time_to_linger_the_last_closes_the_connection_as_it_leaves() {
    check(Story {
        what: "none",
        linger: 0,
        answers: vec![stays()],
        steps: &[(0.0, Subscribe), (1.0, Drop), (2.0, Subscribe), (3.0, Drop), (4.0, Shutdown)],
        requests: &["0.0", "2.0 last-event-id: 7"],
        states: &[
            "0.0 connecting 1",
            "0.0 open 1 since 0.0",
            "1.0 idle",
            "2.0 connecting 1",
            "2.0 open 1 since 2.0",
            "3.0 idle",
            "4.0 closed: shut down",
        ],
        deliveries: &["x", "reconnected, resuming after ID \"7\", x"],
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_given_up_when_its_subscriber_has_gone() {
    check(Story {
        what: "dialling takes longer than the last one waits",
        linger: 2,
        answers: vec![Script::Hang, stays()],
        steps: &[(0.0, Subscribe), (1.0, Drop), (4.0, Subscribe), (5.0, Drop), (6.0, Shutdown)],
        requests: &["4.0"],
        states: &["0.0 connecting 1", "3.0 idle", "4.0 connecting 1", "4.0 open 1 since 4.0", "6.0 closed: shut down"],
        deliveries: &["", "x"],
    })
    .await;
}

/// Twice refused, and then well.
fn refused() -> Vec<Script> {
    vec![Script::Refuse, Script::Refuse, stays()]
}

#[tokio::test(start_paused = true)]
async fn a_wait_goes_on_without_subscribers_and_a_new_one_does_not_cut_it_short() {
    check(Story {
        what: "a subscriber comes back during the wait, later one after it",
        linger: 1,
        answers: refused(),
        steps: &[
            (0.0, Subscribe),
            (0.5, Drop),
            (2.0, Subscribe),
            (3.5, Drop),
            (20.0, Subscribe),
            (21.0, Drop),
            (21.5, Shutdown),
        ],
        requests: &["20.0"],
        states: &[
            "0.0 connecting 1",
            "0.0 waiting 3.0 until 3.0 for 2: Connect",
            "3.0 connecting 2",
            "3.0 waiting 6.0 until 9.0 for 3: Connect",
            "9.0 idle",
            "20.0 connecting 3",
            "20.0 open 3 since 20.0",
            "21.5 closed: shut down",
        ],
        deliveries: &["", "", "x"],
    })
    .await;
    check(Story {
        what: "the wait is over while the connection lingers",
        linger: 10,
        answers: refused(),
        steps: &[(0.0, Subscribe), (1.0, Drop), (60.0, Shutdown)],
        requests: &["9.0"],
        states: &[
            "0.0 connecting 1",
            "0.0 waiting 3.0 until 3.0 for 2: Connect",
            "3.0 connecting 2",
            "3.0 waiting 6.0 until 9.0 for 3: Connect",
            "9.0 connecting 3",
            "9.0 open 3 since 9.0",
            "11.0 idle",
            "60.0 closed: shut down",
        ],
        deliveries: &[""],
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_ends_a_wait_and_dials_only_if_there_is_a_subscriber() {
    check(Story {
        what: "a handle asks for another attempt, and there is no subscriber",
        linger: 1,
        answers: refused(),
        steps: &[
            (0.0, Subscribe),
            (0.5, Drop),
            (2.0, Reconnect),
            (2.1, Reconnect),
            (2.2, Subscribe),
            (2.3, Reconnect),
            (2.4, Drop),
            (2.5, Shutdown),
        ],
        requests: &["2.3"],
        states: &[
            "0.0 connecting 1",
            "0.0 waiting 3.0 until 3.0 for 2: Connect",
            "2.0 idle",
            "2.2 connecting 2",
            "2.2 waiting 6.0 until 8.2 for 3: Connect",
            "2.3 connecting 3",
            "2.3 open 3 since 2.3",
            "2.5 closed: shut down",
        ],
        deliveries: &["", "x"],
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_healthy_response_that_all_subscribers_leave_resets_the_back_off() {
    check(Story {
        what: "the second attempt is well",
        linger: 1,
        answers: vec![Script::Refuse, stays()],
        steps: &[(0.0, Subscribe), (4.0, Drop), (8.0, Subscribe), (9.0, Shutdown)],
        requests: &["3.0", "8.0 last-event-id: 7"],
        states: &[
            "0.0 connecting 1",
            "0.0 waiting 3.0 until 3.0 for 2: Connect",
            "3.0 connecting 2",
            "3.0 open 2 since 3.0",
            "5.0 idle",
            "8.0 connecting 1",
            "8.0 open 1 since 8.0",
            "9.0 closed: shut down",
        ],
        deliveries: &["x"],
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn changes_of_an_idle_stream_go_with_the_next_attempt_and_do_not_dial() {
    check(Story {
        what: "before the first, and between two",
        linger: 1,
        answers: vec![stays()],
        steps: &[
            (1.0, Reconnect),
            (1.0, ResumeFrom("3")),
            (2.0, Subscribe),
            (3.0, Drop),
            (5.0, SetHeader),
            (5.0, ResumeFrom("5")),
            (6.0, Reconnect),
            (7.0, Subscribe),
            (8.0, Drop),
            (8.5, Reconnect),
            (8.6, Shutdown),
        ],
        requests: &[
            "2.0 last-event-id: 3",
            "7.0 x-changed: yes, last-event-id: 5",
            "8.5 x-changed: yes, last-event-id: 7",
        ],
        states: &[
            "2.0 connecting 1",
            "2.0 open 1 since 2.0",
            "4.0 idle",
            "7.0 connecting 1",
            "7.0 open 1 since 7.0",
            "8.5 connecting 1",
            "8.5 open 1 since 8.5",
            "8.6 closed: shut down",
        ],
        deliveries: &["x", "reconnected, resuming after ID \"5\", x"],
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_ends_in_any_phase() {
    let abandoned = "closed: all handles, subscriptions and transcripts were dropped";
    for (what, steps, answer, states) in [
        ("never listened to", &[(1.0, DropEverything)][..], stays(), &["1.0"][..]),
        ("lingering", &[(0.0, Subscribe), (1.0, Drop), (2.0, DropEverything)], stays(), &["2.0"]),
        ("idle", &[(0.0, Subscribe), (1.0, Drop), (20.0, DropEverything)], stays(), &["20.0"]),
        ("open", &[(0.0, Subscribe), (2.0, DropEverything)], stays(), &["2.0"]),
        ("dialling", &[(0.0, Subscribe), (2.0, DropEverything)], Script::Hang, &["2.0"]),
        (
            "waiting, without subscribers",
            &[(0.0, Subscribe), (0.5, Drop), (2.0, DropEverything)],
            Script::Refuse,
            &["2.0"],
        ),
    ] {
        ends(what, steps, answer, &format!("{} {abandoned}", states[0])).await;
    }
    for (what, steps, at) in [
        ("never listened to", &[(1.0, Shutdown)][..], "1.0"),
        ("lingering", &[(0.0, Subscribe), (1.0, Drop), (2.0, Shutdown)], "2.0"),
    ] {
        ends(what, steps, stays(), &format!("{at} closed: shut down")).await;
    }
    let stop = Script::Talk(vec![(2 * SECOND, STOP)]);
    ends("a 204 while it lingers", &[(0.0, Subscribe), (1.0, Drop)], stop, "2.0 stopped").await;
}

/// The last state of a story.
async fn ends(what: &str, steps: &[(f64, Do)], answer: Script, last: &str) {
    let scripted = Scripted { scripts: vec![answer], asked: watch::Sender::default() };
    let stream = Client::with_connector(Arc::new(scripted)).stream("http://host/").lazy(10 * SECOND);
    let mut handle = Some(stream.build().unwrap());
    let monitor = handle.as_ref().unwrap().monitor();
    let begun = Instant::now();
    handle.as_ref().unwrap().connect();
    let mut subscriptions = Vec::new();
    let program = async {
        for (when, step) in steps {
            tokio::time::sleep_until(begun + Duration::from_secs_f64(*when)).await;
            let asked = handle.as_ref().unwrap();
            match step {
                Subscribe => subscriptions.push(asked.subscribe(Filter::all())),
                Drop => drop(subscriptions.remove(0)),
                Shutdown => drop(asked.shutdown()),
                _ => {
                    subscriptions.clear();
                    handle = None;
                }
            }
        }
    };
    let closed = async {
        monitor.closed().await;
        format!("{} {}", tenths(begun.elapsed()), short_state(&monitor.state(), begun))
    };
    let (_, closed) = tokio::time::timeout(HOUR, async { tokio::join!(program, closed) }).await.unwrap();
    assert_eq!(closed, last, "{what}");
}

/// A store whose first load fails.
struct Late(Arc<Mutex<u32>>);

impl ResumeStore for Late {
    type Error = std::convert::Infallible;

    async fn load(&self) -> Result<Option<String>, Self::Error> {
        let asked = {
            let mut asked = self.0.lock().unwrap();
            *asked += 1;
            *asked
        };
        if asked == 1 { std::future::pending().await } else { Ok(Some("5".to_owned())) }
    }

    async fn save(&self, _: String) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_was_given_up_begins_again_for_the_next_subscriber() {
    let (heard, asked) = (Heard::default(), Arc::<Mutex<u32>>::default());
    let scripts = overheard(vec![stays()], &heard);
    let scripted = Scripted { scripts, asked: watch::Sender::default() };
    let stream = Client::with_connector(Arc::new(scripted)).stream("http://host/").lazy(SECOND);
    let handle = stream.resume_store(Late(Arc::clone(&asked)), Commit::Delivery).build().unwrap();
    handle.connect();
    tokio::time::sleep(SECOND).await;
    assert_eq!(*asked.lock().unwrap(), 0);
    let first = handle.subscribe(Filter::all());
    tokio::time::sleep(SECOND).await;
    drop(first);
    tokio::time::sleep(2 * SECOND).await;
    assert!(matches!(handle.state(), State::Idle));
    let mut next = handle.subscribe(Filter::all());
    assert!(matches!(next.recv().await, Some(Delivery::Event(_))));
    assert_eq!(*asked.lock().unwrap(), 2);
    assert!(heard.lock().unwrap()[0].1.contains("last-event-id: 5"));
}

#[tokio::test(start_paused = true)]
async fn opening_a_lazy_stream_subscribes_and_so_dials() {
    let scripted = Scripted { scripts: vec![stays()], asked: watch::Sender::default() };
    let client = Client::with_connector(Arc::new(scripted));
    let events = client.stream("http://host/").lazy(SECOND).open("").await.unwrap();
    let handle = events.handle();
    assert!(handle.state().is_open());
    drop(events);
    tokio::time::sleep(2 * SECOND).await;
    assert!(matches!(handle.state(), State::Idle));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_its_predicate_has_ended_listens_no_more() {
    let scripted = Scripted { scripts: vec![stays()], asked: watch::Sender::default() };
    let client = Client::with_connector(Arc::new(scripted));
    let handle = client.stream("http://host/").lazy(SECOND).build().unwrap();
    let mut events = handle.subscribe(Filter::matching(|event| event.data() == "never" || panic!("a bug")));
    handle.connect();
    assert!(events.recv().await.is_none());
    tokio::time::sleep(2 * SECOND).await;
    assert!(matches!(handle.state(), State::Idle), "{:?}", handle.state());
}
