"""The ASGI side of a request: its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable
    from quart.wrappers import Request

__all__ = ["cancelling"]


def cancelling(connection_class: type[Any]) -> type[Any]:
    """A connection class whose tasks end with the request.

    Quart 0.22 waits for its two tasks in a way that does not cancel them when the server cancels the request: a stream
    would run on beside `after_serving`, or for ever.
    """

    class Connection(connection_class):  # type: ignore[misc]
        async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            self._tasks: list[asyncio.Task[Any]] = []
            try:
                await super().__call__(receive, send)
            finally:
                pending = [task for task in self._tasks if not task.done()]
                for task in pending:
                    task.cancel()
                if pending:
                    await asyncio.wait(pending)

        async def handle_request(self, request: Request, send: ASGISendCallable) -> None:
            self._track()
            await super().handle_request(request, send)

        async def handle_messages(self, request: Request, receive: ASGIReceiveCallable, *tasks: Any) -> None:
            self._track()
            await super().handle_messages(request, receive, *tasks)

        def _track(self) -> None:
            if (task := asyncio.current_task()) is not None:
                self._tasks.append(task)

    return Connection
