"""What uploads count: bytes, chunks and parts, and refusals by their code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from quart import Quart, request

from quart_adapter import BodyLimits, RxStream, from_multipart, from_request
from rxstream import StreamMetrics, for_each, to_async_iterable
from tests.quart_adapter.forms import BOUNDARY, FIELD, FILE, form
from tests.quart_adapter.samples import Samples
from tests.rxstream.support import until

Handler = Callable[[], Awaitable[Any]]
FORM_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


class Uploads(Samples):
    """An app with one route that takes uploads, and what it has counted."""

    def __init__(self, handler: Handler, kind: str) -> None:
        super().__init__(stream="take", format=kind, direction="in")
        self.app = Quart(__name__)
        RxStream(self.app, metrics=StreamMetrics(registry=self.registry), body=BodyLimits(idle_timeout=0.05))
        self.app.add_url_rule("/", "take", handler, methods=["POST"])

    async def post(self, data: bytes, content_type: str = FORM_TYPE) -> int:
        """Sends a body; the status."""
        answer = await self.app.test_client().post("/", data=data, headers={"Content-Type": content_type})
        return answer.status_code

    def rejections(self) -> dict[str, float]:
        """How many were refused, by code."""
        return {
            sample.labels["code"]: sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == "stream_upload_rejections_total"
        }


async def read_parts(**options: Any) -> str:
    """Reads all parts."""
    async for part in to_async_iterable(from_multipart(request, **options), "import"):
        await part.read()
    return ""


async def read_streams() -> str:
    """Reads the parts by their streams, and leaves at the first failure of one."""
    async for part in to_async_iterable(from_multipart(request, max_size=10), "import"):
        async for _ in to_async_iterable(part.stream, "import"):
            pass
    return ""


async def read_raw() -> str:
    """Reads the raw body."""
    async for _ in to_async_iterable(from_request(request), "import"):
        pass
    return ""


async def test_a_form_counts_its_parts_and_its_bytes() -> None:
    """Elements are parts; bytes are those of the body, framing included."""
    uploads = Uploads(read_parts, "multipart")
    body = form((FILE, b"x" * 100_000), (FIELD, b"hello"))
    assert await uploads.post(body) == 200
    assert (uploads("stream_elements_total"), uploads("stream_bytes_total")) == (2, len(body))
    assert (uploads.outcomes(), uploads.rejections(), uploads("stream_active")) == ({"completed": 1}, {}, 0)


async def test_a_raw_body_counts_its_bytes() -> None:
    """Elements are chunks."""
    uploads = Uploads(read_raw, "bytes")
    assert await uploads.post(b"x" * 100_000, "application/octet-stream") == 200
    assert uploads("stream_bytes_total") == 100_000
    assert (uploads("stream_elements_total") or 0) >= 1
    assert (uploads.outcomes(), uploads("stream_active")) == ({"completed": 1}, 0)


async def test_an_empty_body() -> None:
    """Nothing came."""
    uploads = Uploads(read_raw, "bytes")
    assert await uploads.post(b"", "application/octet-stream") == 200
    assert uploads.outcomes() == {"empty": 1}


REFUSALS: list[tuple[dict[str, Any], bytes, str, str]] = [
    ({"max_size": 10}, form((FILE, b"x" * 100)), FORM_TYPE, "file_too_large"),
    ({"max_size": 10}, b"x" * 3_000_000, FORM_TYPE, "body_too_large"),
    ({"allowed_types": ["image/*"]}, form((FILE, b"x")), FORM_TYPE, "type_not_allowed"),
    ({}, form((FILE, b"x")), "text/plain", "unsupported_media_type"),
    ({}, form((FILE, b"x"))[:-20], FORM_TYPE, "truncated_body"),
    ({}, b"--" + BOUNDARY.encode() + b"\r\nX: 1\r\n\r\n", FORM_TYPE, "invalid_disposition"),
]


@pytest.mark.parametrize(("options", "body", "content_type", "code"), REFUSALS, ids=[row[-1] for row in REFUSALS])
async def test_a_refusal_is_counted_by_its_code(
    options: dict[str, Any], body: bytes, content_type: str, code: str
) -> None:
    """Also one that comes before the first byte is read; once."""
    uploads = Uploads(partial(read_parts, **options), "multipart")
    assert await uploads.post(body, content_type) >= 400
    assert (uploads.rejections(), uploads.outcomes()) == ({code: 1}, {"error": 1})
    assert (uploads("stream_errors_total"), uploads("stream_active")) == (1, 0)


async def test_a_refusal_that_only_a_part_saw_is_counted() -> None:
    """The consumer fails with the part, and never comes back for the next."""
    uploads = Uploads(read_streams, "multipart")
    assert await uploads.post(form((FILE, b"x" * 100), (FIELD, b"y"))) == 413
    assert (uploads.rejections(), uploads.outcomes()) == ({"file_too_large": 1}, {"error": 1})


async def test_a_body_over_the_content_limit() -> None:
    """The refusal of Quart's own limit has a code, too."""
    uploads = Uploads(read_raw, "bytes")
    uploads.app.config["MAX_CONTENT_LENGTH"] = 10
    assert await uploads.post(b"x" * 100, "application/octet-stream") == 413
    assert (uploads.rejections(), uploads.outcomes()) == ({"body_too_large": 1}, {"error": 1})


