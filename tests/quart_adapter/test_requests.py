"""Request bodies: what Quart does with them goes on as before, and they are read no faster than they are used."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from quart import Quart, Request, Response, request, websocket
from quart.datastructures import FileStorage
from werkzeug.exceptions import ClientDisconnected, HTTPException

from quart_adapter import BodyLimits, RxStream, UploadAborted, UploadError, from_request
from quart_adapter.bounded_body import CHUNK, BoundedBody
from quart_adapter.peer import Peer
from rxstream import RxStreamError, to_async_iterable

DEADLINE = 20.0
Handler = Callable[[], Awaitable[Any]]


def make_app(handler: Handler, body: BodyLimits | None = None, **config: Any) -> Quart:
    """An app with one route."""
    app = Quart(__name__)
    app.config.update(config)
    RxStream(app, body=body)
    app.route("/", methods=["GET", "POST", "PUT"])(handler)
    return app


async def all_of_it() -> bytes:
    """The body, streamed."""
    return b"".join([chunk async for chunk in to_async_iterable(from_request(request), "import")])


class Connection:
    """One request at the level of ASGI: messages are given to the app as it asks for them."""

    def __init__(self, app: Quart, *, length: int | None = None, method: str = "POST", http: str = "1.1") -> None:
        headers = [] if length is None else [(b"content-length", str(length).encode())]
        self.scope: Any = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": http, "method": method, "scheme": "http",
            "path": "/", "raw_path": b"/", "query_string": b"", "root_path": "", "headers": headers,
            "client": None, "server": ("127.0.0.1", 2),
        }  # fmt: skip
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.taken = self.taken_before_the_end = 0
        self.sent: list[Any] = []
        self.news = asyncio.Event()
        self.call = asyncio.ensure_future(app(self.scope, self._receive, self._send))
        self.call.add_done_callback(lambda _: self.news.set())

    async def _receive(self) -> Any:
        message = await self.inbox.get()
        self.taken += 1
        self.news.set()
        return message

    async def _send(self, message: Any) -> None:
        if not message.get("more_body", True):
            self.taken_before_the_end = self.taken
        self.sent.append(message)
        self.news.set()

    def body(self, data: bytes, more: bool = True) -> None:
        """Has a part of the body come."""
        self.inbox.put_nowait({"type": "http.request", "body": data, "more_body": more})

    def gone(self) -> None:
        """Has the client go."""
        self.inbox.put_nowait({"type": "http.disconnect"})

    async def until(self, there: Callable[[], Any]) -> None:
        """Waits for something that a message changes."""
        async with asyncio.timeout(DEADLINE):
            while not there():
                self.news.clear()
                await self.news.wait()

    async def rest(self) -> None:
        """Lets everything run that can."""
        for _ in range(200):
            await asyncio.sleep(0)

    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """Status, headers and body, once complete."""
        await self.until(lambda: self.sent and not self.sent[-1].get("more_body", True))
        content = b"".join(message["body"] for message in self.sent[1:])
        return self.sent[0]["status"], dict(self.sent[0]["headers"]), content

    async def close(self) -> None:
        """The client goes, and the app ends the request."""
        self.gone()
        await asyncio.wait([self.call], timeout=DEADLINE)
        assert self.call.done()


# -- Quart's own behaviours


class TestAsBefore:
    """What routes do without streams."""

    @pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
    async def test_get_data(self, size: int) -> None:
        """The whole body, also where it is larger than the buffer."""

        async def handler() -> dict[str, int]:
            return {"size": len(await request.get_data()), "again": len(await request.data)}

        answer = await make_app(handler).test_client().post("/", data=b"x" * size)
        assert await answer.get_json() == {"size": size, "again": size}

    async def test_get_data_without_cache(self) -> None:
        """It is forgotten."""

        async def handler() -> list[str]:
            return [await request.get_data(cache=False, as_text=True), await request.get_data(as_text=True)]

        assert await (await make_app(handler).test_client().post("/", data=b"abc")).get_json() == ["abc", ""]

    async def test_json(self) -> None:
        """As an object, also twice; what is none is a 400."""

        async def handler() -> Any:
            return [await request.get_json(), await request.json]

        client = make_app(handler).test_client()
        assert await (await client.post("/", json={"a": [1]})).get_json() == [{"a": [1]}] * 2
        bad = await client.post("/", data=b"{", headers={"Content-Type": "application/json"})
        assert bad.status_code == 400

    async def test_forms(self) -> None:
        """Fields and files, and fields alone."""

        async def handler() -> Any:
            form, files = await request.form, await request.files
            contents = {name: file.read().decode() for name, file in files.items()}
            return {"form": form.to_dict(), "files": contents}

        client = make_app(handler).test_client()
        answer = await client.post("/", form={"a": "1", "é": "ü"})
        assert await answer.get_json() == {"form": {"a": "1", "é": "ü"}, "files": {}}
        file = FileStorage(io.BytesIO(b"x" * 400_000), "f.txt")
        answer = await client.post("/", form={"a": "1"}, files={"f": file})
        assert await answer.get_json() == {"form": {"a": "1"}, "files": {"f": "x" * 400_000}}

    async def test_iteration(self) -> None:
        """`async for` over the body, in chunks of a bounded size."""

        async def handler() -> Any:
            return [len(chunk) async for chunk in request.body]

        sizes = await (await make_app(handler).test_client().post("/", data=b"x" * 1_000_000)).get_json()
        assert sum(sizes) == 1_000_000 and max(sizes) <= CHUNK

    @pytest.mark.parametrize("method", ["get", "post"])
    async def test_no_body(self, method: str) -> None:
        """It is empty, however it is read."""

        async def handler() -> Any:
            return [(await request.get_data()).decode(), await request.get_json(silent=True), dict(await request.form)]

        answer = await getattr(make_app(handler).test_client(), method)("/")
        assert await answer.get_json() == ["", None, {}]

    async def test_a_body_that_nobody_reads(self) -> None:
        """The answer comes."""

        async def handler() -> str:
            return "answer"

        answer = await make_app(handler).test_client().post("/", data=b"x" * 3_000_000)
        assert await answer.get_data() == b"answer"

    async def test_a_response_that_reads_the_body(self) -> None:
        """A generator may read what comes while it sends."""

        async def handler() -> Response:
            body = request.body

            async def echo() -> Any:
                async for chunk in body:  # begins with it: what nobody has begun to read is not kept for long
                    yield chunk

            return Response(echo())

        async with make_app(handler).test_client().request("/", method="POST") as connection:
            for _ in range(20):
                await connection.send(b"x" * 50_000)
            await connection.send_complete()
        answer = await connection.as_response()
        assert len(await answer.get_data()) == 1_000_000

    async def test_websockets(self) -> None:
        """They are not concerned."""
        app = make_app(all_of_it)

        @app.websocket("/ws")
        async def echo() -> None:
            while True:
                await websocket.send(await websocket.receive())

        async with app.test_client().websocket("/ws") as connection:
            await connection.send("hello")
            assert await connection.receive() == "hello"

    async def test_request_contexts(self) -> None:
        """A body that was given at once."""
        app = make_app(all_of_it)
        async with app.test_request_context("/", method="POST", data=b"given"):
            assert await all_of_it() == b"given"

    async def test_a_request_class_of_the_users(self) -> None:
        """It stays the base; one that is set later is left as it is."""

        class Own(Request):
            """Marks requests."""

            mark = "own"

        async def handler() -> Any:
            return [getattr(request, "mark", None), (await request.get_data()).decode()]

        app = Quart(__name__)
        app.request_class = Own
        RxStream(app)
        app.post("/")(handler)
        assert await (await app.test_client().post("/", data=b"a")).get_json() == ["own", "a"]
        app.request_class = Own
        assert await (await app.test_client().post("/", data=b"a")).get_json() == ["own", "a"]

    async def test_body_timeout(self) -> None:
        """Quart's own limit on awaiting a body."""

        async def handler() -> bytes:
            return await request.get_data()

        connection = Connection(make_app(handler, BODY_TIMEOUT=0.01))
        connection.body(b"x")
        assert (await connection.answer())[0] == 408
        await connection.close()


