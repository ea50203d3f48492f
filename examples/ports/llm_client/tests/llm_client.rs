//! What a program sees of answers that come whole, and of those that do not.

use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use llm_client::{Answer, Api, Chunk, LlmClient, LlmError, Usage, over_reqwest};
use sseclient::Transport;
use sseclient::bytes::Bytes;
use sseclient::http::{Request, Response, StatusCode};
use sseclient::testing::{Script, Server};
use tokio::time::{Instant, sleep, timeout};

const OPENAI: &str = concat!(
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    ": keep-alive\n\n",
    "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"Hm.\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"Déjà \"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"vu\",\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"add\",\"arguments\":\"{\\\"a\\\"\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\":1}\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":5,\"input_tokens\":0,\"output_tokens\":0}}\n\n",
    "data: [DONE]\n\n",
);

const ANTHROPIC: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n",
    "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Hm.\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"Déjà \"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"vu\"}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"c1\",\"name\":\"add\",\"input\":{}}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\":1}\"}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":3,\"content_block\":{\"type\":\"server_tool_use\",\"id\":\"s1\",\"name\":\"web_search\",\"input\":{}}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":3,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}\n\n",
    "event: new_in_2030\ndata: {\"type\":\"new_in_2030\"}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":5}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

const APIS: [(Api, &str); 2] = [(Api::OpenAi, OPENAI), (Api::Anthropic, ANTHROPIC)];

/// What an answer came to.
#[derive(Debug, Default)]
struct Told {
    text: String,
    thinking: String,
    arguments: String,
    end: Option<(Option<String>, Usage)>,
    error: Option<LlmError>,
}

async fn read(answer: Answer<impl Transport>) -> Told {
    let (mut told, mut chunks) = (Told::default(), pin!(answer.into_stream()));
    while let Some(chunk) = chunks.next().await {
        assert!(told.end.is_none() && told.error.is_none(), "nothing follows the last chunk");
        match chunk {
            Ok(Chunk::Text(text)) => told.text.push_str(&text),
            Ok(Chunk::Thinking(text)) => told.thinking.push_str(&text),
            Ok(Chunk::ToolCall { arguments, .. }) => told.arguments.push_str(&arguments),
            Ok(Chunk::End { stop_reason, usage }) => told.end = Some((stop_reason, usage)),
            Ok(other) => panic!("{other:?}"),
            Err(error) => told.error = Some(error),
        }
    }
    told
}

fn ask_over<T: Transport>(transport: T, api: Api, url: &str) -> LlmClient<T> {
    LlmClient::new(transport, api, url.parse().unwrap(), "key", "any").unwrap()
}

fn over_loopback(server: &Server, api: Api) -> LlmClient<impl Transport> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    ask_over(over_reqwest(http), api, server.url())
}

/// A transport that answers each request with these bytes, which end as they should.
fn in_memory(body: Bytes) -> impl Transport {
    move |_: Request<Bytes>| {
        let head = Response::builder().header("content-type", "text/event-stream");
        std::future::ready(head.body(Full::new(body.clone())))
    }
}

/// Pauses in seconds, and what comes after each.
type Pieces = &'static [(u64, &'static str)];

/// A transport whose answer begins after `head`, and sends each piece after its pause. Then it is
/// silent.
fn paced(head: Duration, pieces: Pieces) -> impl Transport {
    move |_: Request<Bytes>| async move {
        sleep(head).await;
        let body = unfold(pieces.iter(), |mut left| async move {
            let Some((seconds, piece)) = left.next() else { return std::future::pending().await };
            sleep(Duration::from_secs(*seconds)).await;
            Some((Ok::<_, io::Error>(Frame::data(Bytes::from_static(piece.as_bytes()))), left))
        });
        Response::builder().header("content-type", "text/event-stream").body(StreamBody::new(Box::pin(body)))
    }
}

/// Returns an error with its causes.
fn with_causes(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", with_causes(cause)))
}

