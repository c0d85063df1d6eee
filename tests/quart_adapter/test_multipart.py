"""Forms as streams of parts: what is accepted and what is refused, however the bytes are split."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import operators as rx

from quart_adapter import MultipartLimits, UploadError, from_multipart
from quart_adapter._form_parser import find_boundary
from tests.quart_adapter.forms import BOUNDARY, FIELD, FILE, fake_request, feed, form, outcome, received

B = BOUNDARY.encode()
GOOD = form((FIELD, b"caf\xc3\xa9"), (FILE, b"\r\n--" + B[:-1] + b"\r\n\r\n--\x00\r"), (FIELD, b""))
GOOD_PARTS = [
    ("text", None, None, b"caf\xc3\xa9"),
    ("file", "a.bin", "application/octet-stream", b"\r\n--" + B[:-1] + b"\r\n\r\n--\x00\r"),
    ("text", None, None, b""),
]
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def headers(*lines: str | bytes) -> bytes:
    """A form with one part that has these header lines."""
    return form((b"\r\n".join(line.encode() if isinstance(line, str) else line for line in lines), b"x"))


# -- what is refused

TYPES: list[tuple[list[str], int, str]] = [
    ([], 415, "unsupported_media_type"),
    (["text/plain"], 415, "unsupported_media_type"),
    (["multipart/mixed; boundary=x"], 415, "unsupported_media_type"),
    (["application/x-www-form-urlencoded"], 415, "unsupported_media_type"),
    ([TYPE, TYPE], 415, "unsupported_media_type"),
    (["multipart/form-data"], 400, "invalid_boundary"),
    (["multipart/form-data; boundary="], 400, "invalid_boundary"),
    (['multipart/form-data; boundary=""'], 400, "invalid_boundary"),
    (["multipart/form-data; boundary=a; boundary=b"], 400, "invalid_boundary"),
    (["multipart/form-data; boundary=a; Boundary=a"], 400, "invalid_boundary"),
    (["multipart/form-data; boundary=" + "b" * 71], 400, "invalid_boundary"),
    (['multipart/form-data; boundary="b "'], 400, "invalid_boundary"),
    (["multipart/form-data; boundary=b\xe9"], 400, "invalid_boundary"),
]

DISPOSITION = "Content-Disposition: "
BODIES: dict[str, tuple[bytes, int, str]] = {
    "no closing delimiter": (GOOD[: -len(B) - 6], 400, "truncated_body"),
    "half a closing delimiter": (GOOD[:-4], 400, "truncated_body"),
    "half a header": (b"--" + B + b"\r\nContent-Dis", 400, "truncated_body"),
    "empty body": (b"", 400, "truncated_body"),
    "no delimiter at all": (b"hello", 400, "truncated_body"),
    "junk after a boundary": (GOOD.replace(B + b"\r\n", B + b"junk\r\n", 1), 400, "malformed_boundary"),
    "junk after a later boundary": (GOOD[:-4] + b"junk", 400, "malformed_boundary"),
    "padding": (GOOD.replace(B + b"\r\n", B + b" \t\r\n", 1), 400, "malformed_boundary"),
    "bare LF lines": (GOOD.replace(b"\r\n", b"\n"), 400, "malformed_boundary"),
    "bare LF in the headers": (form((FILE.replace("\r\n", "\n"), b"x")), 400, "malformed_header"),
    "bad header name": (headers(FIELD, "X(y): z"), 400, "malformed_header"),
    "no colon": (headers(FIELD, "hello"), 400, "malformed_header"),
    "CR in a value": (headers(FIELD, "X-A: a\rb"), 400, "malformed_header"),
    "NUL in a value": (headers('Content-Disposition: form-data; name="a\0b"'), 400, "malformed_header"),
    "not UTF-8": (headers(b'Content-Disposition: form-data; name="caf\xe9"'), 400, "malformed_header"),
    "a continuation of nothing": (headers(" x: y", FIELD), 400, "malformed_header"),
    "two types": (headers(FIELD, "Content-Type: a/b", "Content-Type: a/b"), 400, "malformed_header"),
    "a length that is none": (headers(FIELD, "Content-Length: x"), 400, "malformed_header"),
    "a length that is too small": (form((FIELD + "\r\nContent-Length: 2", b"xxx")), 400, "malformed_header"),
    "a length that is too large": (form((FIELD + "\r\nContent-Length: 4", b"xxx")), 400, "malformed_header"),
    "no disposition": (headers("Content-Type: text/plain"), 400, "invalid_disposition"),
    "two dispositions": (headers(FIELD, FIELD), 400, "invalid_disposition"),
    "not form-data": (headers(DISPOSITION + 'attachment; name="a"'), 400, "invalid_disposition"),
    "no name": (headers(DISPOSITION + 'form-data; filename="a"'), 400, "invalid_disposition"),
    "nested": (headers(FIELD, "Content-Type: multipart/mixed; boundary=x"), 415, "nested_multipart"),
    "a header line too long": (headers(FIELD, "X-A: " + "a" * 5000), 413, "headers_too_large"),
    "too many headers": (headers(FIELD, *(f"X-{n}: {n}" for n in range(8))), 413, "headers_too_large"),
    "headers too large": (headers(FIELD, *(f"X-{n}: {'a' * 3000}" for n in range(3))), 413, "headers_too_large"),
    "too many parts": (form(*[(FIELD, b"x")] * 4), 413, "too_many_parts"),
    "a field too large": (form((FIELD, b"x" * 101)), 413, "field_too_large"),
    "a file too large": (form((FILE, b"x" * 501)), 413, "file_too_large"),
    "a file that says it is too large": (form((FILE + "\r\nContent-Length: 501", b"x")), 413, "file_too_large"),
    "a file too large in a form too large": (form((FILE, b"x" * 501), (FILE, b"y" * 900)), 413, "file_too_large"),
    "a form too large": (form((FILE, b"x" * 400), (FILE, b"x" * 400), (FILE, b"x" * 400)), 413, "body_too_large"),
}
SMALL: dict[str, Any] = {"max_size": 500, "limits": MultipartLimits(total=1000, field=100, parts=3)}


def options_for(name: str) -> dict[str, Any]:
    """Small limits for those that are about them; the defaults for headers, which have room in no small body."""
    return {} if ("header" in name and "large" in name) or "long" in name else SMALL


class TestRefusals:
    """The status and the code of each refusal."""

    @pytest.mark.parametrize(("types", "status", "code"), TYPES)
    async def test_the_content_type(self, types: list[str], status: int, code: str) -> None:
        """What is no form, or has no boundary to find its parts by."""
        assert await outcome([GOOD], content_type=types) == (status, code)

    @pytest.mark.parametrize("boundary", ['"a\rb"', '"a\\\nb"', "a\r\nb", "a\rb", '"a\n"'])
    def test_line_breaks_in_a_boundary(self, boundary: str) -> None:
        """No server lets them through in a header; here they are refused as well."""
        with pytest.raises(UploadError, match="400 invalid_boundary"):
            find_boundary([f"multipart/form-data; boundary={boundary}"])

    @pytest.mark.parametrize("name", BODIES)
    async def test_the_body(self, name: str) -> None:
        """What is malformed or beyond a limit."""
        body, status, code = BODIES[name]
        assert await outcome([body], **options_for(name)) == (status, code)

    @pytest.mark.parametrize("name", BODIES)
    async def test_the_body_byte_by_byte(self, name: str) -> None:
        """However it is split, it is refused alike."""
        body, status, code = BODIES[name]
        chunks = (body[n : n + 1] for n in range(len(body)))
        assert await outcome(chunks, **options_for(name)) == (status, code)

    async def test_a_content_length_beyond_the_total(self) -> None:
        """It is refused before anything is read."""
        request = fake_request(length=1001)
        with pytest.raises(UploadError) as caught:
            await from_multipart(request, **SMALL)
        assert (caught.value.status, caught.value.code) == (413, "body_too_large")
        assert not request.body._reading

    async def test_a_client_that_goes(self) -> None:
        """It is no complete form, even after its last delimiter."""
        for body in (GOOD[:50], GOOD[:-4], GOOD):
            with pytest.raises(UploadError) as caught:
                await received([body], end="disconnect")
            assert caught.value.code == "upload_aborted"

    async def test_limits_are_no_bound_below(self) -> None:
        """What is as large as is allowed passes."""
        parts = [(FIELD, b"x" * 100), (FILE, b"y" * 500)]
        body = form(*parts)
        limits = MultipartLimits(total=len(body), field=100, parts=2)
        got = await received([body], max_size=500, limits=limits, length=len(body))
        assert [content for *_, content in got] == [content for _, content in parts]

    async def test_the_epilogue_counts(self) -> None:
        """A body does not go on for ever after its last delimiter."""
        assert await outcome([GOOD, *[b"x" * 100] * 10], **SMALL) == (413, "body_too_large")


# -- however it is split


class TestSplits:
    """The same bytes give the same result, however they come."""

    @pytest.mark.parametrize("body", [GOOD, b"preamble\r\n" + GOOD + b"epilogue", form()], ids=["good", "odd", "empty"])
    async def test_every_way_to_split_in_two(self, body: bytes) -> None:
        """Good bodies."""
        whole = await outcome([body])
        assert isinstance(whole, list)
        for n in range(len(body)):
            assert await outcome([body[:n], body[n:]]) == whole, n

    @pytest.mark.parametrize("name", [name for name in BODIES if "large" not in name and "long" not in name])
    async def test_every_way_to_split_a_bad_one_in_two(self, name: str) -> None:
        """Bad bodies."""
        body, status, code = BODIES[name]
        for n in range(len(body)):
            assert await outcome([body[:n], body[n:]], **SMALL) == (status, code), n

    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def test_any_form_in_any_chunks(self, data: st.DataObject) -> None:
        """What went in comes out, with contents that look like delimiters, too."""
        boundary = data.draw(st.from_regex(r"[A-Za-z0-9'()+_,./:=?-]{1,70}", fullmatch=True))
        bits = st.sampled_from([b"\r", b"\n", b"--", b"\r\n--", boundary.encode()[:-1], b"a", b"\0"])
        content = st.binary(max_size=50) | st.lists(bits, max_size=12).map(b"".join)
        contents = data.draw(st.lists(content, max_size=4))
        contents = [one for one in contents if b"--" + boundary.encode() not in b"\r\n" + one + b"\r\n"]
        body = form(*((FIELD, one) for one in contents), boundary=boundary)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
        chunks = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        got = asyncio.run(received(chunks, content_type=f'multipart/form-data; boundary="{boundary}"'))
        assert [one for *_, one in got] == contents

    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def test_any_damage_in_any_chunks(self, data: st.DataObject) -> None:
        """Damaged bodies have one outcome, in whole and in pieces, and no other error than ours."""
        body = bytearray(GOOD)
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(body) - 1))
            body[at : at + data.draw(st.integers(0, 3))] = data.draw(
                st.sampled_from([b"", b"\r", b"\n", b"-", b"\r\n"])
            )
        cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
        chunks = [bytes(body[a:b]) for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        whole = asyncio.run(outcome([bytes(body)]))
        assert asyncio.run(outcome(chunks)) == whole

    @pytest.mark.parametrize(("before", "code"), [(4000, "malformed_header"), (4200, "headers_too_large")])
    async def test_a_bare_line_feed_in_a_long_header(self, before: int, code: str) -> None:
        """Which fault is told of is where the line goes wrong first."""
        body = headers(FIELD, b"X-A: " + b"a" * before + b"\n" + b"b" * 500)
        for n in range(before - 100, before + 700, 7):
            _, got = await outcome([body[:n], body[n:]])
            assert got == code, n

    async def test_a_delimiter_is_at_the_start_of_a_line(self) -> None:
        """Also where what stood before it came long before."""
        body = b"a preamble that is longer than any boundary, and is let go of" + GOOD
        expected = await outcome([body])
        assert expected == GOOD_PARTS[1:] or isinstance(expected, tuple)
        for n in range(len(body)):
            assert await outcome([body[:n], body[n:]]) == expected


# -- what clients send

CHROMIUM = (
    b'------WebKitFormBoundarya1\r\nContent-Disposition: form-data; name="a%22b%0D%0A"\r\n\r\nx\r\n'
    b'------WebKitFormBoundarya1\r\nContent-Disposition: form-data; name="f"; filename="\xc3\xa9%22.png"\r\n'
    b"Content-Type: image/png\r\n\r\n\x89PNG\r\n------WebKitFormBoundarya1\r\n"
    b'Content-Disposition: form-data; name="e"; filename=""\r\nContent-Type: application/octet-stream\r\n\r\n\r\n'
    b"------WebKitFormBoundarya1--\r\n"
)
FIREFOX = CHROMIUM.replace(b"----WebKitFormBoundarya1", b"----geckoformboundarya1")
CURL = (
    b'--------------------------d74496d66958873e\r\nContent-Disposition: form-data; name="f"; '
    b'filename="a\\"b.txt"\r\nContent-Type: text/plain\r\n\r\nhi\n\r\n--------------------------d74496d66958873e--\r\n'
)
HTTPX = (
    b'--0123456789abcdef0123456789abcdef\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--0123456789abcdef0123456789abcdef\r\nContent-Disposition: form-data; name="f"; filename="caf%C3%A9.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\nxy\r\n--0123456789abcdef0123456789abcdef--\r\n"
)
REQUESTS = (  # urllib3 1.x adds filename* for names that are not ASCII; the plain one comes with newer ones
    b"--8d3f8e0\r\nContent-Disposition: form-data; name=\"f\"; filename*=utf-8''caf%C3%A9.txt\r\n\r\n"
    b"z\r\n--8d3f8e0--\r\n"
)
NODE = (
    b'------formdata-undici-012345678901\r\nContent-Disposition: form-data; name="f"; filename="a.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\nxyz\r\n------formdata-undici-012345678901--\r\n"
)
BROWSER_PARTS = [
    ('a"b\r\n', None, None, b"x"),
    ("f", 'é".png', "image/png", b"\x89PNG"),
    ("e", "", "application/octet-stream", b""),
]
CLIENTS: dict[str, tuple[bytes, list[Any]]] = {
    "chromium": (CHROMIUM, BROWSER_PARTS),
    "firefox": (FIREFOX, BROWSER_PARTS),
    "curl": (CURL, [("f", 'a"b.txt', "text/plain", b"hi\n")]),
    "httpx": (HTTPX, [("a", None, None, b"1"), ("f", "caf%C3%A9.bin", "application/octet-stream", b"xy")]),
    "requests": (REQUESTS, [("f", None, None, b"z")]),
    "node": (NODE, [("f", "a.bin", "application/octet-stream", b"xyz")]),
}


@pytest.mark.parametrize("client", CLIENTS)
async def test_what_clients_send(client: str) -> None:
    """As recorded from them."""
    body, parts = CLIENTS[client]
    boundary = body[2 : body.index(b"\r\n")].decode()
    assert await received([body], content_type=f"multipart/form-data; boundary={boundary}") == parts


# -- types


@pytest.mark.parametrize(
    ("allowed", "declared", "passes"),
    [
        (["image/png"], "image/png", True),
        (["IMAGE/PNG"], "Image/Png; q=1", True),
        (["image/*"], "image/webp", True),
        (["image/*"], "image/svg+xml", False),
        (["image/*", "image/svg+xml"], "image/svg+xml", True),
        (["image/*"], "text/html", False),
        (["image/png"], "image/jpeg", False),
        (["image/png"], None, False),
        (["application/octet-stream"], None, True),
        ([], "image/png", False),
    ],
)
async def test_allowed_types(allowed: list[str], declared: str | None, passes: bool) -> None:
    """Exact types, and all of a kind but SVG. What is not declared is plain bytes."""
    head = 'Content-Disposition: form-data; name="f"; filename="f"'
    head += f"\r\nContent-Type: {declared}" if declared else ""
    got = await outcome([form((head, b"x"))], allowed_types=allowed)
    assert got == (415, "type_not_allowed") if not passes else isinstance(got, list)


async def test_a_type_is_refused_before_any_byte_of_the_part() -> None:
    """Its headers are enough."""
    request = fake_request()
    body = form((FILE, b"content"))
    await request.body.put(body[: body.index(b"content")])
    with pytest.raises(UploadError, match="type_not_allowed"):
        await from_multipart(request, allowed_types=["image/png"])


async def test_a_file_field_left_empty_is_no_file() -> None:
    """Browsers declare it as bytes; it is neither a file nor refused."""
    head = 'Content-Disposition: form-data; name="f"; filename=""\r\nContent-Type: application/octet-stream'
    seen: list[Any] = []
    request = fake_request()
    await feed(request, [form((head, b""))])
    await from_multipart(request, allowed_types=["image/png"], sniff=True).pipe(rx.do_action(seen.append))
    assert [(part.is_file, part.filename, part.raw_filename) for part in seen] == [(False, None, "")]
    assert await outcome([form((head, b"x"))], allowed_types=["image/png"]) == (415, "type_not_allowed")


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0" * 40


@pytest.mark.parametrize(
    ("declared", "content", "passes"),
    [
        ("image/png", PNG, True),
        ("image/png", b"<script>", False),
        ("image/jpeg", PNG, False),
        ("image/jpg", b"\xff\xd8\xff\xe0" + b"\0" * 40, True),
        ("text/csv", b"a,b\n1,2\n", True),
        ("text/csv", b"PK\x03\x04" + b"\0" * 40, False),
        ("application/epub+zip", b"PK\x03\x04" + b"\0" * 40, True),
        ("application/octet-stream", PNG, True),
        ("application/pdf", b"MZ" + b"\0" * 40, False),
        ("image/png", b"", True),
    ],
)
async def test_sniffing(declared: str, content: bytes, passes: bool) -> None:
    """The content's signature against the declared type; the content is whole afterwards."""
    head = f'Content-Disposition: form-data; name="f"; filename="f"\r\nContent-Type: {declared}'
    body = form((head, content), (FIELD, b"after"))
    for chunks in ([body], [body[n : n + 1] for n in range(len(body))]):
        got = await outcome(chunks, sniff=True)
        if passes:
            assert [one for *_, one in got] == [content, b"after"]
        else:
            assert got == (415, "type_mismatch")


