"""The client that users test their streaming routes with, held against plain Quart routes that misbehave for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from quart import Quart, Response, request

from quart_adapter.testing import (
    BodyCutOff,
    BodyEnded,
    DeadlineExceeded,
    Event,
    StreamError,
    stream,
)

SHORT = 0.05  # seconds; a deadline that is meant to pass


class Source:
    """A body that counts what was taken from it and how often it was cleaned up."""

    def __init__(self, chunks: list[bytes], *, error: BaseException | None = None, endless: bool = False) -> None:
        self.chunks, self.error, self.endless = chunks, error, endless
        self.pulled = self.cleaned = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while True:
                for chunk in self.chunks:
                    self.pulled += 1
                    await asyncio.sleep(0)
                    yield chunk
                if not self.endless:
                    break
            if self.error is not None:
                raise self.error
        finally:
            self.cleaned += 1


def serving(source: Source, **options: Any) -> Any:
    """A test client of an app whose one route streams the source."""
    app = Quart(__name__)

    @app.route("/", methods=["GET", "POST"])
    async def route() -> Response:
        response = Response(source.__aiter__(), **options)
        response.timeout = None
        return response

    return app.test_client()


async def test_status_and_headers() -> None:
    """They are there when the block begins."""
    async with stream(serving(Source([b"x"]), status=206, headers={"X-A": "1"}), "/") as s:
        assert (s.status, s.headers["x-a"]) == (206, "1")


async def test_events_of_an_endless_stream() -> None:
    """The first events come, and the block ends the stream."""
    source = Source([b"event: tick\nid: 1\ndata: a\n\n: beat\n\nretry: 9\ndata: b\n", b"\n"], endless=True)
    async with stream(serving(source), "/") as s:
        assert await s.events(2) == [Event("a", "tick", "1"), Event("b", "message", "1")]
        assert await s.events(1) == [Event("a", "tick", "1")]
        assert (s.parser.comments[0], s.parser.retry) == ("beat", 9)
    assert source.cleaned == 1


async def test_all_events_to_the_end() -> None:
    """Without a count everything to the clean end is read."""
    async with stream(serving(Source([b"data: a\n\n", b"data: b\n\n", b"data: never closed\n"])), "/") as s:
        assert await s.events() == [Event("a"), Event("b")]


async def test_rows_in_any_chunks() -> None:
    """Rows are put together from chunks; what came too much is kept for the next call."""
    async with stream(serving(Source([b'{"n"', b': 1}\n{"n": 2}\n\n', b'{"n": 3}'])), "/") as s:
        assert await s.rows(1) == [{"n": 1}]
        assert await s.rows() == [{"n": 2}, {"n": 3}]


async def test_a_row_that_is_no_json() -> None:
    """The line is shown."""
    async with stream(serving(Source([b"{broken\n"])), "/") as s:
        with pytest.raises(StreamError, match=r"a row is not JSON .*: b'\{broken"):
            await s.rows(1)


async def test_bytes_and_the_rest() -> None:
    """`read` takes as many bytes as asked for, `body` the rest."""
    async with stream(serving(Source([b"abc", b"def"])), "/") as s:
        assert await s.read(4) == b"abcd"
        assert await s.body() == b"ef"
        assert (s.received, s.failed) == (6, None)


async def test_a_body_that_ends_too_early() -> None:
    """The message shows how far it came."""
    async with stream(serving(Source([b"data: a\n\n"])), "/") as s:
        with pytest.raises(BodyEnded, match=r"so far: \[ReceivedEvent\(data='a'.*status 200, 9 bytes"):
            await s.events(2)
        assert await s.events(1) == [Event("a")]


async def test_the_deadline_shows_what_came() -> None:
    """A stream that says nothing more ends the wait, not the test run."""
    app = Quart(__name__)

    @app.get("/")
    async def route() -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"data: a\n\n"
            await asyncio.Event().wait()

        return Response(body())

    async with stream(app.test_client(), "/", deadline=SHORT) as s:
        with pytest.raises(DeadlineExceeded, match=r"did not come within 0.05 s; so far: \[ReceivedEvent\(data='a'"):
            await s.events(2)


async def test_a_source_that_fails_cuts_the_body_off() -> None:
    """What came before the failure is read; then the error is shown and its cause kept."""
    error = RuntimeError("after the first")
    async with stream(serving(Source([b"ab"], error=error)), "/") as s:
        assert await s.read(2) == b"ab"
        with pytest.raises(BodyCutOff, match="cut off before the end of the body") as caught:
            await s.body()
        assert caught.value.__cause__ is error
        await s.closed()
        assert s.failed is error


async def test_a_body_that_ends_in_silence_is_cut_off() -> None:
    """Without its last message no body is complete, error or none."""
    app = Quart(__name__)

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})

    app.asgi_app = silent  # type: ignore[method-assign]

    async with stream(app.test_client(), "/") as s:
        with pytest.raises(BodyCutOff):
            await s.body()
        assert isinstance(s.failed, BodyCutOff)


async def test_an_error_that_nobody_saw_is_raised() -> None:
    """A test that reads one event and leaves still hears of a failing source."""
    source = Source([b"a"], error=RuntimeError("unseen"))

    async def looks_away() -> None:
        async with stream(serving(source), "/") as s:
            await s.read(1)
            await s.closed()

    with pytest.raises(RuntimeError, match="unseen"):
        await looks_away()


async def test_the_blocks_own_error_goes_first() -> None:
    """A failing assertion is not hidden by what the app does afterwards."""
    source = Source([b"a"], error=RuntimeError("unseen"))
    with pytest.raises(ZeroDivisionError):
        async with stream(serving(source), "/"):
            raise ZeroDivisionError
    assert source.cleaned == 1


async def test_nobody_reads_so_nothing_is_pulled() -> None:
    """The app is as far ahead of the reader as the window is large."""
    source = Source([b"x" * 100], endless=True)
    async with stream(serving(source), "/", window=1000) as s:
        await s.read(1)
        ahead = source.pulled
        for _ in range(50):
            await asyncio.sleep(0)
        assert ahead <= source.pulled <= 12
        await s.read(5000)
        assert 50 <= source.pulled <= 62


async def test_a_stalled_client_suspends_the_source() -> None:
    """Headers come, the first chunk waits, and goes on when the client does."""
    source = Source([b"a", b"b", b"c"])
    async with stream(serving(source), "/", stalled=True) as s:
        assert s.status == 200
        for _ in range(50):
            await asyncio.sleep(0)
        assert (source.pulled, s.received) == (1, 0)
        s.resume()
        assert await s.body() == b"abc"


async def test_stalling_later() -> None:
    """A client may stall in the middle, and vanish while it does."""
    source = Source([b"a"], endless=True)
    async with stream(serving(source), "/") as s:
        await s.read(3)
        s.stall()
        before = s.received
        for _ in range(50):
            await asyncio.sleep(0)
        assert s.received == before
        await s.disconnect()
        assert source.cleaned == 1


async def test_disconnect_waits_for_the_cleanup() -> None:
    """After it the source is closed, once; further reading says why it cannot."""
    source = Source([b"a"], endless=True)
    async with stream(serving(source), "/") as s:
        await s.disconnect()
        assert source.cleaned == 1
        with pytest.raises(BodyCutOff, match="this client disconnected before"):
            await s.read(10**9)
    assert source.cleaned == 1


async def test_vanishing_before_the_response() -> None:
    """`wait=False` enters the block while the handler still thinks."""
    app = Quart(__name__)
    entered, cancelled = asyncio.Event(), asyncio.Event()

    @app.get("/")
    async def route() -> str:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "never"

    async with stream(app.test_client(), "/", wait=False) as s:
        await entered.wait()
        assert s.status is None
        await s.disconnect()
    assert cancelled.is_set()


async def test_a_response_that_never_starts() -> None:
    """The block is not entered, and the app's call is cancelled."""
    app = Quart(__name__)

    @app.get("/")
    async def route() -> str:
        await asyncio.Event().wait()
        return "never"

    with pytest.raises(
        DeadlineExceeded, match=r"the response's start did not come within 0.05 s .*status None, no body"
    ):
        async with stream(app.test_client(), "/", deadline=SHORT):
            pytest.fail("entered")