#[tokio::test]
async fn both_apis_give_the_same_chunks_and_their_usage_at_the_end() {
    for (api, body) in APIS {
        // Cut within characters, lines and blocks.
        let pieces: Vec<Vec<u8>> = body.as_bytes().chunks(97).map(<[u8]>::to_vec).collect();
        let script = Script::open().pieces(pieces).end().expect(move |request| {
            let headers = request.headers();
            let key = if api == Api::OpenAi { &headers["authorization"] } else { &headers["x-api-key"] };
            assert!(key.to_str().unwrap().ends_with("key"));
            assert_eq!(
                (&headers["accept"], request.method().as_str()),
                (&"text/event-stream".parse().unwrap(), "POST")
            );
        });
        let server = Server::start(script).await;
        let answer = over_loopback(&server, api).complete("why?").await.unwrap();
        let told = read(answer).await;
        assert_eq!(
            (&*told.text, &*told.thinking, &*told.arguments),
            ("Déjà vu", "Hm.", "{\"a\":1}"),
            "{api:?}: {told:?}"
        );
        let (reason, usage) = told.end.unwrap();
        assert_eq!((usage.input_tokens, usage.output_tokens), (Some(9), Some(5)));
        assert_eq!(reason.as_deref(), Some(if api == Api::OpenAi { "stop" } else { "end_turn" }));
        server.finish().await;
    }
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_is_never_taken_for_a_complete_one() {
    for (api, body) in APIS {
        // At the end of a body the mark needs no blank line.
        let mark = if api == Api::OpenAi { "data: [DONE]" } else { "event: message_stop\ndata" };
        let complete_at = body.find(mark).unwrap() + mark.len();
        for cut in 0..=body.len() {
            let body = Bytes::copy_from_slice(&body.as_bytes()[..cut]);
            let client = ask_over(in_memory(body), api, "http://api.invalid/");
            let told = read(client.complete("why?").await.unwrap()).await;
            assert!("Déjà vu".starts_with(&told.text), "{:?}", told.text);
            assert_eq!(told.end.is_some(), cut >= complete_at, "{api:?} cut at {cut}: {told:?}");
            assert_eq!(told.error.is_none(), told.end.is_some(), "{api:?} cut at {cut}: {told:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_an_error_after_the_text_and_one_request() {
    let begin = || Script::open().bytes(&OPENAI[..OPENAI.find("vu").unwrap()]);
    let reset = begin().stall(Duration::from_millis(20)).reset();
    for (script, may_lose_text) in [(begin().hang_up(), false), (reset, true), (begin().end(), false)] {
        let server = Server::start(script).await;
        let told = read(over_loopback(&server, Api::OpenAi).complete("why?").await.unwrap()).await;
        assert!(told.text == "Déjà " || may_lose_text && told.text.is_empty(), "{told:?}");
        assert_eq!(told.end, None);
        assert!(matches!(told.error, Some(LlmError::Broken(_))), "{:?}", told.error);
        assert_eq!(server.requests().len(), 1, "a request that costs money is not repeated");
        server.finish().await;
    }
}

#[tokio::test]
async fn a_refusal_says_its_status_its_reason_and_whether_it_was_free() {
    const JSON: &str = "application/json";
    let reason = |text: &str| format!("{{\"type\":\"error\",\"error\":{{\"message\":\"{text}\"}}}}");
    // Status, type and body; what is shown, whether it was free, and the wait.
    let cases = [
        (401, JSON, reason("no such key"), "401 Unauthorized: no such key", false, None),
        (429, JSON, reason("slow down"), "429 Too Many Requests: slow down", true, Some(7)),
        (529, JSON, reason("Overloaded"), "529 <unknown status code>: Overloaded", true, Some(7)),
        (503, "text/html", "<h1>later</h1>".to_owned(), "503 Service Unavailable", true, Some(7)),
        (504, "text/html", String::new(), "504 Gateway Timeout", false, None),
        (200, JSON, reason("no credit"), "no credit", false, None),
    ];
    for (status, content_type, body, shown, free, wait) in cases {
        let mut script = Script::answer(StatusCode::from_u16(status).unwrap()).header("content-type", content_type);
        if let Some(seconds) = wait {
            script = script.header("retry-after", seconds);
        }
        let server = Server::start(script.bytes(body)).await;
        let refused = over_loopback(&server, Api::Anthropic).complete("why?").await.err().unwrap();
        assert!(refused.to_string().ends_with(shown), "{refused}");
        assert_eq!((refused.was_declined(), refused.retry_after()), (free, wait.map(Duration::from_secs)));
        server.finish().await;
    }
}

#[tokio::test]
async fn a_failure_within_the_answer_is_an_error_with_its_kind() {
    let cases = [
        (
            Api::OpenAi,
            "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n",
            "overloaded (server_error)",
        ),
        (Api::OpenAi, "data: {\"error\":\"overloaded\"}\n\n", "overloaded"),
        (
            Api::Anthropic,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
            "Overloaded (overloaded_error)",
        ),
        (Api::OpenAi, "data: {\"choices\":[\n\n", "line 1"),
    ];
    for (api, failure, shown) in cases {
        let whole = if api == Api::OpenAi { OPENAI } else { ANTHROPIC };
        let begun = &whole[..whole.find("vu").unwrap()];
        let body = [&begun[..begun.rfind("\n\n").unwrap() + 2], failure].concat();
        let told =
            read(ask_over(in_memory(body.into()), api, "http://api.invalid/").complete("why?").await.unwrap()).await;
        assert_eq!((&*told.text, told.end), ("Déjà ", None));
        let error = with_causes(&told.error.unwrap());
        assert!(error.contains(shown), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_token_and_later_silences_have_limits_of_their_own() {
    const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
    const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    // The pause before the head, pauses and pieces; when it is given up, and why.
    let cases: [(u64, Pieces, u64, &str); 5] = [
        (999, &[], 60, "no token came within 60s"),
        (30, &[], 60, "no token came within 60s"),
        // Neither a role nor heartbeats are a token.
        (1, &[(1, ROLE), (15, ":\n\n"), (15, ":\n\n"), (15, ":\n\n"), (15, ":\n\n")], 60, "no token came within 60s"),
        // A token a few seconds before the limit, and heartbeats after it.
        (
            1,
            &[(57, TOKEN), (15, ":\n\n"), (15, TOKEN), (25, TOKEN)],
            108,
            "the server was silent for 20s, the idle timeout",
        ),
        (1, &[(1, TOKEN), (999, TOKEN)], 22, "the server was silent for 20s, the idle timeout"),
    ];
    for (head, pieces, seconds, shown) in cases {
        let limits = (Duration::from_secs(60), Duration::from_secs(20));
        let client = ask_over(paced(Duration::from_secs(head), pieces), Api::OpenAi, "http://api.invalid/");
        let begun = Instant::now();
        let error = match client.timeouts(limits.0, limits.1).complete("why?").await {
            // A day: a test that has no limit ends, too.
            Ok(answer) => timeout(Duration::from_secs(86400), read(answer)).await.unwrap().error.unwrap(),
            Err(error) => error,
        };
        assert_eq!(begun.elapsed().as_secs(), seconds, "{error}");
        assert!(with_causes(&error).ends_with(shown), "{}", with_causes(&error));
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_to_the_first_token_counts_from_the_request() {
    let pieces = &[
        (1, "data: {\"choices\":[{\"delta\":{\"content\":\"\"}}]}\n\n"),
        (4, "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"),
    ];
    let mut answer = ask_over(paced(Duration::from_secs(2), pieces), Api::OpenAi, "http://api.invalid/")
        .complete("why?")
        .await
        .unwrap();
    assert_eq!(answer.time_to_first_token(), None);
    assert_eq!(answer.recv().await.unwrap().unwrap(), Chunk::Text("a".to_owned()));
    assert_eq!(answer.time_to_first_token().unwrap().as_secs(), 7);
}

#[tokio::test]
async fn dropping_an_answer_closes_its_connection() {
    let server = Server::start(
        Script::open()
            .bytes(OPENAI.split_inclusive("\n\n").take(4).collect::<String>())
            .stall(Duration::from_secs(3600)),
    )
    .await;
    let mut answer = over_loopback(&server, Api::OpenAi).complete("why?").await.unwrap();
    assert_eq!(answer.recv().await.unwrap().unwrap(), Chunk::Thinking("Hm.".to_owned()));
    drop(answer);
    // Fails unless the client leaves.
    server.finish().await;
}

#[tokio::test]
async fn no_failure_of_any_kind_makes_a_second_request() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&requests);
    let transport = move |_: Request<Bytes>| {
        counting.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Err::<Response<Full<Bytes>>, _>(io::Error::other("connection refused")))
    };
    let failed = ask_over(transport, Api::OpenAi, "http://api.invalid/").complete("why?").await.err().unwrap();
    assert_eq!(with_causes(&failed), "the request failed: connection refused");
    assert!(!failed.was_declined());
    assert_eq!(requests.load(Ordering::Relaxed), 1);
}
