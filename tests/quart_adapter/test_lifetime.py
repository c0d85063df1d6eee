"""How a response ends, in process: failures, clients that go or stall, a call that is cancelled, an app that stops."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import reactivex as rx
from quart import Quart, Response
from reactivex.subject import Subject
from werkzeug.exceptions import NotFound, ServiceUnavailable

from quart_adapter import StreamCutOff, response, sse
from quart_adapter.testing import BodyCutOff, Event, StreamClient, stream
from rxstream.errors import RxStreamError
from rxstream.formats import ServerSentEvent
from tests.quart_adapter.routes import ALL, live, make, served
from tests.rxstream.support import STRATEGIES, Source, until, until_now


@pytest.mark.parametrize("builder", ALL)
async def test_a_failure_at_once_is_the_handlers(builder: str) -> None:
    """An HTTP exception of the source is the status of the response."""
    source = Source(then=NotFound("no such rows"))
    client = served(make(builder, source))
    async with stream(client, "/") as s:
        assert s.status == 404
    assert (source.started, source.cleaned, live(client)) == (1, 1, 0)


@pytest.mark.parametrize("builder", ["response", "download", "export"])
async def test_a_failure_later_cuts_the_body_off(builder: str) -> None:
    """The items before it are there, the end of the body is not."""
    source = Source(b"1", b"2", then=RuntimeError("later"))
    async with stream(served(make(builder, source)), "/") as s:
        with pytest.raises(BodyCutOff) as caught:
            await s.body()
        assert isinstance(caught.value.__cause__, RuntimeError)
    assert source.cleaned == 1


async def test_a_failed_event_stream_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The client is told nothing of the failure, the log everything."""
    with caplog.at_level(logging.ERROR):
        async with stream(served(make("sse", Source("a", then=RuntimeError("secret")))), "/") as s:
            assert await s.events() == [Event("a"), Event("the stream failed", "error")]
    assert "secret" in caplog.text


@pytest.mark.parametrize(
    ("hook", "last"),
    [
        (lambda error: ServerSentEvent("x", event="e"), [Event("x", "e")]),
        (lambda error: f"{error}", [Event("secret", "error")]),
        (lambda error: None, []),
        (lambda error: 1 / 0, [Event("the stream failed", "error")]),
    ],
)
async def test_on_error(hook: Any, last: list[Event], caplog: pytest.LogCaptureFixture) -> None:
    """It makes the last event, or none; when it fails itself the client still gets the default."""
    async with stream(served(make("sse", Source("a", then=RuntimeError("secret")), on_error=hook)), "/") as s:
        assert await s.events() == [Event("a"), *last]


@pytest.mark.parametrize(("size", "chunks"), [(3, [b"abcd"]), (5, [b"ab", b"cd"]), (3, [b"ab", b"cd"])])
async def test_a_wrong_size_is_a_failure(size: int, chunks: list[bytes]) -> None:
    """Shorter or longer than announced: the body is never complete."""
    client = served(make("download", Source(*chunks), size=size))
    async with stream(client, "/") as s:
        if s.status == 200:
            assert s.headers["Content-Length"] == str(size)
            with pytest.raises(BodyCutOff) as caught:
                await s.body()
            assert "Content-Length" in str(caught.value.__cause__)
            assert s.received < size
    assert live(client) == 0


@pytest.mark.parametrize("builder", ALL)
@pytest.mark.parametrize("stalled", [True, False])
async def test_a_client_that_goes(builder: str, stalled: bool) -> None:
    """The source is cleaned up once, and the stream is not live any more."""
    source = Source(b"1", b"2", then="wait")
    client = served(make(builder, source))
    async with stream(client, "/", stalled=stalled) as s:
        assert live(client) == 1
        await s.disconnect()
        assert (source.started, source.cleaned, live(client)) == (1, 1, 0)


async def test_a_client_that_stalls_is_cut_off() -> None:
    """After `send_timeout`, from outside of the write; the error says so."""
    client = served(make("response", Source(b"1", then="wait")), send_timeout=0.05)
    async with stream(client, "/", stalled=True) as s:
        await s.closed()
        assert isinstance(s.failed, StreamCutOff)
        assert "the client took nothing for 0.05 s" in str(s.failed)


