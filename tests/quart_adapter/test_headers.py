"""Headers of a streamed response: names of files, the user's headers over the defaults, the id to resume from."""

from __future__ import annotations

import re
import unicodedata
from email.message import Message
from email.utils import collapse_rfc2231_value
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from quart import Quart, Response, request
from werkzeug.datastructures import Headers
from werkzeug.http import parse_options_header

from quart_adapter.headers import (
    FALLBACK_NAME,
    check_content_type,
    content_disposition,
    event_stream_headers,
    last_event_id,
    merge_headers,
)

HOSTILE = './\\:%"; \u202e\r\n\0\ud800é㊙C'
any_name = st.text(st.characters(), max_size=80) | st.text(st.sampled_from(HOSTILE), max_size=30)
DEVICES = ["CON", "PRN", "AUX", "NUL", "COM1", "com9", "LPT1", "CONIN$", "CONOUT$", "CLOCK$", "COM¹"]


def parsed(value: str) -> tuple[str, dict[str, str]]:
    """The kind and the parameters as the email package reads them: it knows quoting and RFC 2231, and not us."""
    message = Message()
    message["Content-Disposition"] = value
    params: dict[str, str] = {}
    for name, text in message.get_params([], "content-disposition")[1:]:
        plain = collapse_rfc2231_value(text)
        params["filename*" if isinstance(text, tuple) else name] = plain
    return message.get_content_disposition() or "", params


def saved_as(value: str) -> str:
    """The name that a client which knows RFC 8187 takes."""
    extended = re.search(r"; filename\*=UTF-8''(\S+)$", value)
    return unquote(extended[1], errors="strict") if extended else parsed(value)[1]["filename"]


@pytest.mark.parametrize("name", ["report.csv", "a b;c=d,e'f.csv", "x.tar.gz", "no-suffix", "!#$&+^_`{}~()[]@.txt"])
def test_plain_name_goes_out_as_it_is(name: str) -> None:
    """An ordinary ASCII name is quoted and needs no second form."""
    assert content_disposition(name) == f'attachment; filename="{name}"'


@pytest.mark.parametrize("name", ["Prüfung.csv", "日本.csv", "🎉 x 🎉.json", "файл.txt", "می‌خواهم.csv", "100%.csv"])
def test_other_names_round_trip(name: str) -> None:
    """A name that ASCII cannot say arrives whole, in two readers that are not ours."""
    value = content_disposition(name)
    assert value.isascii()
    assert saved_as(value) == name
    assert parse_options_header(value)[1]["filename"] == name


@given(st.text(st.characters(categories=["L", "N", "Pc", "Pd", "Sm"], exclude_characters="<>|"), max_size=30))
@example("ß")
def test_harmless_names_round_trip(name: str) -> None:
    """Letters, digits and signs of any script are not changed."""
    value = content_disposition(f"a{name}.csv")
    assert saved_as(value) == f"a{name}.csv"
    assert parse_options_header(value)[1]["filename"] == f"a{name}.csv"


@given(any_name)
@example("../../etc/passwd")
@example("CON" + " " * 300 + ".txt")
@example("a" * 400 + "." + "b" * 400)
@example("／../x")
@example("com\u00b9.txt")
def test_no_name_is_dangerous(name: str) -> None:
    """Whatever comes in, both forms are one safe component of a path on every system."""
    value = content_disposition(name)
    kind, params = parsed(value)
    assert kind == "attachment"
    assert value.isascii()
    assert value.isprintable()
    for form in {saved_as(value), params["filename"]}:
        assert form
        assert form == form.strip() == form.strip(".")
        assert not set(form) & set('/\\:*?"<>|\0')
        assert not [c for c in form if unicodedata.category(c) in ("Cc", "Cs") or "\u2028" <= c <= "\u202e"]
        assert form.split(".")[0].rstrip().upper() not in {d.upper() for d in DEVICES}
        assert len(form.encode()) <= 201
    assert "%" not in params["filename"]


