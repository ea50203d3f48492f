//! [`ServerRun`]: the connections of a server, and how far their scripts were followed.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::sync::watch;

use super::feed::MAX_REQUESTS;
use super::log::{Log, LogServer, Turn};
use super::script::{Opening, Script};

/// What a [`Server`](super::Server) does: one [`Script`] for each connection, in order; the scripts
/// that a [function](Self::each) makes; or a [`Log`].
#[derive(Debug)]
pub struct Plan(Kind);

#[derive(Debug)]
enum Kind {
    Scripts(VecDeque<Script>),
    Each(MakeScript),
    Log(LogServer),
}

/// A function that makes a script for each connection.
#[derive(Clone)]
pub(super) struct MakeScript(Arc<FromConnection>);

/// From the connection's number and its request.
type FromConnection = dyn Fn(usize, &Request<Bytes>) -> Script + Send + Sync;

impl MakeScript {
    pub(super) fn script(&self, number: usize, request: &Request<Bytes>) -> Script {
        self.0(number, request)
    }
}

impl Plan {
    /// Takes any number of connections: for each, `script` makes the script from the connection's
    /// number, from 1, and its request.
    ///
    /// For servers whose answers depend on the request, or that answer each request alike. Each
    /// script has to be followed to its end, as always, but the test does not fail for want of
    /// connections, nor if a client leaves without a request, or sends what is none: a handshake,
    /// say. The server says nothing to such a client. A script that [refuses](Script::refuse)
    /// resets the connection, since the request was read before.
    ///
    /// If `script` panics, the test fails.
    ///
    /// # Examples
    ///
    /// A server that is busy at first:
    ///
    /// ```
    /// use http::StatusCode;
    /// use sseclient::Filter;
    /// use sseclient::testing::{Plan, Script, Server};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), sseclient::Error> {
    /// let server = Server::in_memory(Plan::each(|number, _request| match number {
    ///     ..=10 => Script::answer(StatusCode::SERVICE_UNAVAILABLE),
    ///     _ => Script::open().event(("price", "100")),
    /// }));
    /// let handle = server.client().stream(server.url()).build()?;
    /// let mut prices = handle.subscribe("price").into_events();
    /// handle.connect();
    /// assert_eq!(prices.recv().await.unwrap().data(), "100");
    /// assert_eq!(server.requests().len(), 11);
    /// # Ok(())
    /// # }
    /// ```
    pub fn each(script: impl Fn(usize, &Request<Bytes>) -> Script + Send + Sync + 'static) -> Self {
        Self(Kind::Each(MakeScript(Arc::new(script))))
    }
}

impl From<Script> for Plan {
    fn from(script: Script) -> Self {
        [script].into()
    }
}

impl<const N: usize> From<[Script; N]> for Plan {
    fn from(scripts: [Script; N]) -> Self {
        Self(Kind::Scripts(scripts.into()))
    }
}

impl From<Vec<Script>> for Plan {
    fn from(scripts: Vec<Script>) -> Self {
        Self(Kind::Scripts(scripts.into()))
    }
}

impl From<Log> for Plan {
    fn from(log: Log) -> Self {
        Self(Kind::Log(LogServer::new(log)))
    }
}

/// What one connection gets.
pub(super) enum Assigned {
    Refused,
    Script(Script),
    /// The script that this makes of its request.
    Each(MakeScript),
    /// What the log does for its request.
    Turn(Turn),
    /// There is no script for it.
    Nothing,
}

/// The connections of a server.
pub(super) struct ServerRun {
    plan: Mutex<Plan>,
    course: watch::Sender<RunState>,
}

/// How far the scripts were followed.
#[derive(Default)]
struct RunState {
    connections: usize,
    /// Scripts without a connection.
    left: usize,
    /// There is a log, and no client has got everything.
    log_is_left: bool,
    requests: Vec<Request<Bytes>>,
    /// What the connections that are being served have come to, by their number.
    served: BTreeMap<usize, String>,
    failures: Vec<String>,
}

