//! Credentials that change all the time: tokens that expire, and one handover after the other.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sseclient::testing::{self, Script};
use sseclient::{Apply, CredentialsReason, Delivery, Filter, Handle, Subscription, Update};
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::support::{
    Connection, OPEN, RawServer, header, next_event, notified, numbered, serve, stream, until, within,
};

const UNAUTHORIZED: &str =
    "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer error=\"expired\"\r\ncontent-length: 0\r\n\r\n";
const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// How long a token is valid from its first use. It cannot expire before, on a slow machine.
const LIFE: Duration = Duration::from_millis(200);
/// The number of tokens that expire. The one after them stays valid.
const EXPIRIES: u64 = 10;
const ROTATIONS: u64 = 100;
/// The number of events in 10 ms, at a thousand a second.
const BATCH: u64 = 10;

/// The last event ID of a request, or 0.
fn last_event_id(request: &str) -> u64 {
    header(request, "last-event-id").map_or(0, |id| id.parse().unwrap())
}

fn token(request: &str) -> u64 {
    header(request, "authorization").unwrap().strip_prefix("Bearer token-").unwrap().parse().unwrap()
}

/// Sends the events after `sent` as they are produced, until the producer ends or the client
/// closes.
async fn tell(connection: &mut Connection, mut sent: u64, mut newest: watch::Receiver<u64>) {
    while let Ok(until) = newest.wait_for(|newest| *newest > sent).await.map(|newest| *newest) {
        if !connection.send(&numbered(sent + 1..=until)).await {
            return;
        }
        sent = until;
    }
}

/// Produces `events` more in each `period`, until dropped.
async fn produce(newest: &watch::Sender<u64>, period: Duration, events: u64) {
    let mut pace = interval(period);
    // A slow machine catches up, so that the rate stays the same.
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        pace.tick().await;
        newest.send_modify(|newest| *newest += events);
    }
}

/// Collects the numbers of a subscription's events until it ends, and reports the newest in `seen`.
async fn collect(mut events: Subscription, seen: watch::Sender<u64>) -> (Vec<u64>, usize) {
    let (mut numbers, mut gaps) = (Vec::new(), 0);
    while let Some(delivery) = within(events.recv()).await {
        match delivery {
            Delivery::Event(event) => numbers.push(event.data().parse().unwrap()),
            Delivery::Gap(gap) if gap.is_loss() => panic!("{gap}"),
            Delivery::Gap(_) => gaps += 1,
        }
        seen.send_replace(numbers.len() as u64);
    }
    (numbers, gaps)
}

#[track_caller]
fn assert_each_once_in_order(numbers: &[u64]) {
    let odd = numbers.iter().zip(1..).position(|(number, expected)| *number != expected);
    let around = odd.map(|at| &numbers[at.saturating_sub(3)..numbers.len().min(at + 3)]);
    assert_eq!(around, None, "of {} events", numbers.len());
}

/// What the token server and the event server share. Tokens are numbered from 1.
#[derive(Default)]
struct Tokens {
    /// The number of calls for a token.
    calls: AtomicU64,
    issued: AtomicU64,
    expired: AtomicU64,
    refused: AtomicU64,
}

/// What a source knows about its token.
#[derive(Clone, Copy)]
enum Knows {
    /// When it expires.
    Expiry,
    /// Whether the server has refused it.
    Refusal,
}

impl Tokens {
    fn is_good(&self, token: u64) -> bool {
        let good = token > self.expired.load(SeqCst);
        self.refused.fetch_add(u64::from(!good), SeqCst);
        good
    }