async def test_a_client_that_goes_has_not_been_refused() -> None:
    """It is cancelled, as when a reader of a response goes."""
    uploads = Uploads(read_raw, "bytes")
    connection = uploads.app.test_client().request("/", method="POST")
    async with connection:
        await connection.send(b"some")
        await until(lambda: uploads("stream_bytes_total") == 4)
        assert uploads("stream_active") == 1
        await connection.disconnect()
    await until(lambda: uploads.outcomes() == {"cancelled": 1})
    assert (uploads.rejections(), uploads("stream_errors_total"), uploads("stream_active")) == ({}, 0, 0)


async def test_a_client_that_is_too_slow_is_refused() -> None:
    """408 is a refusal."""
    uploads = Uploads(read_raw, "bytes")
    connection = uploads.app.test_client().request("/", method="POST")
    async with connection:
        await connection.send(b"some")
        await until(lambda: uploads.outcomes() == {"error": 1})
        assert uploads.rejections() == {"upload_timeout": 1}
        await connection.disconnect()


async def test_a_consumer_that_leaves() -> None:
    """Nobody was refused."""

    async def first_only() -> str:
        async with to_async_iterable(from_multipart(request), "import") as parts:
            await anext(parts)
        return ""

    uploads = Uploads(first_only, "multipart")
    assert await uploads.post(form((FILE, b"x"), (FIELD, b"y"))) == 200
    assert (uploads.outcomes(), uploads.rejections(), uploads("stream_active")) == ({"cancelled": 1}, {}, 0)


async def test_a_slow_consumer_is_seen() -> None:
    """The time for which the upload is held up."""

    async def slow() -> str:
        chunks = 0

        async def store(chunk: bytes) -> None:
            nonlocal chunks
            chunks += 1
            await asyncio.sleep(0.01)

        await for_each(from_request(request), store, buffer={"capacity": 1})
        return str(chunks)

    uploads = Uploads(slow, "bytes")
    assert await uploads.post(b"x" * 1_000_000, "application/octet-stream") == 200
    assert (uploads("stream_suspended_seconds_total") or 0) > 0


async def test_a_name_of_its_own_and_no_metrics() -> None:
    """As for the builders."""

    async def named() -> str:
        async for _ in to_async_iterable(from_request(request, name="samples"), "import"):
            pass
        return ""

    async def uncounted() -> str:
        async for _ in to_async_iterable(from_request(request, metrics=None), "import"):
            pass
        return ""

    uploads = Uploads(named, "bytes")
    await uploads.post(b"x", "text/plain")
    uploads.labels["stream"] = "samples"
    assert uploads.outcomes() == {"completed": 1}
    uploads = Uploads(uncounted, "bytes")
    await uploads.post(b"x", "text/plain")
    assert uploads.outcomes() == {}


@pytest.mark.parametrize("take", [from_request, from_multipart])
async def test_a_name_that_is_no_constant_is_refused(take: Any) -> None:
    """With metrics and without."""
    async with Quart(__name__).test_request_context("/", method="POST", headers={"Content-Type": FORM_TYPE}):
        with pytest.raises(ValueError, match="constant of your code"):
            take(request, name="a b")
