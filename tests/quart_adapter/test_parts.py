"""Parts and who reads them: in order, one position for all, nothing kept, nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reactivex
from quart import Quart, request
from reactivex import operators as rx

from quart_adapter import Part, RxStream, UploadError, from_multipart
from quart_adapter._saving import NewFile
from rxstream import RxStreamError, for_each, operators, to_async_iterable
from tests.quart_adapter.forms import BOUNDARY, FIELD, FILE, fake_request, feed, form, one_part

CONTENTS = [b"one", b"", b"three" * 50_000, b"four"]
BODY = form(*((FILE if n % 2 else FIELD, content) for n, content in enumerate(CONTENTS)))
FILES = [content for n, content in enumerate(CONTENTS) if n % 2]


async def sent(body: bytes = BODY, size: int = 10_000, end: str = "complete") -> tuple[Any, asyncio.Future[None]]:
    """A request whose body comes in pieces, as there is room."""
    request = fake_request()
    pieces = [body[n : n + size] for n in range(0, len(body), size)]
    return request, asyncio.ensure_future(feed(request, pieces, end))


async def read_each(stream: reactivex.Observable[Part]) -> list[bytes]:
    """The contents as an async consumer reads them, some time after it got the part."""
    contents = []
    async for part in to_async_iterable(stream, "import"):
        await asyncio.sleep(0)
        contents.append(await part.read())
    return contents


class TestReading:
    """Every way to consume parts."""

    async def test_by_an_async_consumer(self) -> None:
        """It reads each part after it has received it."""
        request, _ = await sent()
        assert await read_each(from_multipart(request)) == CONTENTS

    @pytest.mark.parametrize("buffer", ["import", "sse", {"capacity": 1}, {"capacity": 1, "strategy": "dropping"}])
    async def test_streams_of_parts(self, buffer: Any) -> None:
        """Nested boundaries, whatever the buffer of the parts."""
        request, _ = await sent()
        contents = []
        async for part in to_async_iterable(from_multipart(request), buffer):
            contents.append(b"".join([chunk async for chunk in to_async_iterable(part.stream, "import")]))
        assert contents == CONTENTS

    @pytest.mark.parametrize(
        "flatten",
        [
            lambda parts: parts.pipe(rx.flat_map(lambda part: part.stream)),
            lambda parts: parts.pipe(rx.concat_map(lambda part: part.stream)),
            lambda parts: parts.pipe(rx.map(lambda part: part.stream), rx.merge(max_concurrent=1)),
            lambda parts: parts.pipe(rx.map(lambda part: part.stream), rx.switch_latest()),
            lambda parts: parts.pipe(rx.flat_map(lambda part: part.stream), operators.with_buffer(capacity=2)),
            lambda parts: parts.pipe(operators.with_buffer(capacity=2), rx.concat_map(lambda part: part.stream)),
        ],
    )
    @pytest.mark.parametrize("capacity", [1, 64])
    async def test_by_operators(self, flatten: Callable[[Any], Any], capacity: int) -> None:
        """Operators that subscribe to a part as it comes."""
        request, _ = await sent()
        chunks = [one async for one in to_async_iterable(flatten(from_multipart(request)), {"capacity": capacity})]
        assert b"".join(chunks) == b"".join(CONTENTS)

    async def test_beside_a_stock_source(self) -> None:
        """What a worker thread delivers is claimed there."""
        request, _ = await sent()
        parts = from_multipart(request).pipe(rx.flat_map(lambda part: part.stream))
        merged = reactivex.merge(reactivex.from_iterable(range(500)), parts)
        items: list[Any] = [item async for item in to_async_iterable(merged, {"capacity": 4})]
        assert [item for item in items if isinstance(item, int)] == list(range(500))
        assert b"".join(item for item in items if isinstance(item, bytes)) == b"".join(CONTENTS)

    async def test_for_each_and_map_async(self) -> None:
        """One call at a time."""
        got: list[bytes] = []

        async def read(part: Part) -> bytes:
            await asyncio.sleep(0)
            got.append(await part.read())
            return got[-1]

        request, _ = await sent()
        await for_each(from_multipart(request), read)
        assert got == CONTENTS
        request, _ = await sent()
        mapped = from_multipart(request).pipe(operators.map_async(read))
        assert [one async for one in to_async_iterable(mapped)] == CONTENTS

    async def test_calls_at_once(self) -> None:
        """A call that begins to read at once has its part; the parts are still read one after the other."""
        request, _ = await sent()
        got: list[bytes] = []

        async def read(part: Part) -> None:
            got.append(await part.read())

        await for_each(from_multipart(request), read, max_concurrent=3)
        assert got == CONTENTS

    async def test_a_plain_observer(self) -> None:
        """It subscribes, or starts a task, as it gets the part."""
        request, _ = await sent()
        done = asyncio.get_running_loop().create_future()
        tasks: list[asyncio.Future[bytes]] = []
        from_multipart(request).subscribe(
            lambda part: tasks.append(asyncio.ensure_future(part.read())),
            done.set_exception,
            lambda: done.set_result(None),
        )
        await done
        assert [task.result() for task in tasks] == CONTENTS

    async def test_only_one_of_them(self) -> None:
        """The part received last outlives the stream of parts."""
        request, feeding = await sent(form((FIELD, b"x"), (FILE, b"y" * 1_000_000), (FIELD, b"z")))
        part = await from_multipart(request).pipe(rx.first(lambda part: part.is_file))
        assert not feeding.done()  # nothing was read of it
        assert len(await part.read(2_000_000)) == 1_000_000
        request.body.discard()
        await feeding

    async def test_the_next_part_waits_for_the_end_of_this_one(self) -> None:
        """Its observer has seen the end when the form goes on."""
        part, _ = await one_part()
        over: list[bool] = []
        done = asyncio.Event()
        part.stream.subscribe(on_completed=lambda: (over.append(part._done.is_set()), done.set())[0])
        await done.wait()
        assert over == [False] and part._done.is_set()

    @pytest.mark.parametrize("capacity", [1, 64])
    async def test_large_messages(self, capacity: int) -> None:
        """What comes at once is handed on in pieces of at most 64 KiB, also where they end with half a delimiter."""
        content = f"\r\n--{BOUNDARY[:9]}".encode() * 45_000
        request, _ = await sent(form((FILE, content), (FIELD, b"after")), 300_000)
        pieces: list[list[bytes]] = []
        async for part in to_async_iterable(from_multipart(request)):
            stream = to_async_iterable(part.stream, {"capacity": capacity})
            pieces.append([piece async for piece in stream])
        assert [b"".join(one) for one in pieces] == [content, b"after"]
        assert max(map(len, pieces[0])) <= 65_536

    async def test_large_messages_to_a_plain_observer(self) -> None:
        """The same without demand."""
        part, _ = await one_part(content := os.urandom(300_000))
        pieces: list[bytes] = []
        done = asyncio.Event()
        part.stream.subscribe(pieces.append, on_completed=done.set)
        await done.wait()
        assert b"".join(pieces) == content and len(pieces) >= 5

    async def test_text(self) -> None:
        """UTF-8, and nothing else."""
        part, _ = await one_part("é".encode())
        assert await part.text() == "é"
        part, _ = await one_part(b"\xe9")
        with pytest.raises(UploadError, match="400 malformed_text"):
            await part.text()

    async def test_attributes(self) -> None:
        """What the headers say, and what is made of it."""
        head = 'content-disposition: form-data; name="f"; filename="a/b\\c.txt"\r\nContent-Type: Text/Plain; charset=x'
        part, _ = await one_part(head=head + "\r\nX-Extra: 1")
        assert (part.name, part.filename, part.raw_filename) == ("f", "c.txt", "a/b\\c.txt")
        assert (part.content_type, part.is_file, part.headers["x-extra"]) == ("text/plain", True, "1")
        part, _ = await one_part(head=FIELD)
        assert (part.filename, part.raw_filename, part.content_type, part.is_file) == (None, None, None, False)


class TestSkipping:
    """What is not consumed is not kept."""

    async def test_an_async_consumer_that_comes_back(self) -> None:
        """Parts that it did not read are skipped, fields and files."""
        request, _ = await sent()
        names = [part.is_file async for part in to_async_iterable(from_multipart(request))]
        assert names == [False, True, False, True]
        assert request.body._size == 0

    async def test_a_part_that_is_filtered_out(self) -> None:
        """Operators may leave parts out."""
        request, _ = await sent()
        files = from_multipart(request).pipe(
            rx.filter(lambda part: part.is_file), rx.flat_map(lambda part: part.stream)
        )
        assert b"".join([chunk async for chunk in to_async_iterable(files)]) == b"".join(FILES)

    async def test_half_of_a_part(self) -> None:
        """What a reader leaves is skipped."""
        request, _ = await sent()
        some = from_multipart(request).pipe(rx.flat_map(lambda part: part.stream.pipe(rx.take(1))))
        chunks = [chunk async for chunk in to_async_iterable(some)]
        assert [chunk[:2] for chunk in chunks] == [b"on", b"th", b"fo"]

    async def test_a_late_claim(self) -> None:
        """It is an error that says so, in each way to claim."""
        request, _ = await sent()
        parts = [part async for part in to_async_iterable(from_multipart(request))]
        with pytest.raises(RxStreamError, match=r"'text' was skipped"):
            await parts[0].read()
        with pytest.raises(RxStreamError, match=r"'file' was skipped"):
            await parts[1].stream

    async def test_a_late_claim_of_small_fields(self) -> None:
        """Those that came together are skipped together, the last one too."""
        request, _ = await sent(form(*[(FIELD, b"x")] * 5))
        for part in [part async for part in to_async_iterable(from_multipart(request))]:
            with pytest.raises(RxStreamError, match=r"'text' was skipped"):
                await part.text()

    async def test_a_second_claim(self) -> None:
        """A part can be read once."""
        part, _ = await one_part()
        assert await part.read() == b"content"
        for again in (part.read(), part.text(), part.save("x"), part.stream):
            with pytest.raises(RxStreamError, match="can be read once"):
                await again

    async def test_a_second_subscription(self) -> None:
        """A form can be read once."""
        request, _ = await sent()
        parts = from_multipart(request)
        assert len([part async for part in to_async_iterable(parts)]) == 4
        with pytest.raises(RxStreamError, match="can be read once"):
            await parts

    async def test_a_claim_that_ends_before_it_begins(self) -> None:
        """A stream that is disposed of as soon as it is subscribed to frees the form."""
        request, _ = await sent()
        parts = from_multipart(request).pipe(rx.do_action(lambda part: part.stream.subscribe().dispose()))
        assert len([part async for part in to_async_iterable(parts)]) == 4

    async def test_nothing_is_kept_alive(self) -> None:
        """A part that was read is gone."""
        request, _ = await sent()
        references = []
        async for part in to_async_iterable(from_multipart(request)):
            references.append(weakref.ref(part))
            await part.read()
        del part
        await asyncio.sleep(0)
        gc.collect()
        assert [reference() for reference in references] == [None] * 4


class TestSmallFields:
    """Those that are there whole are handed on together; all else is as for any part."""

    FORM = form(*[(FIELD, b"%d" % n) for n in range(100)], (FILE, b"file"), (FIELD, b"last"))

    async def test_no_turn_for_each(self) -> None:
        """A consumer that reads them waits far less often than there are fields."""
        request, _ = await sent(self.FORM, len(self.FORM))
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counting = asyncio.ensure_future(count())
        contents = []
        async for part in to_async_iterable(from_multipart(request), "import"):
            contents.append(await part.text())
        counting.cancel()
        assert contents == [*map(str, range(100)), "file", "last"]
        assert turns < 50

    @pytest.mark.parametrize("capacity", [1, 2, 64])
    @pytest.mark.parametrize("strategy", ["suspend", "sliding", "dropping"])
    async def test_any_buffer(self, capacity: int, strategy: Any) -> None:
        """None is dropped: where a buffer would drop, the next one waits for its consumer."""
        request, _ = await sent(self.FORM)
        parts = to_async_iterable(from_multipart(request), {"capacity": capacity, "strategy": strategy})
        assert [await part.text() async for part in parts] == [*map(str, range(100)), "file", "last"]

    @pytest.mark.parametrize(
        "flatten", [rx.concat_map, lambda fn: lambda parts: parts.pipe(rx.map(fn), rx.switch_latest())]
    )
    async def test_operators_get_one_at_a_time(self, flatten: Callable[[Any], Any]) -> None:
        """Also behind a buffer, whose other side would hand on the second before the first is read."""
        request, _ = await sent(self.FORM)
        parts = from_multipart(request).pipe(operators.with_buffer(), flatten(lambda part: part.stream))
        chunks = [chunk async for chunk in to_async_iterable(parts)]
        assert b"".join(chunks) == b"".join(b"%d" % n for n in range(100)) + b"filelast"

    async def test_larger_ones_are_not_kept(self) -> None:
        """The second one of these waits for the consumer."""
        request, _ = await sent(body := form(*[(FIELD, b"x" * 2049)] * 20), len(body))
        stream = to_async_iterable(from_multipart(request))
        await anext(stream)
        for _ in range(100):
            await asyncio.sleep(0)
        assert stream.statistics().pushed == 1
        await stream.aclose()

    async def test_what_they_hold_is_bounded(self) -> None:
        """A consumer that does not go on stops the client, and few are kept for it."""
        request, feeding = await sent(form(*[(FIELD, b"x" * 1000)] * 900), 100_000)
        stream = to_async_iterable(from_multipart(request))
        await anext(stream)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert not feeding.done() and request.body.received < 500_000
        assert stream.statistics().pushed <= 32
        await stream.aclose()
        request.body.discard()
        await feeding

    @pytest.mark.parametrize("size", [2048, 2049, 100_000])
    async def test_any_size(self, size: int) -> None:
        """Large ones are read from the form, between small ones."""
        contents = [b"a", b"x" * size, b"b", b"", b"y" * size]
        request, _ = await sent(form(*[(FIELD, content) for content in contents]), 150_000)
        assert await read_each(from_multipart(request)) == contents

    async def test_a_failure_comes_behind_them(self) -> None:
        """What was there before the fault is read, and then the stream fails."""
        body = form((FIELD, b"1"), (FIELD, b"2"), ("Content-Type: text/plain", b"3"))
        request, _ = await sent(body, len(body))
        got = []
        with pytest.raises(UploadError, match="400 invalid_disposition"):
            async for part in to_async_iterable(from_multipart(request)):
                got.append(await part.text())
        assert got == ["1", "2"]

    async def test_a_limit_of_the_reader(self) -> None:
        """It holds for what is there as well."""
        part, request = await one_part(head=FIELD)
        with pytest.raises(UploadError, match="413 field_too_large"):
            await part.read(6)
        with pytest.raises(UploadError, match="413 field_too_large"):
            await anext(request.stream)


class TestDemand:
    """Who does not read stops the client."""

    async def test_a_part_in_hand(self) -> None:
        """While a consumer has a part in its hands and does not read, nothing is read for it."""
        request, feeding = await sent(form((FILE, b"x" * 2_000_000)))
        stream = to_async_iterable(from_multipart(request))
        await anext(stream)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert not feeding.done() and request.body.received < 400_000
        await stream.aclose()
        request.body.discard()
        await feeding

    async def test_a_slow_reader(self) -> None:
        """The bytes that came are at most those that were read, and the buffers."""
        request, feeding = await sent(form((FILE, b"x" * 4_000_000)))
        ahead, taken = 0, 0
        chunks = from_multipart(request).pipe(rx.flat_map(lambda part: part.stream))
        async for chunk in to_async_iterable(chunks, {"capacity": 1}):
            taken += len(chunk)
            for _ in range(10):
                await asyncio.sleep(0)
            ahead = max(ahead, request.body.received - taken)
        assert taken == 4_000_000 and ahead < 600_000
        await feeding

    async def test_dispose_stops_reading(self) -> None:
        """Within a part and between parts."""
        request, feeding = await sent(form((FILE, b"x" * 4_000_000)))
        chunks = from_multipart(request).pipe(rx.flat_map(lambda part: part.stream))
        stream = to_async_iterable(chunks)
        await anext(stream)
        await stream.aclose()
        before = request.body.received
        for _ in range(1000):
            await asyncio.sleep(0)
        assert request.body.received - before < 300_000 and not feeding.done()
        request.body.discard()
        await feeding


class TestFailure:
    """It reaches whoever reads, once."""

    @pytest.mark.parametrize("end", ["complete", "disconnect"])
    async def test_the_open_part_fails_and_the_parts(self, end: str) -> None:
        """Each of the two streams gets one error, and nothing after it."""
        request, _ = await sent(BODY[:100_000], end=end)
        inner: list[Any] = []
        outer: list[Any] = []
        done = asyncio.Event()

        def read(part: Part) -> None:
            part.stream.subscribe(lambda chunk: None, inner.append, lambda: inner.append("end"))

        def failed(error: Exception) -> None:
            outer.append(error)
            done.set()

        from_multipart(request).subscribe(read, failed, lambda: outer.append("end"))
        await done.wait()
        assert inner[:2] == ["end", "end"] and len(inner) == 3 and outer == inner[2:]
        assert outer[0].code == {"complete": "truncated_body", "disconnect": "upload_aborted"}[end]

    async def test_a_limit_fails_both(self) -> None:
        """The part that is too large, and the form."""
        request, feeding = await sent()
        stream = to_async_iterable(from_multipart(request, max_size=10))
        part = [await anext(stream), await anext(stream), await anext(stream)][-1]
        assert not part.is_file and len(await part.read()) == 250_000
        await stream.aclose()
        await feeding
        request, feeding = await sent(form((FILE, b"x" * 200_000)))
        stream = to_async_iterable(from_multipart(request, max_size=100_000))
        part = await anext(stream)
        for _ in range(2):
            with pytest.raises(UploadError, match="413 file_too_large"):
                await part.read()
        with pytest.raises(UploadError, match="413 file_too_large"):
            await anext(stream)
        request.body.discard()
        await feeding

    async def test_a_limit_of_the_reader(self) -> None:
        """`read` takes no more than it is told."""
        part, request = await one_part()
        with pytest.raises(UploadError, match="413 file_too_large"):
            await part.read(6)
        with pytest.raises(UploadError, match="413 file_too_large"):
            await anext(request.stream)

    async def test_wrong_sizes(self) -> None:
        """They are refused, and the part is still there."""
        part, _ = await one_part()
        for size in (0, True, "1"):
            with pytest.raises((TypeError, ValueError)):
                await part.read(size)  # type: ignore[arg-type]
        assert await part.read(7) == b"content"


class TestSaving:
    """A file is there as a whole or not at all."""

    async def test_a_file(self, tmp_path: Path) -> None:
        """Its content, its size, the rights of a new file; one that was there is replaced."""
        part, _ = await one_part(content := os.urandom(1_000_000))
        path = tmp_path / "a.bin"
        path.write_bytes(b"old")
        assert await part.save(path) == len(content)
        assert path.read_bytes() == content
        (tmp_path / "plain").touch()
        assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
        assert sorted(os.listdir(tmp_path)) == ["a.bin", "plain"]

    async def test_an_empty_file(self, tmp_path: Path) -> None:
        """It is made, too."""
        part, _ = await one_part(b"")
        assert await part.save(tmp_path / "a") == 0
        assert (tmp_path / "a").read_bytes() == b""

    @pytest.mark.parametrize("end", ["complete", "disconnect"])
    @pytest.mark.parametrize("received", [200, 1_000, 300_000, 900_000])
    async def test_an_upload_that_is_cut_off(self, tmp_path: Path, received: int, end: str) -> None:
        """No file, and what was there before is untouched."""
        (tmp_path / "a").write_bytes(b"old")
        request, feeding = await sent(form((FILE, b"x" * 1_000_000))[:received], end=end)
        part = await from_multipart(request).pipe(rx.first())
        with pytest.raises(UploadError):
            await part.save(tmp_path / "a")
        await feeding
        assert os.listdir(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"old"

    @pytest.mark.parametrize("step", range(12))
    async def test_cancel_at_each_step(self, tmp_path: Path, step: int) -> None:
        """Wherever it is cancelled, nothing but a whole file is there in the end."""
        part, _ = await one_part(content := b"x" * 1_000_000)
        task = asyncio.ensure_future(part.save(tmp_path / "a"))
        for _ in range(step):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task])
        await asyncio.get_running_loop().shutdown_default_executor()  # what a thread was at is over then
        names = os.listdir(tmp_path)
        assert names == [] or (names == ["a"] and (tmp_path / "a").read_bytes() == content)
        assert done == {task}

    @pytest.mark.parametrize("call", ["create", "write", "commit"])
    async def test_a_disk_that_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
        """The error is the caller's, no file is left, and the next part still comes."""
        request, _ = await sent()

        def fail(*_: object) -> None:
            raise OSError("no space left")

        monkeypatch.setattr(NewFile, call, fail)
        errors = 0
        async for part in to_async_iterable(from_multipart(request)):
            with pytest.raises(OSError, match="no space"):
                await part.save(tmp_path / "a")
            errors += 1
        assert errors == 4 and os.listdir(tmp_path) == []

    async def test_a_path_that_cannot_be(self, tmp_path: Path) -> None:
        """A folder that is not there, a folder in the place of the file."""
        part, _ = await one_part()
        with pytest.raises(FileNotFoundError):
            await part.save(tmp_path / "x" / "a")
        part, _ = await one_part()
        (tmp_path / "d").mkdir()
        with pytest.raises(IsADirectoryError):
            await part.save(tmp_path / "d")
        assert os.listdir(tmp_path) == ["d"]


@pytest.fixture
async def app() -> Quart:
    """An app that takes a form."""
    app = Quart(__name__)
    RxStream(app)

    @app.post("/sizes")
    async def sizes() -> dict[str, int]:
        return {part.name: len(await part.read()) async for part in to_async_iterable(from_multipart(request))}

    return app


async def test_a_route(app: Quart) -> None:
    """Quart's test client sends a form, and gets the answer or the refusal."""
    client = app.test_client()
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    answer = await client.post("/sizes", data=form((FIELD, b"abc"), (FILE, b"x" * 300_000)), headers=headers)
    assert await answer.get_json() == {"text": 3, "file": 300_000}
    answer = await client.post("/sizes", data=b"abc", headers=headers)
    assert (answer.status_code, (await answer.get_json())["error"]) == (400, "truncated_body")


async def test_a_body_that_is_not_ours(app: Quart) -> None:
    """Without an `RxStream` the same holds, but for the bound."""
    plain = Quart(__name__)
    plain.post("/sizes")(app.view_functions["sizes"])
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    answer = await plain.test_client().post("/sizes", data=form((FILE, b"x" * 300_000)), headers=headers)
    assert await answer.get_json() == {"file": 300_000}
