//! The server of a run. It numbers its events, continues after `Last-Event-ID`, and does something
//! wrong on each connection.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use socket2::SockRef;
use sseclient::{Decision, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::client::{CEILING, Outcome, SOON, Tale, Told};
use super::fault::{Answer, Ending, Fault, Span};
use super::nature::{Nature, Size};
use crate::support::{header, within};

/// The condition that ends a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    Number(u64),
    Time(Instant),
}

/// The results of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    /// How often each fault and each consequence occurred.
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) connections: u64,
    pub(crate) last: u64,
}

impl Report {
    pub(crate) fn count(&mut self, what: impl Into<String>, more: u64) {
        *self.counts.entry(what.into()).or_default() += more;
    }
}

pub(crate) struct Server {
    listener: TcpListener,
    seed: u64,
    goal: Goal,
    tale: Arc<Tale>,
    random: Rng,
    deck: Vec<Fault>,
    /// The last number that the client has received.
    resumed: u64,
    /// The last number that was ever sent completely.
    complete: u64,
    /// The answer to the connection before.
    before: Option<Answer>,
    /// A connection that arrived before the server noticed the end of the one before.
    early: Option<TcpStream>,
    report: Report,
}

impl Server {
    pub(crate) async fn bind(seed: u64, goal: Goal, tale: &Arc<Tale>) -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            seed,
            goal,
            tale: Arc::clone(tale),
            random: Rng::with_seed(seed),
            deck: Vec::new(),
            resumed: 0,
            complete: 0,
            before: None,
            early: None,
            report: Report { seed, ..Report::default() },
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/stream", self.listener.local_addr().unwrap())
    }

    /// Serves one connection at a time, and fails if the client opens a second one. Answers 204
    /// when the client has every number.
    pub(crate) async fn serve(mut self) -> Report {
        loop {
            let mut tcp = self.accept().await;
            let fault = self.deal();
            let read_request = fault != Fault::Unread;
            if read_request {
                let request = read_head(&mut tcp).await;
                self.check(&request);
            }
            let last = self.last();
            if read_request && self.resumed == last {
                self.leave(tcp, b"HTTP/1.1 204 No Content\r\n\r\n", Ending::Close).await;
                return Report { last, ..self.report };
            }
            let answer = fault.answer(Span { seed: self.seed, resumed: self.resumed, last }, &mut self.random);
            self.note(fault, &answer);
            self.leave(tcp, &answer.bytes, answer.ending).await;
            self.before = Some(answer);
        }
    }

    async fn accept(&mut self) -> TcpStream {
        let tcp = match self.early.take() {
            Some(tcp) => tcp,
            None => within(self.listener.accept()).await.unwrap().0,
        };
        tcp.set_nodelay(true).unwrap();
        self.report.connections += 1;
        tcp
    }

    fn deal(&mut self) -> Fault {
        if self.deck.is_empty() {
            self.deck = Fault::deck(&mut self.random);
        }
        self.deck.pop().unwrap()
    }

    /// The last number of the run.
    fn last(&mut self) -> u64 {
        match self.goal {
            Goal::Number(last) => last,
            Goal::Time(end) if Instant::now() < end => u64::MAX,
            Goal::Time(_) => {
                self.goal = Goal::Number(self.complete);
                self.complete
            }
        }
    }

    fn note(&mut self, fault: Fault, answer: &Answer) {
        self.report.count(format!("{fault:?}"), 1);
        for number in self.complete + 1..=answer.complete {
            let nature = Nature::of(self.seed, number);
            if nature.size != Size::Fits {
                self.report.count(format!("{:?}", nature.size), 1);
            }
            match nature.retry {
                Some(..100) => self.report.count("tiny retry", 1),
                Some(300_001..) => self.report.count("huge retry", 1),
                _ => {}
            }
        }
        self.complete = self.complete.max(answer.complete);
    }

    async fn leave(&mut self, mut tcp: TcpStream, bytes: &[u8], ending: Ending) {
        self.write(&mut tcp, bytes).await;
        match ending {
            Ending::Reset => SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap(),
            Ending::Silence => self.client_closes(tcp).await,
            Ending::Close => {
                // An error here means that the client has closed its end.
                let _ = tcp.shutdown().await;
                self.client_closes(tcp).await;
            }
        }
    }

    /// Sends in pieces of any size, so that the client's reads end anywhere.
    async fn write(&mut self, tcp: &mut TcpStream, mut bytes: &[u8]) {
        let most = [20, 500, 500, 10_000][self.random.usize(..4)];
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(self.random.usize(1..=bytes.len().min(most)));
            if tcp.write_all(piece).await.is_err() {
                // The client's timeout has fired. The next connection checks that.
                return;
            }
            if self.random.bool() {
                tokio::task::yield_now().await;
            }
            bytes = rest;
        }
    }

    /// Waits until the client has closed its end, which it must do before it dials again.
    async fn client_closes(&mut self, mut tcp: TcpStream) {
        let accepted = tokio::select! {
            () = within(closed(&mut tcp)) => return,
            accepted = self.listener.accept() => accepted,
        };
        // tokio may know an older state of one socket. The system knows the current one.
        assert!(is_closed(tcp.into_std().unwrap()), "a second connection while the first is open");
        self.early = Some(accepted.unwrap().0);
    }

    /// Checks that the request is the next attempt, and resumes where the client can have been.
    fn check(&mut self, request: &str) {
        let attempt = self.report.connections;
        assert_eq!(header(request, "authorization"), Some(attempt.to_string()), "one connection for each attempt");
        let resumed = header(request, "last-event-id").map_or(0, |id| id.parse().unwrap());
        assert!(resumed >= self.resumed, "{resumed} after {}: back", self.resumed);
        assert!(resumed <= self.complete, "{resumed} after {}: never sent", self.complete);
        self.resumed = resumed;
        if let Some(answer) = self.before.take() {
            self.check_outcome(&answer, attempt - 1);
        }
    }

    /// Checks that the client classified the previous answer correctly, and read all of it.
    fn check_outcome(&mut self, answer: &Answer, attempt: u64) {
        let told = self.tale.attempt(attempt);
        let context = format!("attempt {attempt}, then resumed after {}: {told:?}, {answer:?}", self.resumed);
        let mut is_exact = answer.ending == Ending::Close;
        match told.outcome.expect("every attempt has an outcome") {
            Outcome::Refused(status) => {
                assert_eq!((answer.status, told.is_second), (Some(status.as_u16()), false), "{context}");
            }
            Outcome::Failed(failed) if answer.kinds.contains(&failed.kind) => {
                assert!(answer.status != Some(401) || told.is_second, "{context}");
                assert_eq!(failed.status.map(|status| status.as_u16()), answer.status, "{context}");
                assert_eq!(failed.retry_after, answer.retry_after, "{context}");
                self.check_waits(&failed, &context);
            }
            // On a busy machine the client's timeouts may fire early.
            Outcome::Failed(failed) => {
                assert!(matches!(failed.kind, ErrorKind::IdleTimeout | ErrorKind::ResponseTimeout), "{context}");
                self.report.count("timed out early", 1);
                self.check_waits(&failed, &context);
                is_exact = false;
            }
        }
        if is_exact {
            assert_eq!(self.resumed, answer.complete, "{context}");
        }
    }

    fn check_waits(&self, told: &Told, context: &str) {
        let in_force = (1..=self.resumed).rev().find_map(|number| Nature::of(self.seed, number).reconnection_time());
        // A `retry` counts at the end of its line, so an unfinished event can have set it.
        let half = Nature::of(self.seed, self.resumed + 1).reconnection_time();
        let was_open = matches!(told.kind, ErrorKind::EndOfStream | ErrorKind::Body | ErrorKind::IdleTimeout);
        assert_eq!(told.was_open, was_open, "{context}");
        let time = told.reconnection_time;
        assert!(time == in_force.unwrap_or(SOON) || Some(time) == half, "{in_force:?} or {half:?}: {context}");
        let (floor, ceiling) = (told.retry_after.unwrap_or(Duration::ZERO), time.max(CEILING));
        match told.suggestion {
            Decision::RetryAfter(delay) => {
                assert!(delay >= time.max(floor) && delay <= ceiling.max(floor) + ceiling / 2, "{context}");
            }
            _ => assert_eq!(told.status.map(|status| status.as_u16()), Some(401), "{context}"),
        }
    }
}

pub(crate) async fn closed(tcp: &mut TcpStream) {
    let mut buffer = [0; 1024];
    while let Ok(1..) = tcp.read(&mut buffer).await {}
}

fn is_closed(mut tcp: std::net::TcpStream) -> bool {
    let mut buffer = [0; 1024];
    loop {
        match tcp.read(&mut buffer) {
            Ok(1..) => {}
            Ok(0) => return true,
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

async fn read_head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(tcp.read_u8()).await.expect("a request"));
    }
    String::from_utf8(head).unwrap()
}
