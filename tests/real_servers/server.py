"""A pub/sub server for one test: sse-starlette on uvicorn.

POST /publish appends an event (its type in the X-EventSource-Event header), GET /subscribe streams them, from the start
or from what follows Last-Event-ID. Prints its port.
"""

import asyncio
import os
import socket
import sys
import threading

import uvicorn
from sse_starlette.sse import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

log = []  # (type, data); the one at index n has the id n + 1
grown = asyncio.Condition()


async def publish(request):
    async with grown:
        log.append((request.headers["x-eventsource-event"], (await request.body()).decode()))
        grown.notify_all()
    return Response(status_code=202)


async def events(index):
    while True:
        async with grown:
            await grown.wait_for(lambda: len(log) > index)
        event, data = log[index]
        index += 1
        yield ServerSentEvent(data=data, event=event, id=str(index))


async def subscribe(request):
    return EventSourceResponse(events(int(request.headers.get("last-event-id", 0))))


def end_with_the_test():
    sys.stdin.read()
    os._exit(0)


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(128)
print(listener.getsockname()[1], flush=True)
threading.Thread(target=end_with_the_test, daemon=True).start()
app = Starlette(routes=[Route("/publish", publish, methods=["POST"]), Route("/subscribe", subscribe)])
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