# -- the bound


class TestBound:
    """The client waits for the reader."""

    async def test_nobody_reads_yet(self) -> None:
        """The server is asked for 256 KiB, and one message more at most."""
        go = asyncio.Event()

        async def handler() -> str:
            await go.wait()
            return str(len(await all_of_it()))

        connection = Connection(make_app(handler))
        for n in range(100):
            connection.body(b"x" * 16_384, n < 99)
        await connection.rest()
        assert connection.taken == 17  # the last of them waits for room
        go.set()
        assert (await connection.answer())[2] == b"1638400"
        await connection.close()

    async def test_one_message_above_the_bound(self) -> None:
        """It passes alone, and is cut."""

        async def handler() -> dict[str, int]:
            chunks = [chunk async for chunk in to_async_iterable(from_request(request))]
            return {"size": sum(map(len, chunks)), "largest": max(map(len, chunks))}

        answer = await make_app(handler, MAX_CONTENT_LENGTH=None).test_client().post("/", data=b"x" * 20_000_000)
        assert await answer.get_json() == {"size": 20_000_000, "largest": CHUNK}

    async def test_tiny_messages(self) -> None:
        """They are joined as they come, and cost no more than their bytes."""
        body = BoundedBody(None, None)
        for n in range(100_000):
            body.append(bytes([n % 256, 0]))
        assert len(body._chunks) < 10
        body.set_complete()
        assert b"".join([chunk async for chunk in body]) == b"".join(bytes([n % 256, 0]) for n in range(100_000))

    async def test_mixed_messages(self) -> None:
        """Small and large ones come out in order."""
        body = BoundedBody(None, None)
        sent = [bytes([n % 256]) * (n * 37 % 9_000) for n in range(300)]
        for data in sent:
            body.append(data)
        body.set_complete()
        assert b"".join([chunk async for chunk in body]) == b"".join(sent)

    async def test_the_response_begins_and_nobody_reads(self) -> None:
        """The rest is taken and dropped: the server must not wait for it."""

        async def handler() -> Response:
            async def slow() -> Any:
                yield b"start"
                await connection.until(lambda: connection.taken == 101)
                yield b"end"

            return Response(slow())

        connection = Connection(make_app(handler))
        for _ in range(100):
            connection.body(b"x" * 65_536)
        connection.body(b"", False)
        assert (await connection.answer())[2] == b"startend"
        await connection.close()

    async def test_what_was_not_read_is_dropped_at_the_end(self) -> None:
        """Before the last message of the response is sent."""

        async def handler() -> str:
            return "early"

        connection = Connection(make_app(handler))
        for n in range(100):
            connection.body(b"x" * 65_536, n < 99)
        assert (await connection.answer())[2] == b"early"
        await connection.until(lambda: connection.taken == 100)
        await connection.close()

    async def test_reading_after_the_answer(self) -> None:
        """It fails, and says why."""
        kept: list[Any] = []

        async def handler() -> str:
            kept.append(request.body)
            return "early"

        connection = Connection(make_app(handler))
        connection.body(b"x")
        connection.body(b"", False)
        await connection.answer()
        with pytest.raises(RxStreamError, match="is dropped"):
            await anext(kept[0])
        await connection.close()


