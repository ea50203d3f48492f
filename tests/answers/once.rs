//! Streams for one answer: each sentence of `StreamBuilder::once`.

use std::any::Any;
use std::convert::Infallible;
use std::future::{pending, ready};
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use sseclient::testing::{Script, Server};
use sseclient::{
    Client, ClientBuilder, CredentialsReason, Error, ErrorKind, Filter, Overflow, ReconnectPolicy, SubscribeOptions,
};
use tokio::time::{Instant, timeout};

use crate::script::{live, text};
use crate::streams::{all, all_in_any_time, ending, open};
use crate::support::{always, client, headers, serve, short, status, stream, within};

#[tokio::test]
async fn a_request_for_one_answer_is_never_repeated() {
    let cut = Script::open().bytes("data: a\n\n").hang_up();
    for (answer, expected) in [(ending("data: a\n\n"), "EndOfStream"), (cut, "body"), (status(503), "status")] {
        let server = serve(answer).await;
        let handle = client().stream(server.url()).once().build().unwrap();
        let events = handle.subscribe(Filter::all());
        handle.connect();
        let (_, reason) = all(events).await;
        assert_eq!(reason, expected);
        assert_eq!(server.requests().len(), 1);
        // The subscription has ended with `None` each time.
        let result = within(handle.closed()).await.into_result();
        assert_eq!(result.is_ok(), expected == "EndOfStream", "{result:?}");
    }
    // A policy that is set later counts.
    let server = serve([ending("data: a\n\n"), ending("data: a\n\n"), Script::open()]).await;
    let policy = ReconnectPolicy::daemon().reconnection_time(Duration::ZERO).max_retries(2);
    let events = open(client().stream(server.url()).once().reconnect_policy(policy)).await;
    server.finish().await;
    drop(events);
}

