// A pub/sub server for one test, on Node's own http module, with the two endpoints of nginx.conf:
// POST /publish appends an event (its type in the X-EventSource-Event header), GET /subscribe
// streams them, from the start or from what follows Last-Event-ID. Prints its port.

import http from "node:http";

const log = []; // every event as it goes over the wire; the one at index n has the id n + 1
const subscribers = new Set();

function encode(id, type, text) {
  const data = text.split("\n").map((line) => `data: ${line}\n`).join("");
  return `id: ${id}\nevent: ${type}\n${data}\n`;
}

async function publish(request, response) {
  request.setEncoding("utf8");
  let text = "";
  for await (const chunk of request) text += chunk;
  log.push(encode(log.length + 1, request.headers["x-eventsource-event"], text));
  for (const subscriber of subscribers) subscriber.write(log.at(-1));
  response.writeHead(202, { "Content-Length": 0 }).end();
}

function subscribe(request, response) {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  response.flushHeaders();
  // One write per event, in the replay too: each becomes an HTTP chunk of its own.
  const next = Number(request.headers["last-event-id"] ?? 0);
  for (const event of log.slice(next)) response.write(event);
  subscribers.add(response);
  response.on("close", () => subscribers.delete(response));
}

const server = http.createServer((request, response) => {
  const route = `${request.method} ${request.url}`;
  if (route === "POST /publish") publish(request, response);
  else if (route === "GET /subscribe") subscribe(request, response);
  else response.writeHead(404).end();
});

server.listen(0, "127.0.0.1", () => console.log(server.address().port));

// Standard input ends when the test does, however it ends.
process.stdin.resume().on("end", () => process.exit());
