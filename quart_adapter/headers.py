"""Headers of a streamed response, and the one request header that a stream is resumed by.

Everything here is plain text in, plain text out: no response is built and no stream is touched. What may not come in:
anything that needs a running app. Names and values are checked when they are given, so that a mistake is an error in
the handler and not a response cut off by the server.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import quote

from werkzeug.datastructures import Headers

from quart_adapter._names import FALLBACK_NAME, safe_name

if TYPE_CHECKING:
    from quart import Request

__all__ = [
    "FALLBACK_NAME",
    "HeadersLike",
    "check_content_type",
    "content_disposition",
    "event_stream_headers",
    "last_event_id",
    "merge_headers",
]

HeaderValue: TypeAlias = str | int
HeadersLike: TypeAlias = Headers | Mapping[str, HeaderValue | Iterable[HeaderValue]] | Iterable[tuple[str, HeaderValue]]

_ATTR_CHARS = "!#$&+-.^_`|~"  # RFC 8187, beside letters and digits

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_HEADER_NAME = re.compile(_TOKEN)
_CONTENT_TYPE = re.compile(
    rf'{_TOKEN}/{_TOKEN}(?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|"(?:[^"\\\x00-\x1f\x7f]|\\[ -~])*"))*', re.ASCII
)
_FORBIDDEN_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)


def content_disposition(filename: str, *, kind: Literal["attachment", "inline"] = "attachment") -> str:
    """The value of a `Content-Disposition` header that names a file, safe whatever the name.

    Args:
        filename: The name to suggest, in any script; it may come from a user. Separators, control characters and what
            Windows reserves become "_"; format and bidi controls are left out, as are dots and spaces at both ends and
            separators at the start; a device name of Windows gets "_" in front; a name over 200 bytes of UTF-8 is cut
            and keeps its suffix. A name of which nothing is left is `FALLBACK_NAME`.
        kind: `"attachment"` saves, `"inline"` shows and names the file only when it is saved.

    Returns:
        `attachment; filename="..."`, and `filename*=UTF-8''...` as well where the name is not plain ASCII or has a
        percent sign, which some browsers decode in `filename`.

    Raises:
        TypeError: `filename` is not a str.
        ValueError: `kind` is another word.

    Source: RFC 6266 (4.3, appendix D), RFC 8187.

    Example:
        >>> content_disposition("Prüfung.csv")
        'attachment; filename="Prufung.csv"; filename*=UTF-8\\'\\'Pr%C3%BCfung.csv'
    """
    if not isinstance(filename, str):
        raise TypeError(f"filename must be a str, got {type(filename).__name__}")
    if kind not in ("attachment", "inline"):
        raise ValueError(f"kind must be 'attachment' or 'inline', got {kind!r}")
    name = safe_name(filename)
    fallback = _ascii_name(name)
    value = f'{kind}; filename="{fallback}"'
    return value if fallback == name else f"{value}; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}"


def _ascii_name(name: str) -> str:
    """The name without what is not ASCII; accents are left out, other letters become "_"."""
    if name.isascii() and "%" not in name:
        return name
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    # Compatibility forms decompose to separators and dots, so the result is as unsafe as any name.
    return safe_name(re.sub(r"[^ -~]|%", "_", plain))


def event_stream_headers(headers: HeadersLike | None = None) -> Headers:
    """The headers of a stream of server-sent events, with the user's own laid over them.

    `Cache-Control: no-cache` keeps a cache from answering a reconnect, `X-Accel-Buffering: no` keeps nginx from holding
    events back. `Connection` is never among them: it belongs to the server, and HTTP/2 forbids it.

    Args:
        headers: What the user adds or puts in the place of a default; see `merge_headers`.

    Raises:
        TypeError, ValueError: As `merge_headers`, and for a `Content-Type` that is no `text/event-stream`, which an
            `EventSource` refuses.

    Source: WHATWG HTML 9.2.

    Example:
        >>> event_stream_headers({"Cache-Control": "no-store"})["Cache-Control"]
        'no-store'
    """
    merged = merge_headers(
        {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}, headers
    )
    if (content_type := merged["Content-Type"]).partition(";")[0].strip().lower() != "text/event-stream":
        raise ValueError(
            f"the Content-Type of server-sent events is text/event-stream, got {content_type!r}; "
            "use response() for another type"
        )
    return merged


def merge_headers(defaults: HeadersLike, headers: HeadersLike | None) -> Headers:
    """Lays the user's headers over the defaults: a name given by the user replaces every default of that name.

    Args:
        defaults: The headers of this kind of response.
        headers: The user's: a mapping (a list as value sends the header once for each), pairs, or werkzeug `Headers`.
            Names are compared without case. White space around a value is left out.

    Raises:
        TypeError: A name is not a str, or a value is neither a str nor an int.
        ValueError: A name is not a token; a value holds CR, LF or another control character, or a lone surrogate; the
            header belongs to the server (`Connection`, `Transfer-Encoding`, ...); or it is `Content-Length`, which a
            stream takes from `download(size=...)` only, since it has to be counted.

    Source: RFC 9110, 5.5 and 7.6.1.

    Example:
        >>> merge_headers({"Cache-Control": "no-cache"}, {"cache-control": "no-store", "X-Run": 7}).to_wsgi_list()
        [('cache-control', 'no-store'), ('X-Run', '7')]
    """
    given = [_checked(name, value) for name, value in _pairs(headers)]
    replaced = {name.lower() for name, _ in given}
    kept = [(name, str(value)) for name, value in _pairs(defaults) if name.lower() not in replaced]
    return Headers(kept + given)


def _pairs(headers: HeadersLike | None) -> Iterable[tuple[str, HeaderValue]]:
    if headers is None:
        return
    if isinstance(headers, (str, bytes)):
        raise TypeError(f"headers must be a mapping or pairs, got {type(headers).__name__}")
    items = headers.items() if isinstance(headers, (Headers, Mapping)) else headers
    for name, value in items:
        if isinstance(value, (list, tuple, set, frozenset)):
            yield from ((name, one) for one in value)
        else:
            yield name, value  # type: ignore[misc]  # anything else that is no value is refused by _checked


def _checked(name: str, value: HeaderValue) -> tuple[str, str]:
    if not isinstance(name, str) or not isinstance(value, (str, int)) or isinstance(value, bool):
        raise TypeError(
            f"a header is a str and its value a str or an int, got {name!r}: {value!r} ({type(value).__name__})"
        )
    text = str(value).strip(" \t")
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name")
    if bad := _FORBIDDEN_IN_VALUE.search(text):
        raise ValueError(f"the header {name} may not hold {bad.group()!r}, got {text!r}")
    if name.lower() in _HOP_BY_HOP:
        raise ValueError(f"the header {name} belongs to the server, not to a response; leave it out")
    if name.lower() == "content-length":
        raise ValueError("the Content-Length of a stream is counted; leave it out, or give download(size=...)")
    return name, text


def check_content_type(content_type: str) -> str:
    """The media type as given, once it is known to be one.

    Args:
        content_type: As in the header, parameters included: `text/csv; charset=utf-8`.

    Raises:
        TypeError: It is not a str.
        ValueError: It is not `type/subtype` with `;name=value` parameters; CR and LF are refused with it.

    Source: RFC 9110, 8.3.1.

    Example:
        >>> check_content_type("application/x-ndjson")
        'application/x-ndjson'
    """
    if not isinstance(content_type, str):
        raise TypeError(f"content_type must be a str, got {type(content_type).__name__}")
    if not _CONTENT_TYPE.fullmatch(content_type):
        raise ValueError(f"content_type must look like 'text/csv; charset=utf-8', got {content_type!r}")
    return content_type


def last_event_id(request: Request) -> str | None:
    """The id of the last event that a reconnecting `EventSource` has seen, as it was sent.

    A browser sends the id as UTF-8, and an ASGI server hands header bytes on as latin-1: read raw, every id that is not
    ASCII comes out wrong.

    Args:
        request: The request of the handler.

    Returns:
        The id; `None` when there is none, when it is empty, or when its bytes are no UTF-8 and so no id of ours.
        Chromium leaves out spaces at the ends of an id: do not send such ids.

    Source: WHATWG HTML 9.2.4.

    Example:
        >>> from types import SimpleNamespace
        >>> last_event_id(SimpleNamespace(headers={"Last-Event-ID": "caf\\u00c3\\u00a9"}))
        'café'
    """
    raw = request.headers.get("Last-Event-ID")
    if not raw:
        return None
    try:
        return raw.encode("latin-1").decode()
    except UnicodeDecodeError:
        return None
    except UnicodeEncodeError:  # beyond latin-1: whoever built the request has decoded it already
        return raw