async def test_an_app_that_outlives_its_client_is_reported() -> None:
    """Swallowing the cancellation is a leak, so the block says so; its call is cancelled again."""
    app = Quart(__name__)

    @app.get("/")
    async def route() -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"a"
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.Event().wait()

        return Response(body())

    with pytest.raises(DeadlineExceeded, match="the end of the app's call did not come"):
        async with stream(app.test_client(), "/", deadline=SHORT) as s:
            await s.read(1)


async def test_a_body_that_never_suspends_is_reported() -> None:
    """On a server it freezes the process once its client is gone; here it is an error that says so."""
    app = Quart(__name__)

    @app.get("/")
    async def route() -> Response:
        async def body() -> AsyncIterator[bytes]:
            while True:
                yield b"a"

        return Response(body())

    with pytest.raises(StreamError, match="1001 chunks came after the disconnect; yield to the loop"):
        async with stream(app.test_client(), "/") as s:
            await s.read(1)


async def test_an_error_before_the_first_byte_is_a_status() -> None:
    """A handler that fails is a response of its own."""
    app = Quart(__name__)

    @app.get("/")
    async def route() -> str:
        raise RuntimeError("in the handler")

    async with stream(app.test_client(), "/") as s:
        assert s.status == 500


async def test_what_is_sent() -> None:
    """Method, headers, query, cookies and body reach the route."""
    app = Quart(__name__)

    @app.post("/echo")
    async def route() -> dict[str, Any]:
        return {
            "args": dict(request.args),
            "header": request.headers["X-A"],
            "cookies": dict(request.cookies),
            "body": await request.get_data(as_text=True),
        }

    client = app.test_client()
    client.set_cookie("localhost", "who", "me")
    given_headers = {"X-A": "1"}
    async with stream(client, "/echo", method="POST", headers=given_headers, query_string={"q": "2"}, body=b"hi") as s:
        assert json.loads(await s.body()) == {"args": {"q": "2"}, "header": "1", "cookies": {"who": "me"}, "body": "hi"}


@pytest.mark.parametrize("options", [{"deadline": 0}, {"deadline": float("nan")}, {"window": 0}])
async def test_limits_are_checked(options: dict[str, Any]) -> None:
    """A deadline or a window of nothing is refused before anything is started."""
    with pytest.raises(ValueError, match="deadline must be above 0 and window at least 1"):
        async with stream(serving(Source([])), "/", **options):
            pytest.fail("entered")
