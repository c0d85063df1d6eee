"""The ASGI side of a request: its body comes in as it is used, and its tasks end with it."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from quart_adapter.bounded_body import BoundedBody
from quart_adapter.peer import Peer

if TYPE_CHECKING:
    from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable
    from quart.wrappers import Request

__all__ = ["bounded", "request_task"]

_request_task: ContextVar[ref[asyncio.Task[Any]] | None] = ContextVar("request_task", default=None)


def request_task() -> asyncio.Task[Any] | None:
    """The task that answers the current request, also as seen from tasks and threads that its handler makes."""
    # Weak, since a source's context outlives the request, and must not keep it and so itself alive.
    task = _request_task.get()
    return None if task is None else task()


WITH_BODY: Final = frozenset({"PATCH", "POST", "PUT"})
"""Methods whose requests have a body, whether it has a length or not."""

SHORT: Final = 256 * 1024
"""Bytes of a body that are waited for before an error is answered, so that the connection can stay open."""

LINGER_BYTES: Final = 64 * 1024 * 1024
LINGER_SECONDS: Final = 2.0
"""How much of a body is read on and dropped once an early answer is out: a client that is still sending when the server
closes sees a reset in place of the answer. Over HTTP/2 Hypercorn ends the whole connection for it."""


def bounded(connection_class: type[Any]) -> type[Any]:
    """A connection class that reads a `BoundedBody` as it has room, and whose tasks end with the request.

    Quart 0.22 waits for its two tasks in a way that does not cancel them when the server cancels the request: a stream
    would run on beside `after_serving`, or for ever.
    """

    class Connection(connection_class):  # type: ignore[misc]
        __slots__ = ("_disconnected", "_handler", "_reader")  # a dict that grows after `__init__` weighs 270 bytes

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self._handler: asyncio.Task[Any] | None = None
            self._reader: asyncio.Task[Any] | None = None

        async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            try:
                await super().__call__(receive, send)
            finally:
                pending = {task for task in (self._handler, self._reader) if task is not None and not task.done()}
                for task in pending:
                    task.cancel()
                if pending:
                    await asyncio.wait(pending)

        async def handle_messages(self, request: Request, receive: ASGIReceiveCallable, *tasks: Any) -> None:
            self._reader = asyncio.current_task()
            body = request.body
            if not isinstance(body, BoundedBody):  # a request class that was set after ours
                await super().handle_messages(request, receive, *tasks)
                return
            body.find_peer = self._find_peer if self.scope.get("client") else None  # none on a Unix socket
            body.on_gone = self._cancel_handler
            if request.method in WITH_BODY:
                body.begin()
            while True:
                message: Any = await receive()
                if message["type"] == "http.request":
                    await body.put(message.get("body", b""))
                    if not message.get("more_body", False):
                        body.set_complete()
                elif message["type"] == "http.disconnect":
                    body.disconnect()
                    self._disconnected = True  # as Quart 0.23 notes it
                    for task in tasks:  # Quart 0.23; 0.22 does it itself when this returns
                        task.cancel()
                    return

        async def handle_request(self, request: Request, send: ASGISendCallable) -> None:
            self._handler = asyncio.current_task()
            _request_task.set(None if self._handler is None else ref(self._handler))
            body = request.body
            if not isinstance(body, BoundedBody):
                await super().handle_request(request, send)
                return

            async def watched(message: Any) -> None:
                if message["type"] == "http.response.start":
                    if message["status"] >= 400 and not body.whole:
                        await _refuse(body, message, self.scope["http_version"])
                elif message["type"] == "http.response.body":
                    body.response_started()  # not at the start: the response's generator may be what reads the body
                    if not message.get("more_body", False):
                        # Before the last message is sent: Hypercorn's `send` of it waits for a place in the queue of
                        # what we have not received.
                        body.discard()
                        await body.read_on(LINGER_BYTES, LINGER_SECONDS)
                await send(message)

            try:
                await super().handle_request(request, watched)
            finally:
                body.discard()

        def _find_peer(self) -> Peer | None:
            return Peer.of(self.scope.get("client"), self.scope.get("server"))

        def _cancel_handler(self) -> None:
            if self._handler is not None:
                self._handler.cancel()

    return Connection


async def _refuse(body: BoundedBody, message: Any, http_version: str) -> None:
    """An error is answered while the client still sends: a short rest is waited for, else the connection is closed."""
    if message["status"] != 408 and (body.expected or 0) - body.received <= SHORT:
        body.discard()
        await body.read_on(SHORT, LINGER_SECONDS)
    if not body.whole and http_version.startswith("1"):
        headers = [pair for pair in message["headers"] if pair[0].lower() != b"connection"]
        message["headers"] = [*headers, (b"connection", b"close")]