# -- limits


class TestLimits:
    """`MAX_CONTENT_LENGTH`, by what came."""

    @pytest.mark.parametrize("read", [all_of_it, lambda: request.get_data()])
    @pytest.mark.parametrize("length", [None, 2_000_000])
    async def test_max_content_length(self, read: Handler, length: int | None) -> None:
        """A body that is too large is a 413, with and without a length, streamed and as a whole."""

        async def handler() -> Any:
            return await read()

        connection = Connection(make_app(handler, MAX_CONTENT_LENGTH=1_000_000), length=length)
        for n in range(40):
            connection.body(b"x" * 50_000, n < 39)
        status, _, _ = await connection.answer()
        assert status == 413
        await connection.close()

    async def test_a_body_as_large_as_is_allowed(self) -> None:
        """It passes, however slowly it is read."""
        app = make_app(all_of_it, MAX_CONTENT_LENGTH=1_000_000)
        answer = await app.test_client().post("/", data=b"x" * 1_000_000)
        assert (answer.status_code, len(await answer.get_data())) == (200, 1_000_000)

    @pytest.mark.parametrize(("limit", "status"), [(None, 200), (3_000_000, 200), (100, 413)])
    async def test_a_limit_of_the_route(self, limit: int | None, status: int) -> None:
        """`request.max_content_length` reaches the body, up and down."""

        async def handler() -> bytes:
            request.max_content_length = limit
            return await all_of_it()

        app = make_app(handler, MAX_CONTENT_LENGTH=1_000_000)
        assert (await app.test_client().post("/", data=b"x" * 2_000_000)).status_code == status

    async def test_the_error(self) -> None:
        """The answer is JSON with a code."""
        answer = await make_app(all_of_it, MAX_CONTENT_LENGTH=10).test_client().post("/", data=b"x" * 11)
        assert answer.status_code == 413
        assert (await answer.get_json())["error"] == "body_too_large"

    @pytest.mark.parametrize("options", [{"idle_timeout": 0.01}, {"min_rate": 1e9, "rate_window": 1e-6}])
    async def test_a_client_that_is_too_slow(self, options: dict[str, float]) -> None:
        """It is ended by the idle limit, or by the minimum rate."""

        async def handler() -> str:
            return str([chunk async for chunk in request.body])

        connection = Connection(make_app(handler, BodyLimits(**options)))  # type: ignore[arg-type]
        await connection.rest()  # the handler waits for the client
        connection.body(b"x")
        status, headers, content = await connection.answer()
        assert (status, b"upload_timeout" in content, headers[b"connection"]) == (408, True, b"close")
        await connection.close()

    async def test_the_rate_is_of_the_last_window(self) -> None:
        """Bytes of long ago do not pay for a client that is slow now."""
        body = BoundedBody(None, None)
        limits = BodyLimits(min_rate=1000.0, rate_window=0.02)
        body.__class__ = type("Body", (BoundedBody,), {"limits": limits})
        body.append(b"x" * 1_000_000)
        loop = asyncio.get_running_loop()
        with pytest.raises(UploadError, match="408 upload_timeout"):
            while True:
                loop.call_later(0.005, body.append, b"x")
                await anext(body)

    async def test_a_reader_that_takes_nothing(self) -> None:
        """It fails after the stall deadline, so that a client that vanished is not waited for."""

        async def handler() -> bytes:
            await connection.until(lambda: connection.taken == 8)
            return await all_of_it()

        connection = Connection(make_app(handler, BodyLimits(stall_timeout=0.01)))
        for _ in range(8):
            connection.body(b"x" * 65_536)
        assert (await connection.answer())[0] == 408
        await connection.close()

    async def test_a_reader_that_is_slow(self) -> None:
        """Whoever takes something now and then does not stall."""
        body = BoundedBody(None, None)
        body.__class__ = type("Body", (BoundedBody,), {"limits": BodyLimits(buffer=1000, stall_timeout=0.2)})
        body.append(b"x" * 10_000_000)
        putting = asyncio.ensure_future(body.put(b"end"))
        for _ in range(10):
            await asyncio.wait([putting], timeout=0.04)
            assert await anext(body)
        assert not putting.done() and body._must_raise is None
        body.discard()
        await putting

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"buffer": 0}, ValueError),
            ({"buffer": 1.5}, TypeError),
            ({"buffer": None}, TypeError),
            ({"idle_timeout": 0}, ValueError),
            ({"idle_timeout": "1"}, TypeError),
            ({"min_rate": float("nan")}, ValueError),
            ({"rate_window": None}, TypeError),
            ({"stall_timeout": float("inf")}, ValueError),
            ({"stall_timeout": True}, TypeError),
        ],
    )
    def test_wrong_limits(self, options: dict[str, Any], error: type[Exception]) -> None:
        """They are refused when they are made."""
        with pytest.raises(error):
            BodyLimits(**options)

    def test_something_else_as_limits(self) -> None:
        """It is refused when the extension is made."""
        with pytest.raises(TypeError):
            RxStream(body=256)  # type: ignore[arg-type]