@given(any_name)
def test_a_safe_name_is_left_alone(name: str) -> None:
    """What came out once comes out again: cleaning is idempotent."""
    once = saved_as(content_disposition(name))
    assert saved_as(content_disposition(once)) == once


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd", "etc_passwd"),
        ("C:\\x\\evil.exe", "C__x_evil.exe"),
        ("report 3/4.csv", "report 3_4.csv"),
        ("a\0b\r\nSet-Cookie: x.txt", "a_b__Set-Cookie_ x.txt"),
        ("\u202egpj.exe", "gpj.exe"),
        ("x\u2066y\u200b.txt", "xy.txt"),
        ("a\u2028b.txt", "a b.txt"),
        (".bashrc", "bashrc"),
        ("x. . .", "x"),
        ("\u00a0x.csv\u3000", "x.csv"),
        ("Aux .tar.gz", "_Aux .tar.gz"),
        ("console.log", "console.log"),
        ("x\ud800y.txt", "x_y.txt"),
        ('12" vinyl.csv', "12_ vinyl.csv"),
        ("///.csv", "csv"),
        ("::.csv", f"{FALLBACK_NAME}.csv"),
    ],
)
def test_hostile_name(name: str, expected: str) -> None:
    """Each kind of dangerous character has its known replacement."""
    assert saved_as(content_disposition(name)) == expected


@pytest.mark.parametrize("name", ["", ".", "..", "...", "   ", "/", "\\", "../..", "\u202e", "???", "_"])
def test_nothing_left_is_the_fallback(name: str) -> None:
    """A name of which nothing usable is left becomes the documented one."""
    assert content_disposition(name) == f'attachment; filename="{FALLBACK_NAME}"'


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("suffix", ["", ".txt", " .tar.gz"])
def test_device_names_are_defused(device: str, suffix: str) -> None:
    """Windows opens a device for these names, whatever their suffix."""
    assert saved_as(content_disposition(device + suffix)).startswith("_")


@pytest.mark.parametrize("letter", ["a", "é", "語", "🎉"])
def test_long_name_keeps_its_suffix(letter: str) -> None:
    """The cut falls between characters and before the suffix."""
    name = saved_as(content_disposition(letter * 400 + ".csv"))
    assert name.endswith(f"{letter}.csv")
    assert set(name[:-4]) == {letter}
    assert 190 < len(name.encode()) <= 200


def test_percent_is_kept_from_the_fallback() -> None:
    """Some browsers decode %41 in `filename`; the true name is in `filename*`."""
    value = content_disposition("100%41.csv")
    assert parsed(value)[1]["filename"] == "100_41.csv"
    assert saved_as(value) == "100%41.csv"


def test_inline() -> None:
    """`inline` is the other kind."""
    assert content_disposition("x.pdf", kind="inline") == 'inline; filename="x.pdf"'


def test_kind_is_checked() -> None:
    """A third kind is refused by name."""
    with pytest.raises(ValueError, match="kind must be 'attachment' or 'inline', got 'save'"):
        content_disposition("x", kind="save")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [b"x", None, 3])
def test_filename_is_text(name: Any) -> None:
    """Bytes and None are no names."""
    with pytest.raises(TypeError, match="filename must be a str, got"):
        content_disposition(name)


def test_event_stream_defaults() -> None:
    """Type, no cache, no proxy buffer, and never a Connection header."""
    assert sorted(event_stream_headers().to_wsgi_list()) == [
        ("Cache-Control", "no-cache"),
        ("Content-Type", "text/event-stream"),
        ("X-Accel-Buffering", "no"),
    ]


def test_event_stream_takes_the_users() -> None:
    """The user's headers win, whatever their case."""
    headers = event_stream_headers({"cache-control": "no-store", "content-type": "text/event-stream; charset=utf-8"})
    assert headers.getlist("Cache-Control") == ["no-store"]
    assert headers.getlist("Content-Type") == ["text/event-stream; charset=utf-8"]


def test_event_stream_refuses_another_type() -> None:
    """An EventSource closes on any other type; the message says where to go."""
    with pytest.raises(ValueError, match=r"text/event-stream, got 'text/plain'; use response\(\)"):
        event_stream_headers({"Content-Type": "text/plain"})


@pytest.mark.parametrize(
    "headers",
    [{"Link": ["<a>", "<b>"]}, [("Link", "<a>"), ("Link", "<b>")], Headers([("Link", "<a>"), ("Link", "<b>")])],
)
def test_a_header_may_come_twice(headers: Any) -> None:
    """A list, pairs and werkzeug's Headers all send one name several times."""
    assert merge_headers({"link": "<default>"}, headers).getlist("Link") == ["<a>", "<b>"]


def test_no_headers_are_the_defaults() -> None:
    """None adds nothing."""
    assert merge_headers({"X-A": "1"}, None).to_wsgi_list() == [("X-A", "1")]