/// Two subscriptions, one of which rests for much longer than the usual patience while the other
/// waits for more.
#[tokio::test(start_paused = true)]
async fn of_one_answer_nothing_is_lost_however_slowly_it_is_read() {
    const EVENTS: usize = 5000;
    let input: String = (0..EVENTS).map(|number| format!("data: {number}\n\n")).collect();
    for (options, is_complete) in
        [(SubscribeOptions::default(), true), (SubscribeOptions::default().overflow(Overflow::DropOldest), false)]
    {
        let transport = {
            let input = input.clone();
            move |_| {
                let response = Response::builder().header("content-type", "text/event-stream");
                ready(response.body(Full::new(Bytes::from(input.clone()))))
            }
        };
        let client = Client::builder().transport(transport).build();
        let handle = client.stream("http://127.0.0.1/").once().build().unwrap();
        let mut slow = handle.subscribe_with(Filter::all(), options.capacity(16));
        let fast = tokio::spawn(all_in_any_time(handle.subscribe(Filter::all())));
        handle.connect();
        let mut taken = 0;
        while let Some(delivery) = slow.recv().await {
            taken += usize::from(delivery.event().is_some());
            if taken % 100 == 0 {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        }
        assert_eq!(taken == EVENTS, is_complete, "{taken}");
        assert_eq!(fast.await.unwrap().0.len(), EVENTS);
    }
}

#[tokio::test]
async fn an_answer_in_a_post_is_asked_for_once_with_its_body() {
    let server = serve(Script::open().bytes("data: a\n\ndata: [DONE]\n\n")).await;
    let (items, reason) = all(open(stream(server.url()).once().body("why?").end_mark("[DONE]")).await).await;
    assert_eq!((items, reason.as_str()), (vec!["a".to_owned()], "EndMark"));
    let request = &server.requests()[0];
    assert_eq!((request.method(), &request.body()[..]), (&Method::POST, &b"why?"[..]));
    assert_eq!(request.headers().get("last-event-id"), None);
    // An answer without an event has no mark either.
    let server = serve(ending("")).await;
    let (items, reason) = all(open(stream(server.url()).once().end_mark("[DONE]")).await).await;
    assert_eq!((items, reason.as_str()), (vec![], "incomplete"));
}

/// A server whose first answer is `first`, and whose next one is a complete stream.
async fn then_open(first: Script) -> Server {
    serve([first, ending("data: a\n\n")]).await
}

#[tokio::test]
async fn a_redirect_of_one_answer_is_followed_with_the_body_or_as_a_get() {
    let redirect = |code: u16| status(code).header("location", "/there");
    for (status, method, body) in
        [(307, "POST", "why?"), (308, "POST", "why?"), (301, "GET", ""), (302, "GET", ""), (303, "GET", "")]
    {
        let server = then_open(redirect(status)).await;
        let (items, reason) = all(open(stream(server.url()).once().body("why?")).await).await;
        assert_eq!((items, reason.as_str()), (vec!["a".to_owned()], "EndOfStream"), "{status}");
        let line = |request: &Request<Bytes>| format!("{} {}", request.method(), request.uri());
        let [asked, followed] = &server.requests()[..] else { panic!("{status}: {:?}", server.requests()) };
        assert_eq!((line(asked), &asked.body()[..]), ("POST /stream".to_owned(), &b"why?"[..]), "{status}");
        assert_eq!((line(followed), &followed.body()[..]), (format!("{method} /there"), body.as_bytes()), "{status}");
    }
    // The target's failure is final.
    let server = serve([redirect(307), status(503)]).await;
    let error = within(stream(server.url()).once().body("why?").open(Filter::all())).await.unwrap_err();
    assert_eq!((error.kind(), server.requests().len()), (ErrorKind::Status, 2));
}

/// Credentials that are right only after a refusal.
async fn token(reason: CredentialsReason) -> Result<HeaderMap, Infallible> {
    let token = if matches!(reason, CredentialsReason::Rejected { .. }) { "fresh" } else { "stale" };
    Ok(HeaderMap::from_iter([(AUTHORIZATION, token.parse().unwrap())]))
}

#[tokio::test]
async fn a_401_to_one_answer_is_answered_once_with_fresh_credentials() {
    let tokens = ["stale", "fresh"].map(|token| Some(token.to_owned()));
    let server = then_open(status(401)).await;
    let (items, reason) = all(open(stream(server.url()).once().body("why?").credentials(token)).await).await;
    assert_eq!((items, reason.as_str()), (vec!["a".to_owned()], "EndOfStream"));
    assert_eq!(headers(&server, "authorization"), tokens);
    assert!(server.requests().iter().all(|request| request.method() == Method::POST && request.body() == "why?"));
    // A second refusal is final, and so is the first one without a source.
    for (source, expected) in [(true, &tokens[..]), (false, &[None])] {
        let server = always(|| status(401)).await;
        let question = stream(server.url()).once();
        let question = if source { question.credentials(token) } else { question };
        let error = within(question.open(Filter::all())).await.unwrap_err();
        assert_eq!((error.kind(), headers(&server, "authorization").as_slice()), (ErrorKind::Status, expected));
    }
}

/// A transcript waits like a subscription, and an unread one holds up all others.
#[tokio::test(start_paused = true)]
async fn a_reader_of_one_answer_that_rests_stops_it_for_all() {
    const EVENTS: usize = 1000;
    let body: String = (0..EVENTS).map(|number| format!("data: {number}\n\n")).collect();
    let transport = move |_: Request<Bytes>| {
        let response = Response::builder().header("content-type", "text/event-stream");
        ready(response.body(Full::new(Bytes::from(body.clone()))))
    };
    for is_transcript in [false, true] {
        let client = Client::builder().transport(transport.clone()).build();
        let handle = client.stream("http://host/").once().build().unwrap();
        let unread: Box<dyn Any> =
            if is_transcript { Box::new(handle.transcript()) } else { Box::new(handle.subscribe(Filter::all())) };
        let mut reader = handle.subscribe(Filter::all());
        handle.connect();
        let mut taken = 0;
        while let Ok(Some(_)) = timeout(Duration::from_secs(3600), reader.recv()).await {
            taken += 1;
        }
        assert!(taken < EVENTS, "transcript: {is_transcript}");
        drop(unread);
        let (rest, reason) = all_in_any_time(reader).await;
        assert_eq!((taken + rest.len(), reason.as_str()), (EVENTS, "EndOfStream"), "transcript: {is_transcript}");
    }
}

async fn failure_of(client: ClientBuilder) -> (Error, Duration) {
    let begun = Instant::now();
    let error = client.build().stream("http://host/").once().open(Filter::all()).await.unwrap_err();
    (error, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn the_head_of_one_answer_has_ten_seconds_and_five_minutes() {
    let connector = |_: http::Uri| pending::<io::Result<tokio::io::DuplexStream>>();
    let (error, waited) = failure_of(Client::builder().connector(connector)).await;
    assert_eq!((error.kind(), waited.as_secs()), (ErrorKind::ConnectTimeout, 10));
    let silent = |_: http::Uri| async {
        let (ours, theirs) = tokio::io::duplex(1024);
        // It stays open, and silent.
        std::mem::forget(theirs);
        io::Result::Ok(ours)
    };
    let (error, waited) = failure_of(Client::builder().connector(silent)).await;
    assert_eq!((error.kind(), waited.as_secs()), (ErrorKind::ResponseTimeout, 300));
    // A transport connects and sends in one step.
    let transport = |_: Request<Bytes>| pending::<Result<Response<Full<Bytes>>, Infallible>>();
    let (error, waited) = failure_of(Client::builder().transport(transport)).await;
    assert_eq!((error.kind(), waited.as_secs()), (ErrorKind::ResponseTimeout, 310));
}

#[tokio::test(start_paused = true)]
async fn the_first_event_of_one_answer_has_no_limit_of_its_own() {
    let (sender, body) = live();
    let body = Mutex::new(Some(body));
    let transport = move |_: Request<Bytes>| {
        let response = Response::builder().header("content-type", "text/event-stream");
        ready(response.body(body.lock().unwrap().take().expect("one request")))
    };
    let client = Client::builder().transport(transport).build();
    let mut events = client.stream("http://host/").once().open(Filter::all()).await.unwrap();
    let day = Duration::from_secs(24 * 3600);
    timeout(day, events.recv()).await.unwrap_err();
    sender.send(text("data: a\n\n")).unwrap();
    assert_eq!(short(&mut events).await, "a");
    drop(sender);
    assert_eq!(all_in_any_time(events).await.1, "EndOfStream");
}
