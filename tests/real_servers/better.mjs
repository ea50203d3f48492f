// A pub/sub server for one test: better-sse, over HTTP/1.1, over HTTP/2 in clear and nothing else,
// or over TLS, where either is chosen in the handshake. Arguments: `1`, `2` or `tls`, and the
// folder of the packages; for TLS, a certificate and its key are in the environment, in PEM. Prints
// two ports: POST /publish appends an event (its type in the X-EventSource-Event header) on the
// first, GET /subscribe streams them on the second.

import http from "node:http";
import http2 from "node:http2";
import { pathToFileURL } from "node:url";

const [version, packages] = process.argv.slice(2);
const { createSession } = await import(pathToFileURL(`${packages}/better-sse/build/index.mjs`).href);

const log = []; // [data, type]; the one at index n has the id n + 1
const sessions = new Set();

const push = (session, [data, type], index) => session.push(data, type, String(index + 1));

const publisher = http.createServer(async (request, response) => {
  request.setEncoding("utf8");
  let text = "";
  for await (const chunk of request) text += chunk;
  log.push([text, request.headers["x-eventsource-event"]]);
  for (const session of sessions) push(session, log.at(-1), log.length - 1);
  response.writeHead(202, { "Content-Length": 0 }).end();
});

// The library leaves line breaks to the caller's serializer.
const lines = (text) => text.replaceAll("\n", "\ndata:");

async function subscribe(request, response) {
  const session = await createSession(request, response, { serializer: lines, retry: null });
  const next = Number(session.lastId || 0);
  log.slice(next).forEach((event, index) => push(session, event, next + index));
  sessions.add(session);
  session.on("disconnected", () => sessions.delete(session));
}

const { CERTIFICATE: cert, KEY: key } = process.env;
const server = {
  1: () => http.createServer(subscribe),
  2: () => http2.createServer(subscribe),
  tls: () => http2.createSecureServer({ cert, key, allowHTTP1: true }, subscribe),
}[version]();
publisher.listen(0, "127.0.0.1", () =>
  server.listen(0, "127.0.0.1", () => console.log(publisher.address().port, server.address().port)));

// Standard input ends when the test does, however it ends.
process.stdin.resume().on("end", () => process.exit());