    /// A source that keeps its token until it expires or the server refuses it.
    fn source(
        self: &Arc<Self>,
        knows: Knows,
    ) -> impl Fn(CredentialsReason) -> Ready<Result<HeaderMap, Infallible>> + use<> {
        let tokens = Arc::clone(self);
        move |reason| {
            tokens.calls.fetch_add(1, SeqCst);
            let is_needed = match (knows, reason) {
                (_, CredentialsReason::First | CredentialsReason::Rejected { .. }) => true,
                (Knows::Expiry, _) => tokens.issued.load(SeqCst) <= tokens.expired.load(SeqCst),
                (Knows::Refusal, _) => false,
            };
            let token = tokens.issued.fetch_add(u64::from(is_needed), SeqCst) + u64::from(is_needed);
            ready(Ok(HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer token-{token}").parse().unwrap())])))
        }
    }
}

/// A server that checks tokens, and ends a response when its token expires. All tokens but the last
/// expire. After the last event it answers 204.
async fn strict_server(tokens: &Arc<Tokens>, newest: watch::Receiver<u64>) -> RawServer {
    let tokens = Arc::clone(tokens);
    RawServer::start_unrecorded(move |_, mut connection| {
        let (tokens, newest) = (Arc::clone(&tokens), newest.clone());
        async move {
            let (token, sent) = (token(&connection.request), last_event_id(&connection.request));
            let all_is_said = newest.has_changed().is_err() && sent == *newest.borrow();
            if !tokens.is_good(token) {
                connection.send(UNAUTHORIZED).await;
            } else if all_is_said {
                connection.send(NO_CONTENT).await;
            } else {
                connection.send(OPEN).await;
                tokio::select! {
                    () = tell(&mut connection, sent, newest) => {}
                    () = sleep(LIFE), if token <= EXPIRIES => tokens.expired.store(token, SeqCst),
                }
            }
        }
    })
    .await
}

/// Follows such a server until it answers 204. Returns the number of calls for a token.
async fn outlive(subscribers: usize, knows: Knows) -> u64 {
    let tokens = Arc::<Tokens>::default();
    let newest = watch::Sender::new(1);
    let server = strict_server(&tokens, newest.subscribe()).await;
    let handle = stream(&server.url).credentials(tokens.source(knows)).build().unwrap();
    let follow = |_| tokio::spawn(collect(handle.subscribe(Filter::all()), watch::Sender::default()));
    let followers: Vec<_> = (0..subscribers).map(follow).collect();
    handle.connect();
    tokio::select! {
        () = produce(&newest, Duration::from_millis(5), 1) => {}
        () = until("the last token is accepted", || handle.stats().opens > EXPIRIES) => {}
    }
    let last = *newest.borrow();
    drop(newest);
    for follower in followers {
        let (numbers, _) = within(follower).await.unwrap();
        assert_each_once_in_order(&numbers);
        assert_eq!(numbers.len() as u64, last);
    }
    let Tokens { calls, issued, expired, refused } = &*tokens;
    let [calls, issued, expired, refused] = [calls, issued, expired, refused].map(|count| count.load(SeqCst));
    println!("{subscribers} subscribers: {last} events, {expired} expiries, {refused} refusals, {calls} calls");
    assert_eq!((issued, expired), (EXPIRIES + 1, EXPIRIES), "one token for each expiry, and the first");
    assert_eq!(refused, if let Knows::Refusal = knows { EXPIRIES } else { 0 });
    calls
}

/// The number of calls for a token does not depend on the number of subscribers.
#[tokio::test]
async fn expiring_tokens_lose_no_events() {
    // One call before the first attempt, and one before the attempt that gets the 204.
    let ends = 2;
    for (knows, calls) in [(Knows::Expiry, EXPIRIES), (Knows::Refusal, 2 * EXPIRIES)] {
        let asked = tokio::join!(outlive(1, knows), outlive(20, knows));
        assert_eq!(asked, (calls + ends, calls + ends));
    }
}

/// A server that resumes. It answers so late that the response before sends more events in between.
async fn resuming_server(newest: watch::Receiver<u64>) -> RawServer {
    RawServer::start_unrecorded(move |_, mut connection| {
        let mut newest = newest.clone();
        async move {
            let late = *newest.borrow() + BATCH;
            if newest.wait_for(|newest| *newest > late).await.is_err() {
                return;
            }
            connection.send(OPEN).await;
            let sent = last_event_id(&connection.request);
            tell(&mut connection, sent, newest).await;
        }
    })
    .await
}

/// Changes the token repeatedly, each time after `pause` more events.
async fn rotate(handle: &Handle, mut seen: watch::Receiver<u64>, pause: u64) {
    for token in 1..=ROTATIONS {
        // Start after the first event: a handover without an ID is a gap.
        let next = (*seen.borrow() + pause).max(1);
        within(seen.wait_for(|seen| *seen >= next)).await.unwrap();
        let update = handle.update(|request| request.bearer_auth(format!("token-{token}")), Apply::MakeBeforeBreak);
        within(update).await.unwrap();
    }
}

/// Rotates against a server that sends a thousand events a second.
async fn rotate_under_load(pause: u64) {
    let newest = watch::Sender::new(1);
    let server = resuming_server(newest.subscribe()).await;
    let handle = stream(&server.url).build().unwrap();
    let seen = watch::Sender::new(0);
    let follower = tokio::spawn(collect(handle.subscribe(Filter::all()), seen.clone()));
    handle.connect();
    tokio::select! {
        () = produce(&newest, Duration::from_millis(10), BATCH) => {}
        () = rotate(&handle, seen.subscribe(), pause) => {}
    }
    let last = *newest.borrow();
    within(seen.subscribe().wait_for(|seen| *seen >= last)).await.unwrap();
    let stats = handle.stats();
    println!("{last} events, {} repeats, {} responses, {pause} events apart", stats.repeats, stats.opens);
    assert_eq!((stats.attempts, stats.opens, stats.gaps), (ROTATIONS + 1, ROTATIONS + 1, 0));
    assert!(stats.repeats > ROTATIONS, "the responses overlap");
    within(handle.shutdown()).await;
    let (numbers, gaps) = within(follower).await.unwrap();
    assert_each_once_in_order(&numbers);
    assert_eq!((numbers.len() as u64, gaps), (last, 0));
}

/// The server sends a thousand events a second.
#[tokio::test]
async fn a_hundred_rotations_under_load_leave_no_gap_and_no_duplicate() {
    rotate_under_load(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_one_right_after_the_other_leave_no_gap_and_no_duplicate() {
    rotate_under_load(0).await;
}

/// A server that sends each response in parts, one part for each notification.
async fn bit_by_bit(says: [Vec<String>; 3]) -> (testing::Server, [Arc<Notify>; 3]) {
    let bells = <[Arc<Notify>; 3]>::default();
    let scripts = says.into_iter().zip(&bells).map(|(texts, bell)| {
        texts.into_iter().fold(Script::raw(), |script, text| script.wait_for(notified(bell)).bytes(text))
    });
    (serve(scripts.collect::<Vec<_>>()).await, bells)
}

/// Asks for a third response while the second one still repeats events.
async fn ask_amid_repeats(third: &str) -> (testing::Server, [Arc<Notify>; 3], Handle, Subscription, Update) {
    let open = |ids| format!("{OPEN}{}", numbered(ids));
    let (first, second) = (vec![open(1..2), numbered(2..4)], vec![open(2..3), numbered(3..5)]);
    let (server, bells) = bit_by_bit([first, second, vec![third.to_owned()]]).await;
    let handle = stream(server.url()).build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    bells[0].notify_one();
    assert_eq!(next_event(&mut events).await.data(), "1");
    let update = handle.update(|request| request, Apply::MakeBeforeBreak);
    until("the second request comes", || server.requests().len() == 2).await;
    bells[0].notify_one();
    assert_eq!(next_event(&mut events).await.data(), "2");
    assert_eq!(next_event(&mut events).await.data(), "3");
    bells[1].notify_one();
    within(update).await.unwrap();
    until("the second response repeats", || handle.stats().repeats == 1).await;
    let update = handle.update(|request| request, Apply::MakeBeforeBreak);
    until("the third request comes", || server.requests().len() == 3).await;
    (server, bells, handle, events, update)
}

#[tokio::test]
async fn a_response_that_still_repeats_may_be_replaced_as_well() {
    let third = format!("{OPEN}{}", numbered(4..6));
    let (server, bells, _handle, mut events, update) = ask_amid_repeats(&third).await;
    server.assert_resumed_from("3");
    bells[1].notify_one();
    assert_eq!(next_event(&mut events).await.data(), "4");
    bells[2].notify_one();
    within(update).await.unwrap();
    assert_eq!(next_event(&mut events).await.data(), "5");
}

#[tokio::test]
async fn repeats_are_still_dropped_after_a_second_response_is_refused() {
    let refusal = "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n";
    let (_server, bells, _handle, mut events, update) = ask_amid_repeats(refusal).await;
    bells[2].notify_one();
    within(update).await.unwrap_err();
    bells[1].notify_one();
    assert_eq!(next_event(&mut events).await.data(), "4");
}