async def cancelled_call(client: Any, at: Callable[[StreamClient], Awaitable[object]]) -> None:
    """A request whose ASGI call the server cancels."""
    async with stream(client, "/", wait=False) as s:
        await at(s)
        s._call.cancel()
        await asyncio.wait([s._call])


@pytest.mark.parametrize("builder", ALL)
async def test_a_call_that_the_server_cancels(builder: str) -> None:
    """All tasks of the request end with it, and the source is cleaned up before the call is over."""
    source = Source(b"1", then="wait")
    client = served(make(builder, source))
    await cancelled_call(client, lambda s: s.started())
    assert (source.started, source.cleaned, live(client)) == (1, 1, 0)


async def test_cancelled_before_the_first_item() -> None:
    """The handler still waits for it."""
    source = Source(then="wait")
    client = served(make("response", source))

    await cancelled_call(client, lambda _: source.begun.wait())
    assert (source.started, source.cleaned, live(client)) == (1, 1, 0)


@pytest.mark.parametrize("builder", ALL)
async def test_a_response_that_is_never_sent(builder: str) -> None:
    """An `after_request` that raises drops the response; nothing of it is left running."""
    source = Source(b"1", then="wait")
    client = served(make(builder, source))

    @client.app.after_request  # type: ignore[untyped-decorator]
    async def fails(_: Response) -> Response:
        raise RuntimeError("after_request failed")

    async with stream(client, "/") as s:
        assert s.status == 500
    gc.collect()
    for _ in range(20):
        await asyncio.sleep(0)
    assert (source.started, source.cleaned, live(client)) == (1, 1, 0)


class _Collects:
    """Collects garbage at each item that is dropped: a buffer tells of that with its lock held."""

    def __init__(self) -> None:
        self.times = 0

    def dropped(self, item: object) -> None:
        self.times += 1
        gc.collect()

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


async def test_a_response_that_is_collected_within_its_buffers_lock() -> None:
    """Garbage is collected in the middle of anything: also on the thread that has the lock which the end takes."""
    app = served(make("sse", Source())).app
    source: Subject[str] = Subject()
    collects = _Collects()
    async with app.test_request_context("/"):
        answer: Any = await sse(source, buffer={"capacity": 1})
        answer.response._boundary.buffer.attach(collects)
        answer.itself = answer  # a cycle, such as the traceback of a handler that fails makes
        del answer
        producer = threading.Thread(target=lambda: [source.on_next("a") for _ in range(3)], daemon=True)
        producer.start()
        await until(lambda: not (producer.is_alive() or source.observers))
    assert collects.times
    assert app.extensions["rxstream"].live == 0


def test_a_response_that_is_collected_once_its_loop_is_closed() -> None:
    """There is no loop to leave the end to."""
    app = served(make("sse", Source())).app
    source: Subject[str] = Subject()

    async def main() -> None:
        async with app.test_request_context("/"):
            answer: Any = await sse(source)
            answer.itself = answer

    asyncio.run(main())
    gc.collect()
    until_now(lambda: not source.observers)


async def test_nothing_is_kept_after_the_end() -> None:
    """No task is left, and neither the source nor its items are referred to."""
    before = asyncio.all_tasks()
    source = Source(*[b"1"] * 1000)
    async with stream(served(make("response", source)), "/") as s:
        assert len(await s.body()) == 1000
    assert asyncio.all_tasks() <= before
    assert source.cleaned == 1


async def test_streams_without_a_set_up_extension() -> None:
    """An app without `RxStream` streams with the defaults."""
    app = Quart(__name__)

    @app.route("/")
    async def route() -> Response:
        return await sse(Source("a"))

    async with stream(app.test_client(), "/") as s:
        assert await s.events() == [Event("a")]