# -- the end


class TestAborts:
    """An upload that is cut off never looks complete."""

    async def test_the_stream_fails(self) -> None:
        """With `UploadAborted`, after the bytes that came; and the handler is cancelled."""
        ends: list[Any] = []

        async def handler() -> str:
            done = asyncio.Event()
            from_request(request).subscribe(
                lambda chunk: ends.append(chunk), ends.append, lambda: ends.append("complete")
            )
            try:
                await done.wait()
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise
            return ""

        connection = Connection(make_app(handler))
        connection.body(b"abc")
        await connection.until(lambda: connection.taken == 1)
        await connection.rest()
        await connection.close()
        await connection.rest()
        assert ends[0] == b"abc" and "complete" not in ends and "cancelled" in ends
        assert [type(end) for end in ends if isinstance(end, Exception)] == [UploadAborted]

    async def test_after_the_last_bytes(self) -> None:
        """A client that goes then has sent all of it."""
        body = BoundedBody(None, None)
        body.append(b"abc")
        body.set_complete()
        body.disconnect()
        assert [chunk async for chunk in body] == [b"abc"]

    async def test_waiting_for_the_whole(self) -> None:
        """It fails as well."""
        body = BoundedBody(None, None)
        body.append(b"abc")
        asyncio.get_running_loop().call_soon(body.disconnect)
        with pytest.raises(ClientDisconnected):
            await body

    async def test_dispose(self) -> None:
        """Nothing more is read, and what is left is dropped with the answer."""

        async def handler() -> str:
            stream = to_async_iterable(from_request(request), {"capacity": 1})
            await anext(stream)
            await stream.aclose()
            await connection.rest()
            return str(request.body.received)

        connection = Connection(make_app(handler))
        for n in range(100):
            connection.body(b"x" * 65_536, n < 99)
        assert int((await connection.answer())[2]) <= 10 * 65_536
        assert connection.taken_before_the_end == 100
        await connection.close()

    async def test_another_stream_goes_on_where_the_first_stood(self) -> None:
        """And says so where nothing is left, instead of an empty body; one that is empty is none of these."""

        async def handler() -> list[str]:
            stream = to_async_iterable(from_request(request), {"capacity": 1})
            found = [(await anext(stream)).decode()]
            await stream.aclose()
            for _ in range(2):
                try:
                    found.append((await all_of_it()).decode())
                except RxStreamError as error:
                    found.append(str(error))
            return found

        connection = Connection(make_app(handler))
        connection.body(b"a", True)
        await connection.rest()
        connection.body(b"b", False)
        found = json.loads((await connection.answer())[2])
        assert found[:2] == ["a", "b"] and "can be read once" in found[2]
        await connection.close()
        empty = Connection(make_app(all_of_it))
        empty.body(b"", False)
        assert (await empty.answer())[2] == b""
        await empty.close()

    async def test_a_read_that_is_cancelled_loses_nothing(self) -> None:
        """The next one goes on where it stood."""
        body = BoundedBody(None, None)
        for n in range(10):
            task = asyncio.ensure_future(anext(body))
            await asyncio.sleep(0)
            task.cancel()
            body.append(bytes([n]))
            await asyncio.wait([task])
            assert task.cancelled() and await anext(body) == bytes([n])

    async def test_a_peer_that_vanished_while_reading_is_paused(self) -> None:
        """The handler is cancelled, as if the server had seen it."""

        class Gone(Peer):
            """A peer that has reset its connection."""

            def gone(self) -> bool:
                return True

        body = BoundedBody(None, None)
        body.find_peer = lambda: Gone(b"", "")
        told = asyncio.Event()
        body.on_gone = told.set
        body.append(b"x" * 300_000)
        await asyncio.wait_for(body.put(b"x"), DEADLINE)
        assert told.is_set()
        with pytest.raises(ClientDisconnected):
            await anext(body)

    async def test_the_peer_is_known_before_the_first_bytes(self) -> None:
        """Or it may have gone before it is looked for. A small body is not worth the look."""
        looked, asked = threading.Event(), list[int]()

        def look(size: int) -> None:
            asked.append(size)
            looked.wait(DEADLINE)

        large, small = BoundedBody(1_000_000, None), BoundedBody(1000, None)
        for body, size in ((large, 1_000_000), (small, 1000)):
            body.find_peer = partial(look, size)
            body.begin()
        await asyncio.wait_for(small.put(b"x"), DEADLINE)
        putting = asyncio.ensure_future(large.put(b"x"))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not large.received
        looked.set()
        await asyncio.wait_for(putting, DEADLINE)
        assert (large.received, asked) == (1, [1_000_000])

    @pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
    def test_a_peer_that_left_before_it_was_looked_for(self) -> None:
        """It is known as gone; one that was never there is not known at all."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            served, address = listener.accept()
            with served:
                peer = Peer.of(address, listener.getsockname())
                assert peer is not None and not peer.gone()
                client.close()
                peer = Peer.of(address, listener.getsockname())
                assert peer is not None and peer.gone()
                assert Peer.of(("192.0.2.1", 1), listener.getsockname()) is None


class TestEarlyAnswers:
    """Answers to a client that still sends."""

    @staticmethod
    async def refuse() -> Any:
        """A handler that does not read."""
        raise UploadError(413, "file_too_large", "no")

    async def test_a_long_rest(self) -> None:
        """The answer goes out at once; the connection is closed after it, and read on until then."""
        connection = Connection(make_app(self.refuse), length=10_000_000)
        await connection.until(lambda: len(connection.sent) == 2)
        assert dict(connection.sent[0]["headers"])[b"connection"] == b"close"
        assert connection.sent[1]["body"] == b'{"error": "file_too_large", "message": "no"}'
        for _ in range(20):
            connection.body(b"x" * 500_000)
        await connection.rest()
        assert len(connection.sent) == 2 and connection.taken == 20
        connection.body(b"", False)
        await connection.answer()
        await connection.close()

    async def test_a_short_rest(self) -> None:
        """It is waited for, and the connection stays open."""
        connection = Connection(make_app(self.refuse), length=100_000)
        connection.body(b"x" * 50_000)
        await connection.rest()
        assert connection.sent == []
        connection.body(b"x" * 50_000, False)
        status, headers, _ = await connection.answer()
        assert (status, b"connection" in headers) == (413, False)
        await connection.close()

    @pytest.mark.parametrize("size", [0, 50_000])
    async def test_the_whole_body_came(self, size: int) -> None:
        """Such an error, a 404 for one, does not cost the connection."""
        connection = Connection(make_app(self.refuse), method="POST" if size else "GET")
        connection.body(b"x" * size, False)
        status, headers, _ = await connection.answer()
        assert (status, b"connection" in headers) == (413, False)
        await connection.close()

    async def test_http2(self) -> None:
        """The same, without a header that HTTP/2 forbids."""
        connection = Connection(make_app(self.refuse), http="2", length=10_000_000)
        await connection.until(lambda: len(connection.sent) == 2)
        connection.body(b"x", False)
        status, headers, _ = await connection.answer()
        assert (status, b"connection" in headers) == (413, False)
        await connection.close()

    async def test_the_client_goes(self) -> None:
        """Nobody waits for it any longer."""
        connection = Connection(make_app(self.refuse), length=10_000_000)
        await connection.until(lambda: len(connection.sent) == 2)
        await connection.close()


# -- errors as responses


class TestErrors:
    """An `UploadError` is the answer by itself."""

    async def test_a_handler_of_the_class(self) -> None:
        """`errorhandler` takes it, and its subclass; a handler for all HTTP errors as well."""
        app = make_app(TestEarlyAnswers.refuse)

        @app.errorhandler(UploadError)
        async def handle(error: UploadError) -> tuple[str, int]:
            return f"{error.code} {error.message}", 418

        answer = await app.test_client().get("/")
        assert (answer.status_code, await answer.get_data()) == (418, b"file_too_large no")

        app = make_app(TestEarlyAnswers.refuse)

        @app.errorhandler(HTTPException)
        async def handle_all(error: HTTPException) -> Any:
            return error.get_response()

        assert (await app.test_client().get("/")).status_code == 413

    async def test_in_a_blueprint_and_debug_mode(self) -> None:
        """Without a handler it is JSON, with its length."""
        app = make_app(TestEarlyAnswers.refuse)
        app.debug = True
        answer = await app.test_client().get("/")
        assert (answer.status_code, answer.mimetype) == (413, "application/json")
        assert int(answer.headers["Content-Length"]) == len(await answer.get_data())

    def test_what_it_says(self) -> None:
        """Its parts, its text, its place in both trees."""
        error = UploadError(408, "upload_timeout", "too slow")
        assert (error.status, error.code, error.message, error.name) == (
            408, "upload_timeout", "too slow", "Request Timeout",
        )  # fmt: skip
        assert str(error) == "408 upload_timeout: too slow"
        assert repr(error) == "UploadError(408, 'upload_timeout', 'too slow')"
        assert isinstance(error, RxStreamError) and isinstance(error, HTTPException)
        assert isinstance(UploadAborted(), UploadError) and UploadAborted().code == "upload_aborted"
