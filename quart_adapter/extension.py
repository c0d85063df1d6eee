"""What an app sets up once: deadlines, heartbeat, the end of streams when the server stops, their count."""

from __future__ import annotations

import asyncio
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

from quart import Quart

from quart_adapter import hypercorn_fixes
from quart_adapter._signals import Ear
from quart_adapter.bounded_body import bounded_request
from quart_adapter.connection import bounded
from quart_adapter.exposition import expose
from quart_adapter.info import StreamInfo
from quart_adapter.limits import BodyLimits
from rxstream.metrics import StreamMetrics

if TYPE_CHECKING:
    from quart_adapter.body import StreamBody

__all__ = ["RxStream"]


class RxStream:
    """The settings and the live streams of an app.

    An app without it streams as well, with the defaults; but nobody ends its streams when the server stops.

    Args:
        app: The app to set up; or none, and `init_app` later.
        heartbeat: Seconds of silence after which an event stream sends a comment; None for never.
        send_timeout: Seconds that a client may take nothing before it is cut off; None for ever.
        shutdown_grace: Seconds that a download or export may still take when the server stops, before it is cut off.
            Event streams end at once.
        body: What request bodies may take: `BodyLimits(buffer=..., idle_timeout=..., ...)`.
        metrics: Where the app's streams are counted; None: nowhere, and it costs nothing.
        metrics_path: The route under which they can be scraped, open to all that reach it; None for no such route.
        patch_hypercorn: Mends three faults of Hypercorn 0.18 by wrapping functions of it, for the whole process: a
            failed HTTP/2 response is reset instead of left hanging, an HTTP/2 client that does not read holds the
            stream up instead of filling the memory, and worker processes tell the app that they stop, also those that
            Hypercorn kills once one of them has stopped.

    Raises:
        TypeError, ValueError: A number of seconds is none, or `body` or `metrics` is something else.

    At SIGTERM and SIGINT the streams end before the server waits for them; the handlers that stood there before are
    called afterwards. This needs the main thread. Hypercorn's worker processes get no signals: run it with `-w 0`,
    set `patch_hypercorn`, or call `stop()` from wherever the app learns of its end.

    Example:
        >>> app = Quart(__name__)
        >>> streams = RxStream(app, heartbeat=10)
        >>> streams.live
        0
    """

    def __init__(
        self,
        app: Quart | None = None,
        *,
        heartbeat: float | None = 15.0,
        send_timeout: float | None = 60.0,
        shutdown_grace: float = 1.0,
        body: BodyLimits | None = None,
        metrics: StreamMetrics | None = None,
        metrics_path: str | None = "/metrics",
        patch_hypercorn: bool = False,
    ) -> None:
        if not isinstance(body, BodyLimits | None):
            raise TypeError(f"body must be BodyLimits, not {body!r}")
        if not isinstance(metrics, StreamMetrics | None):
            raise TypeError(f"metrics must be a StreamMetrics, not {metrics!r}")
        self.heartbeat = seconds("heartbeat", heartbeat)
        self.send_timeout = seconds("send_timeout", send_timeout)
        self.shutdown_grace = seconds("shutdown_grace", shutdown_grace) or 0.0
        self.body = body or BodyLimits()
        self.metrics = metrics
        self._metrics_path = metrics_path
        self._patch_hypercorn = patch_hypercorn
        self._live: WeakSet[StreamBody] = WeakSet()  # weak: a response that is never sent ends by being let go
        self._app_name: str | None = None
        self._stopped = False
        self._ears: list[Ear] = []
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Quart) -> None:
        """Sets an app up; once, before it serves."""
        if "rxstream" in app.extensions:
            raise RuntimeError("this app has an RxStream already")
        if self._app_name is not None:
            raise RuntimeError(f"this RxStream serves the app {self._app_name!r}; make one for each app")
        self._app_name = app.name
        app.extensions["rxstream"] = self
        app.request_class = bounded_request(app.request_class, self.body)
        app.asgi_http_class = bounded(app.asgi_http_class)
        app.before_serving(self._start)
        app.after_serving(self._end)
        if self.metrics is not None and self.metrics.can_render and self._metrics_path is not None:
            app.add_url_rule(self._metrics_path, "rxstream_metrics", partial(expose, self.metrics))
        if self._patch_hypercorn:
            hypercorn_fixes.apply()

    @classmethod
    def of(cls, app: Quart) -> RxStream:
        """The app's `RxStream`, with the defaults where it has set none up."""
        streams = app.extensions.get("rxstream")
        if streams is None:
            streams = app.extensions["rxstream"] = cls()
        assert isinstance(streams, cls)
        return streams

    @property
    def live(self) -> int:
        """The number of streams that are open now."""
        return len(self._live)

    def streams(self) -> list[StreamInfo]:
        """What the streams that are open now are at, those first that have been open longest.

        Example:
            >>> [(stream.name, stream.items, stream.statistics.dropped) for stream in RxStream.of(app).streams()]
        """
        return sorted((body.info() for body in list(self._live)), key=lambda info: info.seconds, reverse=True)

    def stop(self) -> None:
        """Ends all streams: event streams at once, others after `shutdown_grace`. On the app's event loop."""
        self._stopped = True
        for body in list(self._live):
            body.stop(self.shutdown_grace)

    # -- for the bodies

    def opened(self, body: StreamBody) -> None:
        """A stream begins."""
        self._live.add(body)
        if self._stopped:
            body.stop(self.shutdown_grace)

    def closed(self, body: StreamBody) -> None:
        """A stream is over."""
        self._live.discard(body)

    def has(self, body: StreamBody) -> bool:
        """Whether a stream is open."""
        return body in self._live

    # -- the server's start and stop

    async def _start(self) -> None:
        self._stopped = False
        loop = asyncio.get_running_loop()
        hypercorn_fixes.on_shutdown(self.stop)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._ears.append(Ear(number, loop, self.stop))

    async def _end(self) -> None:
        hypercorn_fixes.forget(self.stop)
        while self._ears:
            self._ears.pop().close()
        if self.metrics is not None:
            await asyncio.to_thread(self.metrics.last_report)


def seconds(name: str, value: float | None) -> float | None:
    """Checks a number of seconds; None stands for no limit."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be a positive number of seconds or None, not {value}")
    return float(value)