# -- arguments


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_size": 0}, ValueError),
        ({"max_size": True}, TypeError),
        ({"max_size": 1.5}, TypeError),
        ({"allowed_types": "image/png"}, TypeError),
        ({"allowed_types": [7]}, TypeError),
        ({"allowed_types": ["image"]}, ValueError),
        ({"allowed_types": ["*/*"]}, ValueError),
        ({"limits": 7}, TypeError),
    ],
)
async def test_wrong_arguments(options: dict[str, Any], error: type[Exception]) -> None:
    """They are refused when the stream is built."""
    with pytest.raises(error):
        from_multipart(fake_request(), **options)


@pytest.mark.parametrize("name", ["total", "field", "parts", "headers", "header_size", "headers_size"])
def test_wrong_limits(name: str) -> None:
    """Whole numbers above 0."""
    for value, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError), ("1", TypeError)):
        with pytest.raises(error, match=re.escape(name)):
            MultipartLimits(**{name: value})  # type: ignore[arg-type]


# -- names

HOSTILE = [
    "../../etc/passwd", "..\\..\\x", "/etc/passwd", "C:\\x\\y.txt", "\\\\server\\share\\a", "a\u202egnp.exe", "..", ".",
    "CON", "nul.txt", "a\tb", "a" * 500 + ".txt", "é" * 300, ".htaccess", "a/", " ", "-rf", "a:b", "a\u2028b", "%00",
]  # fmt: skip


@pytest.mark.parametrize("raw", HOSTILE)
async def test_hostile_names(raw: str) -> None:
    """A safe name is one component that is no path, no device, not hidden, short; the raw one is kept."""
    request = fake_request()
    body = form((f'Content-Disposition: form-data; name="f"; filename="{raw}"', b"x"))
    await request.body.put(body)
    part = None

    def note(given: Any) -> None:
        nonlocal part
        part = given

    request.body.set_complete()
    await from_multipart(request).pipe(rx.do_action(note))
    assert part is not None
    assert part.raw_filename == raw
    name = part.filename
    assert name and len(name.encode()) <= 200 and name not in (".", "..") and not name.startswith(".")
    assert not re.search(r'[/\\:*?"<>|\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]', name)
    assert not re.match(r"(?i)(con|nul|prn|aux|com\d|lpt\d)(\.|$)", name)