async def test_stop_ends_event_streams_well() -> None:
    """The end is clean, and streams that come later end at once."""
    client = served(make("sse", Source("a", then="wait")))
    async with stream(client, "/") as s:
        assert await s.events(1) == [Event("a")]
        client.app.extensions["rxstream"].stop()
        assert await s.events() == []
    async with stream(client, "/") as late:
        await late.body()


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_stop_sends_the_events_that_have_come(strategy: str) -> None:
    """All that is in the buffer; the source is disposed."""
    subject: Subject[str] = Subject()
    client = served(make("sse", subject, buffer={"strategy": strategy}))
    async with stream(client, "/") as s:
        await until(lambda: subject.observers)
        for text in ("a", "b", "c"):
            subject.on_next(text)
        client.app.extensions["rxstream"].stop()
        await until(lambda: not subject.observers)
        assert await s.events() == [Event("a"), Event("b"), Event("c")]


async def test_stop_ends_a_source_that_never_waits() -> None:
    """It fills the buffer again and again; what comes after the stop is not sent."""

    async def forever() -> AsyncIterator[str]:
        while True:
            yield "x" * 1000

    client = served(make("sse", forever))
    async with stream(client, "/") as s:
        await s.events(1)
        client.app.extensions["rxstream"].stop()
        await s.body()


async def test_stop_cuts_other_streams_off_after_the_grace() -> None:
    """A download has a while to end, and is then cut off."""
    client = served(make("response", Source(b"a", then="wait")), shutdown_grace=0.05)
    async with stream(client, "/") as s:
        client.app.extensions["rxstream"].stop()
        with pytest.raises(BodyCutOff) as caught:
            await s.body()
        assert "the server stopped" in str(caught.value.__cause__)


async def test_stop_ends_a_handler_that_waits_for_its_first_item() -> None:
    """No response has begun, so the client gets a status."""
    source = Source(then="wait")
    client = served(make("response", source), shutdown_grace=0.05)
    async with stream(client, "/", wait=False) as s:
        await source.begun.wait()
        client.app.extensions["rxstream"].stop()
        await s.started()
        assert s.status == 503


async def test_a_stop_leaves_no_cancellation_behind() -> None:
    """The wait that a stop ends is ended by cancelling the task: whoever goes on in it is not cancelled any more."""
    counts: list[int] = []
    subscribing, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def subscribe(observer: Any, scheduler: Any) -> Any:
        loop.call_soon_threadsafe(subscribing.set)
        go_on.wait()

    async def build() -> Response:
        try:
            return await response(rx.create(subscribe), content_type="text/plain")
        except ServiceUnavailable:
            task = asyncio.current_task()
            counts.append(-1 if task is None else task.cancelling())
            raise

    client = served(build, shutdown_grace=0.05)
    try:
        async with stream(client, "/", wait=False) as s:
            await subscribing.wait()
            client.app.extensions["rxstream"].stop()
            await s.started()
            assert s.status == 503
    finally:
        go_on.set()
    assert counts == [0]


async def test_a_timeout_of_the_source_is_a_failure_like_others() -> None:
    """Quart takes a bare `TimeoutError` for its own, and ends in silence: it goes out as another one, with its text."""
    async with stream(served(make("response", Source(b"a", then=TimeoutError("too slow")))), "/") as s:
        with pytest.raises(BodyCutOff) as caught:
            await s.body()
    assert isinstance(caught.value.__cause__, RxStreamError)
    assert "too slow" in str(caught.value.__cause__)


async def test_others_get_their_turn() -> None:
    """A full buffer and a client that never makes `send` wait: the loop still turns at least every 16 chunks."""
    turns, run, runs = 0, 0, [0]
    subject: Subject[bytes] = Subject()
    client = served(make("response", subject, buffer={"capacity": 500}))

    async def turning() -> None:
        nonlocal turns, run
        while True:
            turns += 1
            run = 0
            await asyncio.sleep(0)

    async def send(message: dict[str, Any]) -> None:
        nonlocal run
        run += 1
        runs.append(run)

    connection: Any = client.request("/")
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    other = asyncio.create_task(turning())
    call = asyncio.create_task(client.app(connection.scope, messages.get, send))
    while not subject.observers:  # noqa: ASYNC110 - a Subject does not tell
        await asyncio.sleep(0)
    for _ in range(500):
        subject.on_next(b"x" * 65536)
    subject.on_completed()
    while len(runs) < 500:  # noqa: ASYNC110 - each look is a turn, as of any other task
        await asyncio.sleep(0)
    messages.put_nowait({"type": "http.disconnect"})
    await call
    other.cancel()
    assert max(runs) <= 17
