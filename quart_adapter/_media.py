"""Media types of uploads: which are allowed, and whether the content looks like what was declared."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final

__all__ = ["SNIFFED", "AllowedTypes", "load_sniffer"]

SNIFFED: Final = 8192
"""Bytes at the start of a file that a sniffer looks at."""

_PATTERN = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+/([!#$%&'+\-.^_`|~0-9a-z]+|\*)")
_SAME: Final = {
    "jpg": "jpeg",
    "pjpeg": "jpeg",
    "heif": "heic",
    "mpeg3": "mpeg",
    "mp3": "mpeg",
    "wave": "wav",
    "vnd.wave": "wav",
    "vnd.microsoft.icon": "icon",
    "vnd.rar": "rar-compressed",
    "rar": "rar-compressed",
    "vnd.adobe.photoshop": "photoshop",
    "postscript": "postscript",
    "gzip-compressed": "gzip",
    "zip-compressed": "zip",
}
_CLAIMS_NOTHING: Final = ("application/octet-stream", "binary/octet-stream", "application/x-binary")
_IN_A_ZIP: Final = re.compile(r"\+zip$|openxmlformats|opendocument|java-archive|android\.package|/epub|3mf")
_IN_MP4: Final = re.compile(r"/(mp4|m4a|m4v|quicktime|3gpp2?|heic|avif)$")
_IN_OLE: Final = re.compile(r"msword|ms-(excel|powerpoint|outlook)|visio|msi")


class AllowedTypes:
    """Exact types, and `image/*` for all of a kind but SVG, which is a document with scripts in it.

    Raises:
        TypeError: It is one string, or holds something that is none.
        ValueError: One is no `type/subtype` or `type/*`.
    """

    def __init__(self, types: Iterable[str]) -> None:
        if isinstance(types, str):
            raise TypeError(f"allowed_types must be several types, such as [{types!r}]")
        self._types = set()
        for given in types:
            if not isinstance(given, str):
                raise TypeError(f"a type must be a str, not {given!r}")
            if not _PATTERN.fullmatch(given.lower()) or given.startswith("*"):
                raise ValueError(f"a type must be like 'text/csv' or 'image/*', not {given!r}")
            self._types.add(given.lower())

    def __contains__(self, content_type: str) -> bool:
        if content_type in self._types:
            return True
        return f"{content_type.partition('/')[0]}/*" in self._types and content_type != "image/svg+xml"

    def __str__(self) -> str:
        return ", ".join(sorted(self._types))


def load_sniffer() -> Callable[[str | None, bytes], bool]:
    """A function that tells whether content may be of the type that was declared.

    What has a signature must be of that type, or of one that is built on the same container. What has none must not be
    declared as a type that always has one.

    Raises:
        RuntimeError: The library for it is not installed.
    """
    try:
        filetype = importlib.import_module("filetype")
    except ImportError as error:
        raise RuntimeError("sniff=True needs the filetype library: pip install rxstream[sniff]") from error

    def fits(declared: str | None, content: bytes) -> bool:
        if declared is None or declared in _CLAIMS_NOTHING or not content:
            return True
        found = filetype.guess_mime(content)
        if found is None:
            return _plain(declared) not in _with_signature(filetype)
        return _plain(declared) == _plain(found) or _contains(found, declared)

    return fits


def _contains(found: str, declared: str) -> bool:
    if found == "application/zip":
        return bool(_IN_A_ZIP.search(declared))
    if _IN_MP4.search(_plain(found)):
        return bool(_IN_MP4.search(_plain(declared)))
    return bool(_IN_OLE.search(found) and _IN_OLE.search(declared))


@cache
def _with_signature(filetype: Any) -> frozenset[str]:
    return frozenset(_plain(kind.mime) for kind in filetype.types)


def _plain(content_type: str) -> str:
    kind, _, subtype = content_type.partition("/")
    subtype = subtype.removeprefix("x-")
    return f"{kind}/{_SAME.get(subtype, subtype)}"
