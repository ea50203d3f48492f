//! [`serve`]: follows a script on one connection.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Request};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::task::yield_now;

use crate::error::panics::catch;

use super::requests::last_event_id;
use super::run::{Assigned, ServerRun};
use super::script::{AwaitedByScript, Expectation, Opening, Script, ScriptStep};
use super::socket::Socket;

/// Maximum size of a request, with its body.
const MAX_REQUEST: usize = 16 * 1024 * 1024;

/// Maximum number of headers of a request: what the client can send, and more.
const MAX_HEADERS: usize = 2_000;

/// Serves one connection, and notes how that went.
pub(super) async fn serve(run: Arc<ServerRun>, number: usize, assigned: Assigned, socket: Socket) {
    if let Assigned::Refused = assigned {
        return socket.reset();
    }
    let mut connection = ServedConnection { run, number, socket };
    match connection.answer(assigned).await {
        Ok(Departure::Stay) => connection.client_leaves().await,
        Ok(Departure::Reset) => {
            connection.socket.reset();
            connection.run.followed(number);
        }
        Err(why) => connection.run.failed(number, &why),
    }
}

/// How the server leaves when the script is over.
enum Departure {
    /// It lets the client close first.
    Stay,
    Reset,
}

struct ServedConnection {
    run: Arc<ServerRun>,
    number: usize,
    socket: Socket,
}

impl ServedConnection {
    /// Reads the request, and follows the script that it gets.
    async fn answer(&mut self, assigned: Assigned) -> Result<Departure, String> {
        let request = match self.read_request().await {
            Ok(request) => request,
            Err(_) if matches!(assigned, Assigned::Each(_)) => return Ok(Departure::Stay),
            Err(error) => return Err(format!("the client sent none: {error}")),
        };
        self.run.note_request(request.clone());
        let script = match assigned {
            Assigned::Script(script) => script,
            Assigned::Turn(turn) => self.run.script(turn, &request)?,
            Assigned::Each(make) => {
                self.run.note(self.number, "to get its script".to_owned());
                catch(|| make.script(self.number, &request)).map_err(|panicked| panicked.message("it"))?
            }
            Assigned::Refused | Assigned::Nothing => {
                let id = last_event_id(&request).unwrap_or_default();
                self.run.note(self.number, "no script".to_owned());
                return Err(format!("it asked {} {} after the ID {id:?}", request.method(), request.uri()));
            }
        };
        self.follow(script, &request).await
    }

    async fn follow(&mut self, script: Script, request: &Request<Bytes>) -> Result<Departure, String> {
        let Script { opening, expectations, steps } = script;
        for (Expectation(check), place) in expectations.into_iter().zip(1..) {
            self.run.note(self.number, format!("to meet expectation {place}"));
            catch(|| check(request)).map_err(|panicked| panicked.message("it"))?;
        }
        if let Opening::Refuse = opening {
            return Ok(Departure::Reset);
        }
        let length = steps.iter().map(|step| if let ScriptStep::Write(bytes) = step { bytes.len() } else { 0 }).sum();
        self.run.note(self.number, "to send the head".to_owned());
        self.send(&opening.head(length)).await?;
        let total = steps.len();
        for (step, place) in steps.into_iter().zip(1..) {
            self.run.note(self.number, format!("step {place} of {total}, {step}"));
            if place > 1 {
                // Lets the client read what was sent before.
                yield_now().await;
            }
            if let Some(departure) = self.take(step, &opening).await? {
                return Ok(departure);
            }
        }
        self.run.followed(self.number);
        Ok(Departure::Stay)
    }

    /// Takes a step, and returns how to leave if it is the last one.
    async fn take(&mut self, step: ScriptStep, opening: &Opening) -> Result<Option<Departure>, String> {
        match step {
            ScriptStep::Write(bytes) => self.send(&opening.framed(&bytes)).await?,
            ScriptStep::Stall(time) => {
                // A later step that sends notices a client that has left.
                let _ = tokio::time::timeout(time, self.client_leaves()).await;
            }
            ScriptStep::WaitFor(AwaitedByScript(future)) => tokio::select! {
                () = future => {}
                () = self.client_leaves() => {}
            },
            // A client that has left already needs no end.
            ScriptStep::End => {
                let _ = self.send(opening.last_bytes()).await;
                return Ok(Some(self.close().await));
            }
            ScriptStep::HangUp => return Ok(Some(self.close().await)),
            ScriptStep::Reset => return Ok(Some(Departure::Reset)),
        }
        Ok(None)
    }

    /// Sends bytes to a client that has not left.
    async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        if bytes.is_empty() {
            return Ok(());
        }
        // The system takes bytes for a client that has left.
        if self.has_left().await || self.socket.write_all(bytes).await.is_err() {
            return Err("the client had left".to_owned());
        }
        Ok(())
    }

    /// Closes the server's direction.
    async fn close(&mut self) -> Departure {
        // A client that has left has closed both.
        let _ = self.socket.shutdown().await;
        self.run.followed(self.number);
        Departure::Stay
    }

    /// Waits until the client has closed its direction.
    async fn client_leaves(&mut self) {
        let mut rest = [0; 1024];
        while let Ok(1..) = self.socket.read(&mut rest).await {}
    }

    /// Returns true if the client has closed its direction.
    async fn has_left(&mut self) -> bool {
        poll_fn(|cx| {
            let mut rest = [0; 1024];
            let mut buffer = ReadBuf::new(&mut rest);
            Poll::Ready(match Pin::new(&mut self.socket).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => buffer.filled().is_empty(),
                Poll::Ready(Err(_)) => true,
                Poll::Pending => false,
            })
        })
        .await
    }

    async fn read_request(&mut self) -> io::Result<Request<Bytes>> {
        let mut bytes = BytesMut::new();
        loop {
            if let Some((head, body_length, request)) = parse(&bytes)? {
                if bytes.len() >= head + body_length {
                    return Ok(request.map(|()| bytes.split_off(head).freeze()));
                }
            }
            if bytes.len() > MAX_REQUEST {
                return Err(io::Error::other("its request is too large"));
            }
            if self.socket.read_buf(&mut bytes).await? == 0 {
                return Err(io::Error::other("it closed the connection"));
            }
        }
    }
}

/// Returns the length of a request's head and of its body, and the request; `None` if more bytes of
/// the head are to come.
fn parse(bytes: &[u8]) -> io::Result<Option<(usize, usize, Request<()>)>> {
    let mut headers = vec![httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(bytes).map_err(io::Error::other)? else { return Ok(None) };
    let mut request = Request::builder().method(head.method.unwrap_or_default()).uri(head.path.unwrap_or_default());
    for header in &*head.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(io::Error::other)?;
        request = request.header(name, HeaderValue::from_bytes(header.value).map_err(io::Error::other)?);
    }
    let request = request.body(()).map_err(io::Error::other)?;
    let body =
        request.headers().get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    Ok(Some((length, body.unwrap_or(0), request)))
}