def test_space_around_a_value_goes() -> None:
    """White space at the ends is no part of a value, and a server may refuse it."""
    assert merge_headers({}, {"X-A": " \t1 2\t"})["X-A"] == "1 2"


@pytest.mark.parametrize("bad", ["\r", "\n", "\r\nX-B: 1", "\0", "\x0b", "\x1f", "\x7f", "\ud800"])
def test_control_characters_are_refused(bad: str) -> None:
    """No value can start another header, or end the response later in the server."""
    with pytest.raises(ValueError, match="the header X-A may not hold"):
        merge_headers({}, {"X-A": f"a{bad}b"})


@pytest.mark.parametrize("name", ["", "X A", "X:A", "X\r\nA", "Ünder", "X-A "])
def test_names_are_tokens(name: str) -> None:
    """A name with a separator in it is no name."""
    with pytest.raises(ValueError, match="is not a header name"):
        merge_headers({}, {name: "1"})


@pytest.mark.parametrize("name", ["Connection", "connection", "Keep-Alive", "Transfer-Encoding", "TE", "Upgrade"])
def test_hop_by_hop_headers_are_refused(name: str) -> None:
    """What belongs to the server is not for a response to set."""
    with pytest.raises(ValueError, match=f"the header {name} belongs to the server"):
        merge_headers({}, {name: "close"})


@pytest.mark.parametrize("name", ["Content-Length", "content-length"])
def test_content_length_is_refused(name: str) -> None:
    """A length has to be counted, so it goes another way."""
    with pytest.raises(ValueError, match=r"Content-Length of a stream is counted; .*download\(size=\.\.\.\)"):
        merge_headers({}, {name: "3"})


@pytest.mark.parametrize("headers", [{"X-A": b"1"}, {"X-A": None}, {"X-A": True}, {1: "x"}, {"X-A": 1.5}])
def test_types_are_checked(headers: Any) -> None:
    """Only text and whole numbers have one spelling."""
    with pytest.raises(TypeError, match="a header is a str and its value a str or an int"):
        merge_headers({}, headers)


def test_headers_are_no_text() -> None:
    """A string would be taken apart letter by letter."""
    with pytest.raises(TypeError, match="headers must be a mapping or pairs, got str"):
        merge_headers({}, "X-A: 1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "good", ["text/csv", "text/csv; charset=utf-8", 'text/csv;header="a \\"b\\""', "application/vnd.x+json;v=1;w=2"]
)
def test_content_type_passes(good: str) -> None:
    """A media type with parameters comes back as it is."""
    assert check_content_type(good) == good


@pytest.mark.parametrize(
    "bad", ["", "csv", "text/", "text/csv\r\nX: 1", "text/csv; q", "text/csv\n", "té/x", " text/csv"]
)
def test_content_type_is_refused(bad: str) -> None:
    """Anything else is named in the error, with an example of what would do."""
    with pytest.raises(ValueError, match=f"must look like 'text/csv; charset=utf-8', got {re.escape(repr(bad))}"):
        check_content_type(bad)


def test_content_type_is_text() -> None:
    """Bytes are no media type."""
    with pytest.raises(TypeError, match="content_type must be a str, got bytes"):
        check_content_type(b"text/csv")  # type: ignore[arg-type]


def with_id(value: str | None) -> Any:
    """As much of a request as is looked at."""
    return SimpleNamespace(headers={} if value is None else {"Last-Event-ID": value})


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_last_event_id_round_trips(identity: str) -> None:
    """UTF-8 bytes that an ASGI server handed on as latin-1 are the id again."""
    assert last_event_id(with_id(identity.encode().decode("latin-1"))) == identity


@pytest.mark.parametrize(("raw", "expected"), [(None, None), ("", None), ("\xff", None), ("日本", "日本"), ("7", "7")])
def test_last_event_id_at_the_edges(raw: str | None, expected: str | None) -> None:
    """None, empty and broken bytes are no id; text that is decoded already is taken as it is."""
    assert last_event_id(with_id(raw)) == expected


async def test_last_event_id_of_a_real_request() -> None:
    """The header comes through Quart as a browser sends it."""
    app = Quart(__name__)

    @app.get("/")
    async def show() -> Response:
        return Response(last_event_id(request) or "none")

    reply = await app.test_client().get("/", headers={"Last-Event-ID": "caf\u00e9 \u65e5"})
    assert await reply.get_data(as_text=True) == "caf\u00e9 \u65e5"
