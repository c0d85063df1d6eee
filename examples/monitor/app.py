"""The app: the page, the live feeds, and what is in rooms of its own put together."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from quart import Quart, Response, abort, request

from quart_adapter import RxStream, last_event_id, sse
from rxstream.metrics import StreamMetrics

from .histories import histories
from .lab import Lab
from .latency import Latency
from .live import as_event, follow, page_feed
from .service import Service

GIB = 1 << 30


def create_app(*, database: str | Path, interval: float = 1.0, keep: int = 21_600, max_import: int = 8 * GIB) -> Quart:
    """Makes the app. It samples while it is served.

    Args:
        database: The SQLite file; it is made when it is not there, and its history goes on when it is. Imported
            histories are in a folder beside it.
        interval: Seconds from one sample to the next.
        keep: How many samples are kept; six hours of seconds by default.
        max_import: Bytes of a file that is imported.
    """
    app = Quart(__name__)
    lab = Lab()
    latency = Latency(Path(f"{database}.latency"))
    streams = RxStream(app, metrics=StreamMetrics())
    service = Service(streams, lab, latency, database=database, interval=interval, keep=keep, max_import=max_import)
    app.while_serving(service.running)
    app.before_request(only_from_this_page)
    app.after_request(nothing_from_elsewhere)
    app.register_blueprint(histories(service))
    app.register_blueprint(lab.routes())
    app.register_blueprint(latency.routes())

    @app.get("/")
    async def index() -> Response:
        return await app.send_static_file("index.html")

    @app.get("/events")
    async def events() -> Response:
        # Two buffers, for two needs: the history waits for the client; the live samples, behind it in `follow`,
        # do not wait: a slow client loses the oldest ones, and delays neither the sampler nor other clients.
        samples = follow(service.store, service.samples, after=_resume_at())
        return await sse(samples, serialize=as_event, buffer={"capacity": 16, "strategy": "suspend"}, retry=2000)

    @app.get("/page")
    async def page() -> Response:
        everything = page_feed(service.store, service.samples, service.news, after=_resume_at())
        return await sse(everything, buffer={"capacity": 16, "strategy": "suspend"}, retry=2000)

    return app


async def only_from_this_page() -> None:
    """Refuses what a page from elsewhere asks to be changed: it can send a form to any address."""
    origin = request.headers.get("Origin")
    if request.method not in ("GET", "HEAD", "OPTIONS") and origin is not None:
        if urlsplit(origin).netloc != request.host:
            abort(403, "a page from elsewhere may not change anything here")


async def nothing_from_elsewhere(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = "default-src 'self'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _resume_at() -> int:
    """Where the client left off: its browser says so when it reconnects, the page says so when it has to start anew."""
    text = last_event_id(request) or request.args.get("after", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