impl ServerRun {
    pub(super) fn new(plan: Plan) -> Self {
        let (left, log_is_left) = match &plan.0 {
            Kind::Scripts(scripts) => (scripts.len(), false),
            Kind::Each(_) => (0, false),
            Kind::Log(_) => (0, true),
        };
        let course = watch::Sender::new(RunState { left, log_is_left, ..RunState::default() });
        Self { plan: Mutex::new(plan), course }
    }

    /// Counts a connection, and returns its number, from 1, and what it gets.
    pub(super) fn begin(&self) -> (usize, Assigned) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let (assigned, is_script) = match &mut plan.0 {
            Kind::Log(log) => (Assigned::Turn(log.next_turn()), false),
            Kind::Each(make) => (Assigned::Each(make.clone()), false),
            Kind::Scripts(scripts) => match scripts.pop_front() {
                Some(script) => (Assigned::Script(script), true),
                None => (Assigned::Nothing, false),
            },
        };
        let needs_request = !matches!(assigned, Assigned::Each(_));
        let is_refused = match &assigned {
            Assigned::Turn(turn) => turn.is_refused(),
            Assigned::Script(script) => matches!(script.opening, Opening::Refuse),
            _ => false,
        };
        let mut number = 0;
        self.course.send_modify(|course| {
            course.connections += 1;
            number = course.connections;
            course.left -= usize::from(is_script);
            if needs_request && !is_refused {
                course.served.insert(number, "to read the request".to_owned());
            }
        });
        (number, if is_refused { Assigned::Refused } else { assigned })
    }

    /// Returns what a log does for this request.
    pub(super) fn script(&self, turn: Turn, request: &Request<Bytes>) -> Result<Script, String> {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let Kind::Log(log) = &mut plan.0 else { return Err("this server has no log".to_owned()) };
        Ok(log.script(turn, request)?.unwrap_or_else(|| {
            self.course.send_modify(|course| course.log_is_left = false);
            Script::answer(StatusCode::NO_CONTENT)
        }))
    }

    pub(super) fn note_request(&self, request: Request<Bytes>) {
        self.course.send_modify(|course| {
            if course.requests.len() < MAX_REQUESTS {
                course.requests.push(request);
            }
        });
    }

    /// Notes what a connection has come to.
    pub(super) fn note(&self, number: usize, what: String) {
        self.course.send_modify(|course| drop(course.served.insert(number, what)));
    }

    /// Notes that a script was followed to its end.
    pub(super) fn followed(&self, number: usize) {
        self.course.send_modify(|course| drop(course.served.remove(&number)));
    }

    /// Notes that a script could not be followed.
    pub(super) fn failed(&self, number: usize, why: &str) {
        self.course.send_modify(|course| {
            let what = course.served.remove(&number).unwrap_or_default();
            // The first ones tell. A client without waits fails without end.
            if course.failures.len() < MAX_FAILURES {
                course.failures.push(format!("connection {number} had {what}: {why}"));
            }
        });
    }

    pub(super) fn requests(&self) -> Vec<Request<Bytes>> {
        self.course.borrow().requests.clone()
    }

    /// Waits until nothing is left to do, or something has failed.
    pub(super) async fn settled(&self) {
        let mut course = self.course.subscribe();
        // The sender lives as long as `self`.
        let _ = course.wait_for(|course| !course.failures.is_empty() || course.complaints().is_empty()).await;
    }

    /// Panics unless every script was followed to its end.
    #[track_caller]
    pub(super) fn check(&self) {
        let complaints = self.course.borrow().complaints();
        assert!(complaints.is_empty(), "the script was not followed: {}", complaints.join("; "));
    }
}

/// Maximum number of failures that a test shows.
const MAX_FAILURES: usize = 10;

impl RunState {
    fn complaints(&self) -> Vec<String> {
        let mut complaints = self.failures.clone();
        complaints.extend(self.served.iter().map(|(number, what)| format!("connection {number} has yet {what}")));
        if self.left > 0 {
            let (left, connections) = (self.left, self.connections);
            complaints.push(format!("{left} scripts were not begun after {connections} connections"));
        }
        if self.log_is_left {
            let requests = self.requests.len();
            complaints.push(format!("none of {requests} requests asked to resume after the last event of the log"));
        }
        complaints
    }
}

impl fmt::Debug for MakeScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MakeScript")
    }
}
